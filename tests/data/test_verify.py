"""Every defect that `verify` knows is planted in a sound data set, and found."""

import json
from pathlib import Path

import numpy as np
import pytest
from fake_layouts import fake_nyud, fake_pascal, mat, save, write_list

from pamm.data import NYUD, Folder, PascalContext, verify
from pamm.errors import PammError
from pamm.strict_json import to_json

FEW = {"number of images"}  # the fakes are small


def found(report) -> dict[str, tuple[str, int, str]]:
    """check -> severity, count, all that is said; without the warning that the fakes are small."""
    return {
        f.check: (f.severity, f.count, f"{f.what} {' '.join(f.examples)}")
        for f in report.findings
        if f.check not in FEW
    }


@pytest.mark.parametrize("old", [False, True], ids=["ATRC", "MTI-Net"])
def test_a_sound_nyud(tmp_path, old):
    fake_nyud(tmp_path / "NYUDv2", old=old)
    report = verify(NYUD, tmp_path)
    assert not found(report)
    assert report.errors == 0
    assert (report.images, report.published) == (
        {"train": 3, "val": 2}, {"train": 795, "val": 654},
    )  # fmt: skip
    assert report.sizes == {"45x61": 5}
    assert report.labels == {"semseg": 5, "depth": 5, "normals": 5, "boundary": 5}
    assert "train has 3 images, published scores are on 795" in report.text()


def test_a_sound_pascal(tmp_path):
    fake_pascal(tmp_path, missing={"semseg": ["2008_000001"]})
    report = verify(PascalContext, tmp_path)
    assert found(report) == {
        "missing labels": ("warning", 1, "images have no label for semseg 2008_000001 (train)")
    }
    assert report.labels["semseg"] == 6


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _depth(factor: float):
    def harm(root: Path) -> None:
        for path in (root / "depth").iterdir():
            save(path, np.load(path) * np.float32(factor))

    return harm


def _remove(*names: str):
    def harm(root: Path) -> None:
        for name in names:
            (root / name).unlink()

    return harm


def _put(name: str, array: np.ndarray):
    return lambda root: save(root / name, array)


def _ids(split: str, *ids: str):
    return lambda root: write_list(root / "gt_sets" / f"{split}.txt", list(ids))


SIZE = (45, 61)
RNG = np.random.default_rng(0)
DEFECTS = {
    "image missing": (_remove("images/0002.png"), "missing images", "error", 1, "0002"),
    "image cut short": (
        lambda r: _cut(r / "images/0002.png"), "damaged files", "error", 1, "images/0002.png",
    ),
    "image empty": (
        lambda r: (r / "images/0002.png").write_bytes(b""), "damaged files", "error", 1, "empty",
    ),
    "label cut short": (
        lambda r: _cut(r / "depth/0002.npy"), "damaged files", "error", 1, "depth/0002.npy",
    ),
    "picture cut short": (
        lambda r: _cut(r / "normals/0002.png"), "damaged files", "error", 1, "normals/0002.png",
    ),
    "label of another kind": (
        _put("depth/0002.npy", np.zeros((45, 61, 3))), "damaged files", "error", 1, "want depths",
    ),
    "image in no list": (
        _put("images/0099.png", np.zeros((*SIZE, 3), np.uint8)), "extra images", "warning", 1,
        "0099",
    ),
    "id twice": (_ids("train", "0001", "0002", "0001"), "double ids", "error", 1, "0001 in train"),
    "id in both splits": (_ids("val", "0004", "0001"), "ids in both splits", "error", 1, "0001"),
    "no list": (_remove("gt_sets/val.txt"), "list of ids", "error", 1, "no file"),
    "empty list": (_ids("val"), "list of ids", "error", 1, "is empty"),
    "label missing": (
        _remove("edge/0002.png", "edge/0004.png"), "missing labels", "warning", 2, "boundary 0002",
    ),
    "no labels at all": (
        _remove(*(f"normals/000{i}.png" for i in range(1, 6))), "missing labels", "error", 1,
        "not one image of val has a label for normals",
    ),
    "no labels in a split": (
        _remove("depth/0001.npy", "depth/0002.npy", "depth/0003.npy"), "missing labels", "error", 1,
        "not one image of train has a label for depth",
    ),
    "class out of range": (
        _put("segmentation/0002.png", np.full(SIZE, 41, np.uint8)), "values of semseg", "error", 1,
        "segmentation/0002.png (the class number 41",
    ),
    "millimetres": (_depth(1000), "values of depth", "error", 5, "look like millimetres"),
    "centimetres": (_depth(100), "values of depth", "error", 5, "look like centimetres"),
    "scaled depth": (_depth(0.1), "values of depth", "error", 5, "look scaled to 0..1"),
    "short normals": (
        _put("normals/0002.png", RNG.integers(100, 150, (*SIZE, 3)).astype(np.uint8)),
        "values of normals", "error", 1, "instead of 1",
    ),
    "edges of 0 and 1": (
        _put("edge/0002.png", (RNG.random(SIZE) < 0.2).astype(np.uint8)), "values of boundary",
        "error", 1, "numbers other than 0, 255, such as 1",
    ),
    "label of another size": (
        _put("segmentation/0002.png", np.ones((44, 61), np.uint8)), "size of labels", "error", 1,
        "segmentation/0002.png (44x61, image 45x61)",
    ),
    "uncropped image": (
        _put("images/0002.png", np.zeros((480, 640, 3), np.uint8)), "size of images", "warning", 1,
        "images are 480x640 images/0002.png",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DEFECTS)
def test_planted_defects_are_found(tmp_path, name):
    harm, check, severity, count, words = DEFECTS[name]
    fake_nyud(tmp_path, size=SIZE)
    harm(tmp_path)
    report = verify(NYUD, tmp_path, threads=2)
    seen = found(report)
    assert check in seen, report.text()
    assert seen[check][:2] == (severity, count)
    assert words in seen[check][2]
    assert (report.errors > 0) == any(f.severity == "error" for f in report.findings)
    assert json.loads(json.dumps(to_json(report)))["findings"]
    consequences = {"uncropped image": {"size of labels"}, "no list": {"extra images"},
                    "empty list": {"extra images"}, "id in both splits": {"extra images"},
                    "id twice": {"extra images"}}.get(name, set())  # fmt: skip
    assert set(seen) <= {check} | consequences


def test_only_the_asked_tasks_are_looked_at(tmp_path):
    fake_nyud(tmp_path)
    _depth(1000)(tmp_path)
    assert not found(verify(NYUD, tmp_path, tasks=["semseg", "boundary"]))
    with pytest.raises(PammError, match="did you mean 'depth'"):
        verify(NYUD, tmp_path, tasks=["dept"])


@pytest.mark.parametrize(
    ("name", "content", "check"),
    [
        ("human_parts/2008_000001.mat", b"MATLAB 5.0", "damaged files"),
        ("pascal-context/trainval/2008_000001.mat", b"", "damaged files"),
        ("JPEGImages/2008_000001.jpg", b"\xff\xd8\xff", "damaged files"),
    ],
)
def test_damaged_files_of_pascal(tmp_path, name, content, check):
    fake_pascal(tmp_path)
    (tmp_path / name).write_bytes(content)
    report = verify(PascalContext, tmp_path)
    assert set(found(report)) == {check}
    assert found(report)[check][0] == "error"
    assert name in found(report)[check][2]


def test_a_label_map_of_another_image(tmp_path):
    fake_pascal(tmp_path)
    path = tmp_path / "pascal-context" / "trainval" / "2008_000001.mat"
    mat(path, LabelMap=np.ones((20, 20), np.uint16))
    assert set(found(verify(PascalContext, tmp_path))) == {"size of labels"}


def test_a_folder_with_both_splits_in_folders(tmp_path):
    """The same file name in two folders is two images; there are no lists to be missing in."""
    (tmp_path / "pamm.toml").write_text(
        'images = "{split}/{id}.png"\n[tasks.depth]\nfiles = "{split}/{id}.npy"\n'
        'encoding = { kind = "depth" }\n'
    )
    for split in ("train", "val"):
        save(tmp_path / split / "a.png", np.zeros((4, 5, 3), np.uint8))
        save(tmp_path / split / "a.npy", np.full((4, 5), 3, np.float32))
        (tmp_path / split / ".a.0123.tmp.png").write_bytes(b"half a file")
    report = verify(Folder, tmp_path)
    assert not report.findings
    assert report.images == {"train": 1, "val": 1}
    (tmp_path / "val" / "a.png").unlink()
    assert set(found(verify(Folder, tmp_path))) == {"list of ids"}
