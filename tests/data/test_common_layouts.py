"""The examples of docs/data.md, each carried out on miniature files of its layout."""

import dataclasses
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from fake_layouts import save
from PIL import Image

from pamm import cli
from pamm.data import Folder, verify
from pamm.tasks import TASK_TYPES

TEXT = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")
SIZE = (6, 8)


def example(heading: str, language: str) -> list[str]:
    """The code blocks under a heading of the document."""
    part = TEXT.partition(f"### {heading}\n")[2].partition("\n##")[0]
    assert part, heading
    return re.findall(rf"^```{language}\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)


def photograph(path: Path) -> None:
    save(path, np.full((*SIZE, 3), 90, np.uint8))


def halves(left: object, right: object) -> np.ndarray:
    """A label map of two values, or of two colours."""
    values = np.asarray([left, right], np.uint8)
    return values.repeat(4, 0)[None].repeat(6, 0)


def read(root: Path, task: str) -> dict[str, dict[str, list[int]]]:
    """Split -> id -> the values at the left and the right, of a sound data set."""
    report = verify(Folder, root)
    assert report.errors == 0, report.text()
    result = {}
    for split in Folder.SPLITS:
        samples = list(Folder(split, root=root))
        result[split] = {s["id"]: s["targets"][task][0, [0, -1]].tolist() for s in samples}
    return result


def test_images_and_masks(tmp_path):
    names = ["cat.jpg", "dog.jpeg", "fox.PNG", "owl.JPG", "sub/eel.webp"]
    for name in names:
        photograph(tmp_path / "images" / name)
        save(tmp_path / "masks" / Path(name).with_suffix(".png"), halves(0, 255))
    (tmp_path / "pamm.toml").write_text(*example("Images and masks", "toml"))
    assert Folder.declared_tasks(tmp_path)["object"].class_names == ("background", "object")
    found = read(tmp_path, "object")
    ids = {Path(name).with_suffix("").as_posix() for name in names}
    assert {**found["train"], **found["val"]} == {name: [0, 1] for name in ids}
    assert found["train"]
    assert found["val"]


def test_ade20k(tmp_path):
    for folder, name in (("training", "ADE_train_00000001"), ("validation", "ADE_val_00000001")):
        photograph(tmp_path / "images" / folder / f"{name}.jpg")
        save(tmp_path / "annotations" / folder / f"{name}.png", halves(0, 150))
    (tmp_path / "pamm.toml").write_text(*example("ADE20K", "toml"))
    assert read(tmp_path, "semseg") == {
        "train": {"train/ADE_train_00000001": [255, 149]},
        "val": {"val/ADE_val_00000001": [255, 149]},
    }


def test_cityscapes(tmp_path):
    for split, city in (("train", "aachen"), ("train", "ulm"), ("val", "münster")):
        name = f"{city}/{city}_000000_000019"
        photograph(tmp_path / f"leftImg8bit/{split}/{name}_leftImg8bit.png")
        save(tmp_path / f"gtFine/{split}/{name}_gtFine_labelIds.png", halves(4, 33))
    (tmp_path / "pamm.toml").write_text(*example("Cityscapes", "toml"))
    task = Folder.declared_tasks(tmp_path)["semseg"]
    assert (task.channels, task.class_names[6]) == (19, "traffic light")
    assert read(tmp_path, "semseg") == {
        "train": {f"train/{c}/{c}_000000_000019": [255, 18] for c in ("aachen", "ulm")},
        "val": {"val/münster/münster_000000_000019": [255, 18]},
    }


def test_colours(tmp_path):
    for name, colour in (("a", (0, 0, 142)), ("b", (0, 0, 70)), ("c", (70, 130, 180))):
        photograph(tmp_path / "images" / f"{name}.jpg")
        save(tmp_path / "labels" / f"{name}.png", halves((0, 0, 0), colour))
    indexed = Image.fromarray(halves(0, 1))
    indexed.putpalette([0, 0, 0, 128, 64, 128])
    indexed.save(tmp_path / "labels" / "c.png")
    (tmp_path / "pamm.toml").write_text(*example("Colours", "toml"))
    assert Folder.declared_tasks(tmp_path)["semseg"].class_names == ("road", "vehicle", "sky")
    found = read(tmp_path, "semseg")
    assert {**found["train"], **found["val"]} == {"a": [255, 1], "b": [255, 1], "c": [255, 0]}


def test_coco(tmp_path, monkeypatch):
    root = tmp_path / "coco"
    box = {"category_id": 3, "segmentation": [[4, 0, 8, 0, 8, 6, 4, 6]]}
    for split, name in (("train", "000000000009"), ("val", "000000000139")):
        photograph(root / f"{split}2017" / f"{name}.jpg")
        image = {"id": 7, "file_name": f"{name}.jpg", "height": 6, "width": 8}
        annotations = {
            "images": [image],
            "annotations": [{"id": 1, "image_id": 7, **box}],
            "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
        }
        path = root / "annotations" / f"instances_{split}2017.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(annotations))
    monkeypatch.chdir(tmp_path)
    for line in example("COCO", "text")[1].splitlines():
        cli.main(shlex.split(line)[1:])  # `verify` would exit with an error
    assert Folder.declared_tasks(root)["semseg"].class_names == ("background", "person", "car")
    assert read(root, "semseg") == {
        "train": {"train/000000000009": [0, 2]}, "val": {"val/000000000139": [0, 2]},
    }  # fmt: skip


def test_the_cases_have_an_example_each():
    anchors = set(re.findall(r"\]\(#([\w-]+)\)", TEXT))
    headings = re.findall("^#+ (.*)$", TEXT, re.MULTILINE)
    assert anchors <= {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}


def test_the_table_of_task_fields_is_complete():
    rows = [
        [c.strip(" `") for c in row.split("|")] for row in re.findall(r"^\|(.*)\|$", TEXT, re.M)
    ]
    listed = {row[0]: row for row in rows if len(row) == 4}
    for kind, task in TASK_TYPES.items():
        for field in dataclasses.fields(task):
            if field.name == "name":
                continue
            assert field.name in listed, f"{kind}.{field.name}"
            _, tasks, default, _ = listed[field.name]
            assert tasks == "all" or kind in tasks
            if isinstance(field.default, float) or (field.default and tasks != "all"):
                number = field.default
                text = f"{number:g}" if isinstance(number, int | float) else str(number)
                text = str(number).lower() if isinstance(number, bool) else text  # as TOML has it
                assert text in default or isinstance(number, tuple), f"{kind}.{field.name}"


@pytest.mark.parametrize("kind", TASK_TYPES)
def test_every_type_of_task_can_be_in_a_folder(kind):
    from pamm.data.encodings import type_for

    channels = {} if kind != "semseg" else {"channels": 3}
    encoding = type_for(TASK_TYPES[kind](**channels))
    assert f"| `{encoding}` |" in TEXT
