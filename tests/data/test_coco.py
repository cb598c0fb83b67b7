"""Objects in COCO's JSON, as polygons and run lengths, against masks that are known."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pamm.data import Folder
from pamm.data.coco import convert_coco, mask_of
from pamm.errors import PammError
from pamm.pictures.images import read_pixels

SIZE = (6, 9)


def runs(mask: np.ndarray) -> list[int]:
    """Run lengths down the columns, the first of pixels outside."""
    flat = [0, *mask.T.reshape(-1).astype(int), 2]
    changes = np.flatnonzero(np.diff(flat))
    return np.diff([0, *changes]).tolist()


def packed(counts: list[int]) -> str:
    """The string form: differences to the number two before, in digits of 5 bits."""
    text = ""
    for i, count in enumerate(counts):
        value, more = count - (counts[i - 2] if i > 2 else 0), True
        while more:
            digit, value = value & 31, value >> 5
            more = value != (-1 if digit & 16 else 0)
            text += chr(48 + digit + (32 if more else 0))
    return text


@given(seed=st.integers(0, 2**32), share=st.floats(0, 1), wide=st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_run_lengths(seed, share, wide):
    size = (6, wide)
    mask = np.random.default_rng(seed).random(size) < share
    for counts in (runs(mask), packed(runs(mask))):
        drawn = mask_of({"segmentation": {"size": list(size), "counts": counts}}, size)
        np.testing.assert_array_equal(drawn, mask)


@pytest.mark.parametrize(
    ("polygons", "box"),
    [
        ([[2, 1, 6, 1, 6, 4, 2, 4]], (1, 4, 2, 6)),
        ([[2.4, 1.4, 2.4, 4.4, 6.4, 4.4, 6.4, 1.4]], (1, 4, 2, 6)),
        ([[-5, -5, 99, -5, 99, 99, -5, 99]], (0, 6, 0, 9)),
        ([[20, 1, 26, 1, 26, 4]], (0, 0, 0, 0)),
        ([[2, 1, 4, 1, 4, 4, 2, 4], [4, 1, 6, 1, 6, 4, 4, 4]], (1, 4, 2, 6)),
        ([], (0, 0, 0, 0)),
    ],
)
def test_polygons(polygons, box):
    expected = np.zeros(SIZE, bool)
    expected[box[0] : box[1], box[2] : box[3]] = True
    np.testing.assert_array_equal(mask_of({"segmentation": polygons}, SIZE), expected)


def test_a_triangle_has_half_the_pixels_of_its_box():
    drawn = mask_of({"segmentation": [[0, 0, 100, 0, 0, 100]]}, (100, 100))
    assert abs(int(drawn.sum()) - 5000) <= 50
    assert drawn[10, 10]
    assert not drawn[60, 60]


def annotations(root: Path, name: str = "a.json", **changes) -> None:
    values = {
        "images": [
            {"id": 1, "file_name": "x/1.jpg", "height": 6, "width": 9},
            {"id": 3, "file_name": "y.png", "height": 1, "width": 2},
        ],
        "categories": [{"id": 9, "name": "cup"}, {"id": 2, "name": "table é"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 9, "segmentation": [[3, 2, 5, 2, 5, 4, 3, 4]]},
            {"id": 2, "image_id": 1, "category_id": 2, "segmentation": [[2, 1, 8, 1, 8, 5, 2, 5]]},
        ],
    }
    (root / name).write_text(json.dumps({**values, **changes}))
    (root / "images").mkdir(exist_ok=True)


def test_smaller_objects_are_in_front(tmp_path):
    annotations(tmp_path)
    convert_coco(tmp_path, {"train": ("a.json", "images")})
    drawn = read_pixels(tmp_path / "semseg" / "images" / "x" / "1.png")
    expected = np.zeros(SIZE, int)
    expected[1:5, 2:8] = 1
    expected[2:4, 3:5] = 2
    np.testing.assert_array_equal(drawn, expected)
    task = Folder.declared_tasks(tmp_path)["semseg"]
    assert task.class_names == ("background", "table é", "cup")
    layout = Folder.layout(tmp_path)
    assert layout.validation == 0.1
    assert (tmp_path / layout.lists["train"]).read_text() == "x/1\ny\n"
    with pytest.raises(PammError, match="is there already; delete it"):
        convert_coco(tmp_path, {"train": ("a.json", "images")})


def test_more_than_255_categories(tmp_path):
    annotations(tmp_path, categories=[{"id": i, "name": f"c{i}"} for i in range(1203)])
    convert_coco(tmp_path, {"train": ("a.json", "images")})
    drawn = read_pixels(tmp_path / "semseg" / "images" / "x" / "1.png")
    assert set(np.unique(drawn)) == {0, 3, 10}
    task = Folder.declared_tasks(tmp_path)["semseg"]
    assert (task.channels, task.ignore_index) == (1204, 65535)


CUP = {"id": 1, "file_name": "x/1.jpg", "height": 6, "width": 9}
CROWD = {"id": 5, "image_id": 1, "category_id": 9}


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"images": None}, "not an annotation file of COCO's kind"),
        ({"images": [{"id": 1}]}, "KeyError 'file_name'"),
        ({"images": [{"id": 1, "file_name": "../1.jpg", "height": 1, "width": 1}]}, "an image"),
        ({"images": [{"id": 1, "file_name": "/1.jpg", "height": 1, "width": 1}]}, "an image"),
        ({"annotations": [{**CROWD, "category_id": 3}]}, "no category 3"),
        ({"annotations": [{**CROWD, "image_id": 8, "segmentation": [[1, 2]]}]}, "KeyError 8"),
        ({"annotations": [{**CROWD, "bbox": [1, 2, 3, 4]}]}, "boxes do not say which pixels"),
        ({"categories": [{"id": 9, "name": "x"}, {"id": 2, "name": "x"}]}, "share a name"),
        ({"categories": [{"id": 9, "name": "background"}, {"id": 2, "name": "x"}]}, "background"),
        ({"annotations": [{**CROWD, "segmentation": [[1, 2, 3]]}]}, "annotation 5 has no readable"),
        ({"annotations": [{**CROWD, "segmentation": {"size": [6, 9], "counts": [3]}}]}, "of 3 pix"),
        ({"annotations": [{**CROWD, "segmentation": {"counts": "abc"}}]}, "annotation 5 has no"),
    ],
)
def test_what_is_no_annotation_file(tmp_path, changes, hint):
    annotations(tmp_path, **changes)
    with pytest.raises(PammError, match=hint) as caught:
        convert_coco(tmp_path, {"train": ("a.json", "images")})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pamm.toml").exists()


def test_places_that_are_not_there(tmp_path):
    annotations(tmp_path)
    with pytest.raises(PammError, match="no file .*b.json"):
        convert_coco(tmp_path, {"train": ("b.json", "images")})
    with pytest.raises(PammError, match="no folder 'pictures' in"):
        convert_coco(tmp_path, {"train": ("a.json", "pictures")})
    cup = {**CROWD, "segmentation": [[3, 2, 5, 2, 5, 4]]}
    annotations(tmp_path, "c.json", images=[CUP], annotations=[cup])
    with pytest.raises(
        PammError, match="validation takes a share of the images; got 1, want 2 or more"
    ):
        convert_coco(tmp_path, {"train": ("c.json", "images")})
    annotations(tmp_path, "b.json", categories=[{"id": 9, "name": "x"}, {"id": 2, "name": "y"}])
    with pytest.raises(PammError, match="different categories"):
        convert_coco(tmp_path, {"train": ("a.json", "images"), "val": ("b.json", "images")})
