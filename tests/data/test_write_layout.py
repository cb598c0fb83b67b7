"""The folders are read back: by readers of their own, and by the data sets of these layouts."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from pamm.data import NYUD, Folder, Synthetic, write_folder_layout, write_nyud_layout
from pamm.errors import PammError
from pamm.tasks import Depth, Saliency, Task


@pytest.fixture(scope="module")
def splits(rooms: Synthetic) -> dict[str, Synthetic]:
    val = Synthetic("val", size=(24, 32), count=3, root=rooms.cache.root)
    return {"train": rooms, "val": val}


@pytest.fixture(scope="module")
def folder(splits, tmp_path_factory) -> Path:
    return write_nyud_layout(splits, tmp_path_factory.mktemp("nyud"))


@pytest.mark.parametrize(("split", "count"), [("train", 7), ("val", 3)])
def test_labels_come_back(folder: Path, splits, split: str, count: int) -> None:
    names = (folder / "gt_sets" / f"{split}.txt").read_text().split()
    assert len(names) == len(set(names)) == count
    for index, name in enumerate(names):
        item = splits[split][index]
        targets = {key: value.numpy() for key, value in item["targets"].items()}
        image = np.asarray(Image.open(folder / "images" / f"{name}.png"))
        assert np.array_equal(image, item["image"].permute(1, 2, 0).numpy())
        classes = np.asarray(Image.open(folder / "segmentation" / f"{name}.png")).astype(int) - 1
        assert np.array_equal(classes, targets["semseg"])
        depth = np.load(folder / "depth" / f"{name}.npy")
        assert depth.dtype == np.float32
        assert np.array_equal(depth, targets["depth"][0])
        edge = np.asarray(Image.open(folder / "edge" / f"{name}.png"))
        assert np.array_equal(edge == 255, targets["boundary"][0] == 1)
        assert set(np.unique(edge)) <= {0, 255}
        normals = np.asarray(Image.open(folder / "normals" / f"{name}.png")) * (2 / 255) - 1
        assert np.abs(normals.transpose(2, 0, 1) - targets["normals"]).max() <= 1 / 255 + 1e-6


def test_no_image_is_in_both_splits_and_nothing_else_is_there(folder: Path) -> None:
    lists = [(folder / "gt_sets" / f"{s}.txt").read_text().split() for s in ("train", "val")]
    assert not set(lists[0]) & set(lists[1])
    folders = {path.name for path in folder.iterdir() if path.is_dir()}
    assert folders == {"images", "segmentation", "depth", "normals", "edge", "gt_sets"}
    for name in folders - {"gt_sets"}:
        assert len(list((folder / name).iterdir())) == 10


def test_a_second_call_completes_the_first(splits, folder: Path) -> None:
    whole, gone = folder / "depth" / "train-000000.npy", folder / "depth" / "train-000001.npy"
    before, lost = whole.stat().st_mtime_ns, gone.read_bytes()
    gone.unlink()
    write_nyud_layout(splits, folder)
    assert gone.read_bytes() == lost
    assert whole.stat().st_mtime_ns == before


def test_only_the_tasks_that_are_there(rooms: Synthetic, tmp_path: Path) -> None:
    few = Synthetic(size=(24, 32), count=1, root=rooms.cache.root, tasks=["depth", "saliency"])
    out = write_nyud_layout({"train": few}, tmp_path / "out")
    assert {p.name for p in out.iterdir() if p.is_dir()} == {"images", "depth", "gt_sets"}


def test_foreign_folders_are_left_alone(splits, rooms: Synthetic, folder: Path, tmp_path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(PammError, match="not empty"):
        write_nyud_layout(splits, tmp_path)
    with pytest.raises(PammError, match="is a file"):
        write_nyud_layout(splits, tmp_path / "thesis.txt")
    with pytest.raises(PammError, match="holds other rooms"):
        write_nyud_layout({"train": rooms}, folder)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(("split", "count"), [("train", 7), ("val", 3)])
def test_the_nyud_data_set_reads_them(folder: Path, splits, split: str, count: int) -> None:
    data = NYUD(split, root=folder, tasks=["semseg", "depth", "normals", "boundary"])
    assert len(data) == count
    for index in range(count):
        same(data[index], splits[split][index], depth=0)


def test_the_folder_data_set_reads_them_with_the_same_tasks(splits, tmp_path: Path) -> None:
    root = write_folder_layout(splits, tmp_path / "rooms")
    assert write_folder_layout(splits, root) == root
    assert Folder.declared_tasks(root) == Synthetic.TASKS
    for split, rooms in splits.items():
        data = Folder(split, root=root)
        assert len(data) == len(rooms)
        for index in range(len(rooms)):
            same(data[index], rooms[index], depth=0.0006)


class MoreTasks(Synthetic):
    """Rooms with tasks that no layout knows by name."""

    TASKS: ClassVar[dict[str, Task]] = {
        "things": Saliency(name="things", channels=1),
        "far": Depth(name="far", max_depth=300.0),
    }

    def load(self, index):
        targets = {"things": torch.ones(1, 24, 32), "far": torch.full((1, 24, 32), 7.25)}
        return {
            "image": torch.zeros(3, 24, 32, dtype=torch.uint8),
            "targets": {n: t.to(self.TASKS[n].target_dtype) for n, t in targets.items()},
            "id": self.name(index),
            "size": (24, 32),
        }


def test_any_task_has_a_place_in_a_folder(rooms: Synthetic, tmp_path: Path) -> None:
    splits = {
        split: MoreTasks(split, size=(24, 32), count=1, root=rooms.cache.root)
        for split in ("train", "val")
    }
    root = write_folder_layout(splits, tmp_path / "rooms")
    assert Folder.declared_tasks(root) == MoreTasks.TASKS
    same(Folder("train", root=root)[0], splits["train"][0], depth=0)
    assert write_nyud_layout(splits, tmp_path / "nyud")  # what it has no place for is left out


def test_a_task_that_no_encoding_holds_is_refused(rooms, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("pamm.data.write_layout.type_for", lambda task: None)
    with pytest.raises(PammError, match="cannot hold labels of 'semseg': no type of encoding"):
        write_folder_layout({"train": rooms}, tmp_path / "rooms")


def test_what_somebody_changed_is_kept(splits, tmp_path: Path) -> None:
    root = write_folder_layout(splits, tmp_path / "rooms")
    (train, val), lists = splits.values(), [root / "train.txt", root / "val.txt"]
    before = [path.read_bytes() for path in lists]
    fewer = {"train": Synthetic(size=(24, 32), count=2, root=train.cache.root), "val": val}
    with pytest.raises(PammError, match=r"train.txt has 7 rooms, 5 more than asked for"):
        write_folder_layout(fewer, root)
    with (root / "pamm.toml").open("a") as file:
        file.write("# mine\n")
    with pytest.raises(PammError, match=r"pamm.toml is not as pamm wrote it.*another folder"):
        write_folder_layout(splits, root)
    assert (root / "pamm.toml").read_text().endswith("# mine\n")
    assert [path.read_bytes() for path in lists] == before


def same(found, expected, *, depth: float) -> None:
    assert found["id"] == expected["id"]
    assert (found["image"] == expected["image"]).all()
    for name, target in found["targets"].items():
        wanted = expected["targets"][name]
        if name == "normals":
            assert (target - wanted).norm(dim=0).max() < 0.01
        else:
            assert target.dtype == wanted.dtype
            difference = (target.float() - wanted.float()).abs().max()
            assert difference <= (depth if name == "depth" else 0)
