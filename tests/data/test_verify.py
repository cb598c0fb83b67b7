"""Every defect that `verify` knows is planted in a sound data set, and found."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from fake_layouts import fake_nyud, fake_pascal, mat, save, write_list

from pamm.data import NYUD, Folder, PascalContext, verify
from pamm.errors import PammError
from pamm.runtime.strict_json import to_json

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
    fake_pascal(tmp_path, missing={"semseg": ["2008_000001"]}, seed=1)
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
    "centimetres": (
        _depth(100), "odd values of depth", "warning", 5, "are these centimetres?",
    ),
    "scaled depth": (_depth(0.1), "odd values of depth", "warning", 5, "scaled to 0..1?"),
    "beyond max_depth": (_depth(120), "odd values of depth", "warning", 5, "none is scored"),
    "holes only": (
        _put("depth/0002.npy", np.zeros(SIZE)), "empty labels of depth", "warning", 1,
        "depth/0002.npy",
    ),
    "infinite depth": (
        _put("depth/0002.npy", np.full(SIZE, np.inf)), "empty labels of depth", "warning", 1,
        "depth/0002.npy",
    ),
    "all masks empty": (
        lambda r: [save(r / f"edge/{i:04d}.png", np.zeros(SIZE, np.uint8)) for i in (4, 5)],
        "masks without yes", "error", 1, "no pixel of val is yes in 2 masks of boundary",
    ),
    "one mask empty": (
        _put("edge/0002.png", np.zeros(SIZE, np.uint8)), "masks without yes", "warning", 1,
        "edge/0002.png",
    ),
    "masks all yes": (
        lambda r: [save(r / f"edge/{i:04d}.png", np.full(SIZE, 255, np.uint8)) for i in (4, 5)],
        "masks without no", "error", 1, "no pixel of val is no in 2 masks",
    ),
    "one class": (
        lambda r: [
            save(r / f"segmentation/{i:04d}.png", np.full(SIZE, 3, np.uint8)) for i in range(1, 6)
        ],
        "classes of semseg", "warning", 1, "of 40 classes only cabinet occurs",
    ),
    "classes that never occur": (
        lambda r: [
            save(r / f"segmentation/{i:04d}.png", np.indices(SIZE)[1].astype(np.uint8) % 39)
            for i in range(1, 6)
        ],
        "classes of semseg", "warning", 1,
        "2 classes of 40 never occur: other furniture, other prop",
    ),
    "a class of val only": (
        lambda r: [
            save(r / f"segmentation/{i:04d}.png",
                 np.minimum(np.indices(SIZE)[1], 40 - (i < 4)).astype(np.uint8))
            for i in range(1, 6)
        ],
        "unseen classes of semseg", "warning", 1, "1 class of val is never seen in train: other p",
    ),
    "classes in JPEG": (
        lambda r: (r / "segmentation/0002.png").write_bytes(
            b"\xff\xd8\xff" + (r / "segmentation/0002.png").read_bytes()
        ),
        "class numbers in JPEG", "error", 1, "segmentation/0002.png",
    ),
    "another ending": (
        _put("images/0098.webp", np.zeros((*SIZE, 3), np.uint8)), "files left over", "warning", 1,
        "images/0098.webp",
    ),
    "two images of a name": (
        _put("images/0002.jpg", np.zeros((*SIZE, 3), np.uint8)), "list of ids", "error", 1,
        "have the same id '0002'",
    ),
    "another name of labels": (
        _put("depth/0002_depth.npy", np.ones(SIZE)), "labels without image", "warning", 1,
        "depth/0002_depth.npy",
    ),
    "a header of much": (
        lambda r: (r / "depth/0002.npy").write_bytes(
            (r / "depth/0002.npy").read_bytes().replace(b"(45, 61)", b"(10000000, 99999)")
        ),
        "damaged files", "error", 1, "depth/0002.npy",
    ),
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
                    "id twice": {"extra images"}, "edges of 0 and 1": {"masks without yes"},
                    "all masks empty": {"masks without yes"},
                    "two images of a name": {"number of images", "extra images"}}  # fmt: skip
    assert set(seen) <= {check} | consequences.get(name, set())


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
    seen = found(verify(PascalContext, tmp_path))
    assert seen["size of labels"][0] == "error"
    assert set(seen) == {"size of labels", "masks without yes", "empty labels of normals"}


def test_a_folder_with_both_splits_in_folders(tmp_path):
    """The same file name in two folders is two images; there are no lists to be missing in."""
    (tmp_path / "pamm.toml").write_text(
        'images = "{split}/{id}.png"\n[tasks.depth]\nfiles = "{split}/{id}.npy"\n'
        'encoding = { type = "depth" }\n'
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


TASK = '[tasks.{task}]\nfiles = "labels/{{id}}.{ending}"\nencoding = {{ type = "{kind}" }}\n'


def folder(root: Path, labels: dict[str, np.ndarray], *, task: str, kind: str, more: str = ""):
    """Images with labels {name: array}, the same in training and validation but for the names."""
    ending = "npy" if any(array.dtype.kind == "f" for array in labels.values()) else "png"
    text = 'images = "{split}/{id}.png"\n' + TASK.format(task=task, kind=kind, ending=ending)
    (root / "pamm.toml").write_text(text + more)
    for split in ("train", "val"):
        for name, array in labels.items():
            save(root / split / f"{split}-{name}.png", np.zeros((*array.shape[:2], 3), np.uint8))
            save(root / "labels" / f"{split}-{name}.{ending}", array)
    return root


@pytest.mark.parametrize(
    ("depth", "words"),
    [(0.4, "scaled to 0..1"), (150, "centimetres?; no depth below the task's max_depth, 80 m")],
)
def test_near_and_far_scenes_are_warned_of_and_usable(tmp_path, depth, words):
    near = RNG.uniform(0.9 * depth, 1.1 * depth, (8, 9)).astype(np.float32)
    report = verify(Folder, folder(tmp_path, {"a": near}, task="depth", kind="depth"))
    assert report.errors == 0
    assert words in report.text()
    more = "max_depth = 300\n"
    far = verify(Folder, folder(tmp_path, {"a": near}, task="depth", kind="depth", more=more))
    assert "max_depth" not in far.text()


def test_a_task_without_one_labelled_pixel_is_an_error(tmp_path):
    holes = np.zeros((8, 9), np.float32)
    report = verify(Folder, folder(tmp_path, {"a": holes}, task="depth", kind="depth"))
    assert report.errors == 1  # without one to validate on, training works
    assert "not one pixel of train is labelled for depth, in 1 file\n" in report.text()


def test_masks_read_as_classes_are_an_error_that_names_the_encoding(tmp_path):
    mask = np.zeros((8, 9), np.uint8)
    mask[2:5] = 255
    root = folder(
        tmp_path, {"a": mask}, task="semseg", kind="classes", more='class_names = ["no", "yes"]\n'
    )
    report = verify(Folder, root)
    assert report.errors == 1
    assert "of 2 classes only no occurs" in report.text()
    assert 'type = "mask"' in report.text()


def test_files_of_other_endings_are_left_over(tmp_path):
    classes = np.arange(16, dtype=np.uint8).reshape(4, 4) % 2
    root = folder(tmp_path, {"a": classes}, task="semseg", kind="classes", more="channels = 2\n")
    for name in ("b.JPG", "c.jpeg", "notes.txt", ".d.jpg"):
        (root / "train" / name).write_bytes(b"")
    (root / "labels" / "train-a.PNG").write_bytes(b"")
    (left,) = verify(Folder, root).findings
    assert (left.check, left.severity, left.count) == ("files left over", "warning", 3)
    assert left.examples == ("labels/train-a.PNG", "train/b.JPG", "train/c.jpeg")
    assert ".JPG, .PNG, .jpeg" in left.advice


@pytest.mark.parametrize("files", ["/data/{id}.png", "C:/data/{id}.png", "\\\\host\\a\\{id}.png"])
@pytest.mark.parametrize("key", ["images", "files"])
def test_absolute_patterns_are_refused(tmp_path, key, files):
    text = 'images = "{split}/{id}.png"\n' + TASK.format(task="depth", kind="depth", ending="png")
    old = "{split}/{id}.png" if key == "images" else "labels/{id}.png"
    (tmp_path / "pamm.toml").write_text(text.replace(old, files.replace("\\", "\\\\")))
    with pytest.raises(PammError, match="is not a path under the folder of the pamm.toml"):
        verify(Folder, tmp_path)


@pytest.mark.parametrize("field", ["mean_depth", "max_depth"])
@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan"])
def test_depths_that_cannot_be_are_refused(tmp_path, field, value):
    depth = np.ones((4, 4), np.float32)
    root = folder(tmp_path, {"a": depth}, task="depth", kind="depth", more=f"{field} = {value}\n")
    with pytest.raises(PammError, match=f"{field}: got .*, want (more than 0|a finite number)"):
        verify(Folder, root)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no pipes")
@pytest.mark.parametrize("name", ["train/train-a.png", "labels/train-a.npy", "pamm.toml"])
def test_pipes_are_not_waited_for(tmp_path, name):
    root = folder(tmp_path, {"a": np.ones((4, 4), np.float32)}, task="depth", kind="depth")
    (root / name).unlink()
    os.mkfifo(root / name)
    if name == "pamm.toml":
        with pytest.raises(PammError, match="is a pipe"):
            verify(Folder, root)
    else:
        assert "is a pipe" in verify(Folder, root).text()


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 kinds of errors"), (1, "1 kind of error"), (2, "2 kinds of errors")]
)
def test_what_is_counted_agrees_with_its_number(tmp_path, count, words):
    fake_nyud(tmp_path)
    for split in ("train", "val")[:count]:
        (tmp_path / "gt_sets" / f"{split}.txt").write_text("")
    assert f"{words}, " in verify(NYUD, tmp_path).text()
