"""What was planted in fake copies of PASCAL-Context comes back; the boundary by scikit-image."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from fake_layouts import PART_CLASSES, PART_NAMES, fake_pascal, mat, save
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from skimage.morphology import thin

from pamm.data import DataConfig, Draw, PascalContext, eval_dataset, train_dataset
from pamm.data.derived import default_root
from pamm.data.pascal_context import NORMALS_ON, PARTS, label_boundary
from pamm.errors import PammError
from pamm.metrics.edges import outlines


def boundary_of(labels: np.ndarray) -> np.ndarray:
    """The published recipe with other tools: SciPy's mirror is the border without repetition."""
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    return thin(ndimage.convolve(labels.astype(np.int64), kernel, mode="mirror") != 0)


def check(item, planted) -> None:
    targets = {task: t.numpy() for task, t in item["targets"].items()}
    np.testing.assert_array_equal(item["image"].permute(1, 2, 0).numpy(), planted["image"])
    np.testing.assert_array_equal(targets["semseg"], planted["semseg"])
    np.testing.assert_array_equal(targets["human_parts"], planted["human_parts"])
    np.testing.assert_array_equal(targets["saliency"][0], planted["saliency"])
    np.testing.assert_array_equal(targets["boundary"][0], boundary_of(planted["label_map"]))
    normals = targets["normals"].transpose(1, 2, 0)
    np.testing.assert_array_equal(normals.any(axis=2), planted["normals"].any(axis=2))
    np.testing.assert_allclose(normals, planted["normals"], atol=0.01)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "PASCALContext"
    return root, fake_pascal(root)


def test_labels_come_back_from_files_and_from_the_cache(copy):
    root, planted = copy
    for _ in range(2):
        for split, count in (("train", 4), ("val", 3)):
            data = PascalContext(split, root=root.parent)
            assert len(data) == count
            for item in (data[i] for i in range(count)):
                check(item, planted[item["id"]])
    kept = list((default_root() / "derived").rglob("*.png"))
    assert len(kept) >= 14


def test_images_without_parts_are_ignored_after_cropping(copy):
    root, planted = copy
    config = DataConfig(name="pascal_context", root=str(root), size=(52, 52), scale=(0.5, 2.0))
    shown = {name: bool(arrays["human_parts"].any()) for name, arrays in planted.items()}
    assert set(shown.values()) == {True, False}
    evaluated = eval_dataset(config, "train")
    for item in (evaluated[i] for i in range(len(evaluated))):
        assert bool((item["targets"]["human_parts"] != 255).any()) == shown[item["id"]]
    data, seen = train_dataset(DataConfig(**{**vars(config), "size": (12, 12)})), set()
    for epoch in range(60):
        item = data[Draw(0, epoch, 0)]
        parts = item["targets"]["human_parts"]
        some = bool(((parts > 0) & (parts < 255)).any())
        seen.add(some)
        assert some or (parts == 255).all()
    assert seen == {True, False}


def test_boundaries_are_scored_with_the_outlines_of_the_label_map(copy):
    root, planted = copy
    config = DataConfig(name="pascal_context", root=str(root), size=(52, 52))
    for split in ("train", "val"):
        data = eval_dataset(config, split)
        for item in (data[i] for i in range(len(data))):
            target = item["targets"]["boundary"][0].numpy()
            labels = planted[item["id"]]["label_map"]
            assert np.array_equal(target[target != 255].reshape(labels.shape), outlines(labels))
    how = data.tasks["boundary"].metric().describe()
    assert (how["form"], how["max_dist"]) == ("seism", 0.0075)


def test_the_24_parts():
    assert {name: PARTS[name] for name in PART_NAMES} == dict(
        zip(PART_NAMES, PART_CLASSES, strict=True)
    )
    assert len(PARTS) == 24


def test_classes_with_normals():
    assert len(NORMALS_ON) == 170
    assert {427: "tvmonitor", 440: "wall", 284: "person"}.items() <= NORMALS_ON.items()
    assert 431 not in NORMALS_ON  # "unknown" is a name in both lists


@given(
    seed=st.integers(0, 2**32), h=st.integers(1, 40), w=st.integers(1, 40), block=st.integers(1, 6)
)
@settings(max_examples=60, deadline=None)
def test_boundaries_match_scikit_image(seed, h, w, block):
    rng = np.random.default_rng(seed)
    small = rng.choice([1, 2, 300, 459], size=(h // block + 1, w // block + 1))
    labels = small.repeat(block, 0).repeat(block, 1)[:h, :w].astype(np.uint16)
    np.testing.assert_array_equal(label_boundary(labels), boundary_of(labels))


def test_missing_labels_are_no_labels(tmp_path):
    ids = ["2008_000001", "2009_000002"]
    tasks = ("semseg", "human_parts", "saliency", "normals", "boundary")
    fake_pascal(tmp_path, missing=dict.fromkeys(tasks, ids[:1]) | {"boundary": ids})
    data = PascalContext("train", root=tmp_path)
    for name, target in data[0]["targets"].items():
        assert torch.equal(target, data.tasks[name].missing(37, 50))
    second = data[1]["targets"]
    assert not second["normals"].any()  # without a LabelMap nobody knows where they count
    assert (second["boundary"] == 255).all()
    assert (second["semseg"] != 255).any()


def test_distilled_maps_of_another_size_are_resized(tmp_path):
    planted = fake_pascal(tmp_path, train=1, val=1)
    path = tmp_path / "sal_distill" / "2008_000001.png"
    save(path, planted["2008_000001"]["saliency"].repeat(2, 0).repeat(2, 1) * np.uint8(255))
    normals = tmp_path / "normals_distill" / "2008_000001.png"
    big = np.asarray(Image.open(normals)).repeat(3, 0).repeat(3, 1)
    save(normals, big)
    check(PascalContext("train", root=tmp_path)[0], planted["2008_000001"])
    save(tmp_path / "semseg" / "VOC12" / "2008_000001.png", np.zeros((50, 37), np.uint8))
    with pytest.raises(PammError, match="is 50x37, but its image is 37x50"):
        PascalContext("train", root=tmp_path)[0]


def test_an_image_without_any_object_shows_no_part(tmp_path):
    fake_pascal(tmp_path, train=1, val=1)
    anno = np.zeros((1, 1), dtype=[("imname", object), ("objects", object)])
    anno["imname"][0, 0], anno["objects"][0, 0] = "x", np.zeros((0, 0))
    mat(tmp_path / "human_parts" / "2008_000001.mat", anno=anno)
    target = PascalContext("train", root=tmp_path, tasks=["human_parts"])[0]["targets"]
    assert target["human_parts"].shape == (37, 50)
    assert not target["human_parts"].any()


def test_changed_annotations_are_drawn_anew(tmp_path):
    fake_pascal(tmp_path, train=1, val=1)
    data = PascalContext("train", root=tmp_path, tasks=["boundary"])
    data[0]
    labels = np.ones((37, 50), np.uint16)
    labels[:, 20:] = 7
    mat(tmp_path / "pascal-context" / "trainval" / "2008_000001.mat", LabelMap=labels)
    found = data[0]["targets"]["boundary"][0].numpy()
    np.testing.assert_array_equal(found, boundary_of(labels))


def test_a_damaged_cache_is_made_anew_and_many_may_make_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PAMM_CACHE", str(tmp_path / "cache"))
    planted = fake_pascal(tmp_path, train=2, val=1)
    data = PascalContext("train", root=tmp_path)
    with ThreadPoolExecutor(8) as pool:
        for item in pool.map(data.load, [0] * 16):
            check(item, planted[item["id"]])
    kept = list((tmp_path / "cache").rglob("*.png"))
    assert len(kept) == 2
    assert not list((tmp_path / "cache").rglob("*.tmp*"))
    for path in kept:
        path.write_bytes(path.read_bytes()[:40])
    check(data[0], planted["2008_000001"])
    assert all(path.stat().st_size > 40 for path in kept)


def test_a_cache_that_cannot_be_written_costs_a_warning(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PAMM_CACHE", str(tmp_path / "file"))
    planted = fake_pascal(tmp_path, train=1, val=1)
    data = PascalContext("train", root=tmp_path)
    for _ in range(3):
        check(data[0], planted["2008_000001"])
    assert sum("set PAMM_CACHE" in record.message for record in caplog.records) == 2  # two kinds


@pytest.mark.parametrize(
    ("name", "variables", "hint"),
    [
        ("pascal-context/trainval", {"Map": np.ones((2, 2))}, "expected: 'LabelMap'"),
        ("pascal-context/trainval", {"LabelMap": np.ones((2, 2, 2))}, "want numbers"),
        ("human_parts", {"anno": np.ones((1, 1))}, "not the .mat file that was expected"),
        ("human_parts", None, "damaged, or no MATLAB file"),
    ],
)
def test_odd_mat_files_are_named(tmp_path, name, variables, hint):
    fake_pascal(tmp_path, train=1, val=1)
    path = tmp_path / name / "2008_000001.mat"
    if variables is None:
        path.write_bytes(path.read_bytes()[:150])
    else:
        mat(path, **variables)
    with pytest.raises(PammError, match=hint) as caught:
        PascalContext("train", root=tmp_path)[0]
    assert "2008_000001.mat" in str(caught.value)
    assert "\n" not in str(caught.value)
