"""What was planted in fake copies of NYUD-v2 comes back, pixel by pixel."""

import numpy as np
import pytest
import torch
from fake_layouts import fake_nyud, save
from PIL import Image

from pamm.data import NYUD, DataConfig, Draw, dataset_tasks, eval_dataset, train_dataset
from pamm.data.verify import verify
from pamm.errors import PammError
from pamm.metrics.edges import outlines


def check(item, planted, *, quantised: bool) -> None:
    targets = {task: t.numpy() for task, t in item["targets"].items()}
    np.testing.assert_array_equal(item["image"].permute(1, 2, 0).numpy(), planted["image"])
    np.testing.assert_array_equal(targets["semseg"], planted["semseg"])
    np.testing.assert_array_equal(targets["depth"][0], planted["depth"])
    np.testing.assert_array_equal(targets["boundary"][0], planted["boundary"])
    normals = targets["normals"].transpose(1, 2, 0)
    labelled = planted["normals"].any(axis=2)
    np.testing.assert_array_equal(normals.any(axis=2), labelled)
    np.testing.assert_allclose(normals, planted["normals"], atol=0.01 if quantised else 1e-6)
    np.testing.assert_allclose(np.linalg.norm(normals[labelled], axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("old", [False, True], ids=["ATRC", "MTI-Net"])
@pytest.mark.parametrize("size", [(45, 61), (48, 64)])
def test_labels_come_back(tmp_path, old, size):
    planted = fake_nyud(tmp_path, old=old, size=size)
    for split, count in (("train", 3), ("val", 2)):
        data = NYUD(split, root=tmp_path)
        assert len(data) == count
        for item in (data[i] for i in range(count)):
            check(item, planted[item["id"]], quantised=not old)
            assert item["size"] == size
            for name, task in data.tasks.items():
                assert item["targets"][name].dtype == task.target_dtype
    assert data[1]["id"] == "0005"


def test_both_kinds_of_files_in_one_folder(tmp_path):
    planted = fake_nyud(tmp_path, seed=1)
    old = fake_nyud(tmp_path / "old", old=True, seed=2)
    for folder in ("images", "normals", "edge"):
        for path in (tmp_path / "old" / folder).iterdir():
            if path.stem == "0002":
                path.rename(tmp_path / folder / path.name)
                (tmp_path / folder / f"{path.stem}.png").unlink()
    save(tmp_path / "segmentation" / "0002.png", (old["0002"]["semseg"] + 1).astype(np.uint8))
    item = NYUD("train", root=tmp_path, tasks=["normals", "boundary", "semseg"])[1]
    np.testing.assert_array_equal(item["targets"]["boundary"][0].numpy(), old["0002"]["boundary"])
    expected = old["0002"]["normals"].transpose(2, 0, 1)
    np.testing.assert_allclose(item["targets"]["normals"].numpy(), expected, atol=1e-6)
    np.testing.assert_array_equal(item["image"].permute(1, 2, 0).numpy(), old["0002"]["image"])
    assert planted["0002"]["image"].shape == item["image"].permute(1, 2, 0).shape


def test_missing_labels_are_no_labels(tmp_path):
    fake_nyud(tmp_path, missing={"depth": ["0001"], "semseg": ["0001", "0002"]})
    data = NYUD("train", root=tmp_path)
    for index, lacking in ((0, {"depth", "semseg"}), (1, {"semseg"}), (2, set())):
        for name, target in data[index]["targets"].items():
            empty = torch.equal(target, data.tasks[name].missing(45, 61))
            assert empty == (name in lacking)


@pytest.mark.parametrize("name", ["NYUDv2", "NYUD_MT", "."])
def test_where_the_folder_is_looked_for(tmp_path, monkeypatch, name):
    fake_nyud(tmp_path / name)
    assert len(NYUD("val", root=tmp_path)) == 2
    assert len(NYUD("val", root=tmp_path / name)) == 2
    monkeypatch.setenv("PAMM_DATA", str(tmp_path))
    assert len(NYUD("val")) == 2


def test_a_missing_folder_is_explained(tmp_path, monkeypatch):
    monkeypatch.delenv("PAMM_DATA", raising=False)
    with pytest.raises(PammError, match="no folder given; give the folder NYUDv2 or NYUD_MT"):
        NYUD("train")
    with pytest.raises(PammError, match=r"no folder '.*nowhere'.*--data.root.*PAMM_DATA"):
        NYUD("train", root=tmp_path / "nowhere")
    with pytest.raises(PammError, match=r"no gt_sets/train.txt or gt_sets/val.txt there"):
        NYUD("train", root=tmp_path)


def test_subsets(tmp_path):
    fake_nyud(tmp_path)
    data = NYUD("train", root=tmp_path, tasks=["boundary", "depth"], count=2)
    assert len(data) == 2
    assert list(data[0]["targets"]) == ["boundary", "depth"]
    with pytest.raises(PammError, match="did you mean 'depth'"):
        NYUD("train", root=tmp_path, tasks=["dept"])


def test_augmentation_is_a_function_of_seed_epoch_and_index(tmp_path):
    fake_nyud(tmp_path)
    config = DataConfig(name="nyud", root=str(tmp_path), size=(32, 40), scale=(0.5, 2.0))
    data, again = train_dataset(config), train_dataset(config)
    data[Draw(3, 1, 1)]
    first, second = data[Draw(3, 1, 2)], again[Draw(3, 1, 2)]
    assert torch.equal(first["image"], second["image"])
    assert first["image"].shape == (3, 32, 40)
    assert all(torch.equal(first["targets"][n], t) for n, t in second["targets"].items())
    for other in (Draw(4, 1, 2), Draw(3, 2, 2)):
        assert not torch.equal(data[other]["image"], first["image"])


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("harm", "hint"),
    [
        (lambda r: _cut(r / "images/0001.png"), "images/0001.png.*damaged"),
        (lambda r: _cut(r / "depth/0001.npy"), "depth/0001.npy.*damaged"),
        (lambda r: _cut(r / "segmentation/0001.png"), "segmentation/0001.png.*damaged"),
        (lambda r: (r / "edge/0001.png").write_bytes(b""), "edge/0001.png.*empty"),
        (
            lambda r: save(r / "depth/0001.npy", np.ones((9, 9), np.float32)),
            "depth/0001.npy' is 9x9, but its image is 45x61",
        ),
        (
            lambda r: save(r / "segmentation/0001.png", np.full((45, 61), 41, np.uint8)),
            "segmentation/0001.png': the class number 41 is neither one of 'semseg', 1 to 40, nor "
            r"ignored \(0\)",
        ),
        (
            lambda r: save(r / "normals/0001.png", np.ones((45, 61), np.uint8)),
            r"normals/0001.png' holds uint8 of shape \(45, 61\), want vectors \(H, W, 3\)",
        ),
        (
            lambda r: np.save(r / "depth/0001.npy", np.array([{}], object)),
            "depth/0001.npy' is a damaged or unusual .npy file",
        ),
    ],
)
def test_damage_names_the_file(tmp_path, harm, hint):
    fake_nyud(tmp_path)
    harm(tmp_path)
    data = NYUD("train", root=tmp_path)
    with pytest.raises(PammError, match=hint) as caught:
        data[0]
    assert "\n" not in str(caught.value)
    data[1]


def test_lost_images_and_lists_are_said_at_once(tmp_path):
    fake_nyud(tmp_path)
    (tmp_path / "images" / "0002.png").unlink()
    with pytest.raises(PammError, match="1 of the 3 train images are missing.*images/0002.png or"):
        NYUD("train", root=tmp_path)
    (tmp_path / "gt_sets" / "train.txt").write_text("\n")
    with pytest.raises(PammError, match="train.txt' is empty"):
        NYUD("train", root=tmp_path)
    (tmp_path / "gt_sets" / "train.txt").unlink()
    with pytest.raises(PammError, match="no file .*train.txt"):
        NYUD("train", root=tmp_path)


def test_the_tasks_are_known_without_the_images(tmp_path):
    fake_nyud(tmp_path, train=0, val=0)
    tasks = dataset_tasks(DataConfig(name="nyud", root=str(tmp_path)))
    assert {name: t.channels for name, t in tasks.items()} == {
        "semseg": 40, "depth": 1, "normals": 3, "boundary": 1,
    }  # fmt: skip
    assert len(set(tasks["semseg"].class_names)) == 40


def test_images_with_alpha_or_grey_are_colour_images(tmp_path):
    fake_nyud(tmp_path)
    grey = np.arange(45 * 61, dtype=np.uint32).reshape(45, 61).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "images" / "0001.png")
    image = NYUD("train", root=tmp_path)[0]["image"]
    assert image.shape == (3, 45, 61)
    np.testing.assert_array_equal(image[1].numpy(), grey)


@pytest.mark.parametrize("old", [False, True], ids=["ATRC", "MTI-Net"])
def test_boundaries_are_scored_with_the_outlines_of_the_edge_image(tmp_path, old):
    planted = fake_nyud(tmp_path, old=old)
    config = DataConfig(name="nyud", root=str(tmp_path), size=(48, 64))
    scored, trained = eval_dataset(config, "val"), NYUD("val", root=tmp_path)
    for index in range(2):
        item, edge = scored[index], planted[scored.name(index)]["boundary"]
        target = item["targets"]["boundary"][0].numpy()
        assert np.array_equal(target[target != 255].reshape(edge.shape), outlines(edge))
        assert np.array_equal(trained[index]["targets"]["boundary"][0].numpy(), edge)
        for task in ("depth", "normals"):  # only the truth of boundaries is another
            raw = trained[index]["targets"][task]
            assert item["targets"][task].sum() == pytest.approx(float(raw.sum()), rel=1e-4)
    assert dataset_tasks(config)["boundary"].metric().describe()["form"] == "seism"


def test_verify_looks_at_the_width_of_edge_lines(tmp_path):
    fake_nyud(tmp_path)
    thin, wide = np.zeros((2, 45, 61), np.uint8)
    thin[:, 20] = thin[30, :20] = 255
    for i in range(40):  # a staircase: 4-connected, but with one outline
        thin[i, 21 + i // 2] = thin[i, 20 + i // 2] = 255
    wide[:, 20:22] = wide[30:33, :20] = 255
    for name, edge in (("0001", thin), ("0002", wide), ("0004", wide)):
        save(tmp_path / "edge" / f"{name}.png", edge)
    report = verify(NYUD, tmp_path)
    assert report.errors == 0
    (found,) = [f for f in report.findings if f.check == "odd values of boundary"]
    assert (found.severity, found.count) == ("warning", 2)
    why = "(lines wider than one pixel)"
    assert found.examples == (f"edge/0002.png {why}", f"edge/0004.png {why}")
    assert "takes both sides of a wide line" in found.text()
