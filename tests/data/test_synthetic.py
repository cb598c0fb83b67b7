import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from pamm.data import Rooms, Synthetic
from pamm.data.rooms import CLASSES, render_room
from pamm.data.rooms.room import BOUNDARY_SHARE, MEAN_DEPTH
from pamm.errors import PammError
from pamm.tasks import HumanParts


def test_items_are_exactly_what_was_rendered(rooms: Synthetic) -> None:
    for index in (0, 6, -1):
        item, room = rooms[index], render_room(Synthetic.SERIES["train"].seed, index % 7, 24, 32)
        assert np.array_equal(item["image"].numpy(), room.image.transpose(2, 0, 1))
        targets = {name: target.numpy() for name, target in item["targets"].items()}
        assert np.array_equal(targets["depth"][0], room.depth)
        assert np.array_equal(targets["normals"], room.normals.transpose(2, 0, 1))
        assert np.array_equal(targets["semseg"], room.semseg)
        assert np.array_equal(targets["human_parts"], room.human_parts)
        assert np.array_equal(targets["saliency"][0], room.saliency)
        assert np.array_equal(targets["boundary"][0], room.boundary)


def test_items_have_the_shapes_and_types_of_the_tasks(rooms: Synthetic) -> None:
    item = rooms[0]
    assert item["image"].dtype == torch.uint8
    assert item["id"] == "train-000000"
    assert item["size"] == (24, 32)
    assert list(item["targets"]) == list(Synthetic.TASKS)
    for name, task in Synthetic.TASKS.items():
        assert task.name == name
        missing = task.missing(24, 32)
        assert item["targets"][name].shape == missing.shape
        assert item["targets"][name].dtype == missing.dtype


def test_tasks_can_be_chosen(rooms: Synthetic) -> None:
    few = Synthetic(size=(24, 32), count=2, root=rooms.cache.root, tasks=["depth", "semseg"])
    assert list(few.tasks) == list(few[1]["targets"]) == ["depth", "semseg"]
    assert torch.equal(few[1]["targets"]["depth"], rooms[1]["targets"]["depth"])


def test_train_and_val_share_no_seed_and_no_picture(rooms: Synthetic) -> None:
    assert Synthetic.SERIES["train"].seed != Synthetic.SERIES["val"].seed
    val = Synthetic("val", size=(24, 32), count=3, root=rooms.cache.root)
    pictures = {item["image"].numpy().tobytes() for item in (*rooms, *val)}
    assert len(pictures) == 10


def test_where_nobody_is_the_varied_rooms_say_so(tmp_path: Path) -> None:
    """And the plain ones have no label there, as PASCAL-Context."""
    assert Rooms.TASKS["human_parts"] == HumanParts(empty_images=True)
    assert Synthetic.TASKS["human_parts"] == HumanParts()
    person, count = CLASSES.index("person"), 12
    for kind, label in ((Rooms, 0), (Synthetic, 255)):
        rooms = kind(size=(24, 32), count=count, root=tmp_path, tasks=["semseg", "human_parts"])
        targets = [rooms[i]["targets"] for i in range(count)]
        empty = [t["human_parts"] for t in targets if not (t["semseg"] == person).any()]
        assert 0 < len(empty) < count
        assert all(bool((parts == label).all()) for parts in empty)
        others = [t["human_parts"] for t in targets if (t["semseg"] == person).any()]
        assert all(0 < parts.max() < 7 for parts in others)


def test_classes_are_named() -> None:
    assert Synthetic.TASKS["semseg"].class_names == CLASSES
    assert Synthetic.TASKS["semseg"].channels == 16


def test_index_errors_and_pickling(rooms: Synthetic) -> None:
    with pytest.raises(IndexError, match="7 images"):
        rooms[7]
    copy = pickle.loads(pickle.dumps(rooms))
    assert torch.equal(copy[3]["image"], rooms[3]["image"])


def test_size_must_be_a_rooms() -> None:
    with pytest.raises(PammError, match="at least 16"):
        Synthetic(size=(15, 100))


def test_measured_constants_hold() -> None:
    """Mean depth and boundary share of 24 scenes at the default size, against the constants."""
    scenes = [render_room(Synthetic.SERIES["train"].seed, index, 128, 160) for index in range(24)]
    assert np.mean([room.depth.mean() for room in scenes]) == pytest.approx(MEAN_DEPTH, rel=0.1)
    share = np.mean([room.boundary.mean() for room in scenes])
    assert share == pytest.approx(BOUNDARY_SHARE, rel=0.2)
