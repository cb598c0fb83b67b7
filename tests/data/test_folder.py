"""A data set described by a pamm.toml: what it says is done, and what does not fit is refused."""

import numpy as np
import pytest
import torch
from fake_layouts import save

from pamm.data import DataConfig, Folder, build_dataset, dataset_tasks
from pamm.errors import PammError
from pamm.tasks import Boundary, Depth, Saliency, Semseg

GOOD = """
images = ["pictures/{id}.png", "pictures/{id}.jpg"]

[lists]
train = "train.txt"
val = "val.txt"

[tasks.ground]
type = "semseg"
files = "ground/{id}.png"
encoding = { kind = "classes", first = 1, ignore = [0, 9] }
class_names = ["road", "grass"]
loss_weight = 2

[tasks.depth]
files = ["depth/{id}.png", "more/{id}.png"]
encoding = { kind = "depth", per_metre = 256 }
mean_depth = 12.5
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "pamm.toml").write_text(GOOD)
    (tmp_path / "train.txt").write_text("b/1\n a \n\n")
    (tmp_path / "val.txt").write_text("c\n")
    for name in ("a.jpg", "b/1.png", "c.png"):
        save(tmp_path / "pictures" / name, np.full((3, 4, 3), 90, np.uint8))
    save(tmp_path / "ground" / "b" / "1.png", np.array([[0, 1, 2, 9]] * 3, np.uint8))
    save(tmp_path / "depth" / "a.png", np.array([[0, 256, 512, 65535]] * 3, np.uint16))
    save(tmp_path / "more" / "b" / "1.png", np.array([[128] * 4] * 3, np.uint16))
    return tmp_path


def test_what_it_says_is_done(root):
    data = Folder("train", root=root)
    assert data.tasks == {
        "ground": Semseg(name="ground", channels=2, class_names=("road", "grass"), loss_weight=2.0),
        "depth": Depth(mean_depth=12.5),
    }
    first, second = data[0], data[1]
    assert (first["id"], second["id"]) == ("b/1", "a")
    assert first["targets"]["ground"].tolist() == [[255, 0, 1, 255]] * 3
    assert (second["targets"]["ground"] == 255).all()
    assert first["targets"]["depth"].tolist() == [[[0.5] * 4] * 3]
    assert torch.allclose(second["targets"]["depth"][0, 0], torch.tensor([0, 1, 2, 65535 / 256]))
    assert len(Folder("val", root=root / "pamm.toml")) == 1


def test_its_tasks_are_known_before_its_images(root):
    tasks = dataset_tasks(DataConfig(name="folder", root=str(root)))
    assert {name: t.channels for name, t in tasks.items()} == {"ground": 2, "depth": 1}
    assert list(build_dataset(DataConfig(name="folder", root=str(root)), "val")[0]["targets"]) == [
        "ground", "depth",
    ]  # fmt: skip


def test_splits_in_folders(tmp_path):
    (tmp_path / "pamm.toml").write_text(
        'images = "{split}/images/{id}.png"\n'
        '[tasks.saliency]\nfiles = "{split}/masks/{id}_mask.png"\n'
        'encoding = { kind = "mask", ignore = 128 }\nchannels = 1\n'
        '[tasks.edges]\ntype = "boundary"\nfiles = "{split}/edges/{id}.npy"\n'
        'encoding = { kind = "mask", yes = 1 }\nmax_dist = 0.02\n'
    )
    for split, value in (("train", 255), ("val", 128)):
        save(tmp_path / split / "images" / "x[1].png", np.zeros((3, 4, 3), np.uint8))
        save(tmp_path / split / "masks" / "x[1]_mask.png", np.full((3, 4), value, np.uint8))
    for split, value in (("train", 1), ("val", 255)):
        data = Folder(split, root=tmp_path)
        assert data.tasks == {
            "saliency": Saliency(channels=1), "edges": Boundary(name="edges", max_dist=0.02),
        }  # fmt: skip
        assert data[0]["id"] == f"{split}/x[1]"
        assert (data[0]["targets"]["saliency"] == value).all()
        assert (data[0]["targets"]["edges"] == 255).all()
    (tmp_path / "val" / "images" / "x[1].png").unlink()
    with pytest.raises(PammError, match="no image in .* matches"):
        Folder("val", root=tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("[lists]", "[list]", "unknown key 'list': did you mean 'lists'"),
        ("[lists]", "[lists", "cannot be read as TOML"),
        ('train = "train.txt"', "train = 3", "lists.train: got 3, want str"),
        ('val = "val.txt"', 'vall = "val.txt"', "unknown split 'vall': did you mean 'val'"),
        ('val = "val.txt"', "", "which images are for training and which for validation"),
        ('images = ["pictures/{id}.png", "pictures/{id}.jpg"]', "", "images: missing"),
        ('"pictures/{id}.png"', '"pictures/1.png"', "want a path with {id} in it, once"),
        ('"pictures/{id}.png"', '"{name}/{id}.png"', "placeholder other than {id} and {split}"),
        ('"pictures/{id}.png"', "7", "images: got 7, want a path"),
        ('files = "ground/{id}.png"\n', "", "tasks.ground.files: missing"),
        ('type = "semseg"', "", "unknown type of task 'ground'"),
        ('type = "semseg"', 'type = "semsg"', "did you mean 'semseg'"),
        ("loss_weight", "loss_wieght", "tasks.ground: unknown key 'loss_wieght': did you mean"),
        ("loss_weight = 2", 'name = "x"', "tasks.ground: unknown key 'name'"),
        ("loss_weight = 2", "channels = 3", "2 class names for 3 channels"),
        ("loss_weight = 2", 'loss_weight = "2"', "tasks.ground.loss_weight: got '2', want float"),
        ("loss_weight = 2", "loss_weight = -1", "loss_weight: got -1.0, want 0 to"),
        ('class_names = ["road", "grass"]', "", "the field 'channels' is missing"),
        ('kind = "classes", ', "", "want a table such as"),
        ('kind = "classes"', 'kind = "class"', "unknown kind 'class': did you mean 'classes'"),
        ("first = 1", "frist = 1", "tasks.ground.encoding: unknown field 'frist'"),
        ("per_metre = 256", "per_metre = 0", "per_metre is 0.0, must be positive"),
        ("[tasks.depth]", "[tasks.ground.depth]", "tasks.ground: unknown key 'depth'"),
    ],
)
def test_mistakes_are_named(root, old, new, hint):
    assert GOOD.count(old) == 1
    (root / "pamm.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(PammError) as caught:
        Folder("train", root=root)
    assert hint in str(caught.value)
    assert "pamm.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_tasks_and_no_description(tmp_path):
    with pytest.raises(PammError, match="no pamm.toml there; give its folder as --data.root"):
        Folder("train", root=tmp_path)
    (tmp_path / "pamm.toml").write_text('images = "{split}/{id}.png"')
    with pytest.raises(PammError, match=r"no tasks; give at least one table such as \[tasks.depth"):
        Folder("train", root=tmp_path)
