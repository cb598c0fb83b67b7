"""A data set described by a pamm.toml: what it says is done, and what does not fit is refused."""

import numpy as np
import pytest
import torch
from fake_layouts import save
from PIL import Image

from pamm.data import DataConfig, Folder, build_dataset, dataset_tasks, file_dataset, verify
from pamm.errors import PammError
from pamm.prediction import as_picture
from pamm.tasks import Boundary, Depth, Saliency, Semseg

GOOD = """
images = ["pictures/{id}.png", "pictures/{id}.jpg"]

[lists]
train = "train.txt"
val = "val.txt"

[tasks.ground]
type = "semseg"
files = "ground/{id}.png"
encoding = { type = "classes", first = 1, ignore = [0, 9] }
class_names = ["road", "grass"]
loss_weight = 2

[tasks.depth]
files = ["depth/{id}.png", "more/{id}.png"]
encoding = { type = "depth", per_metre = 256 }
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


def test_the_older_word_for_the_type_of_an_encoding(root):
    file = root / "pamm.toml"
    told = Folder("train", root=root)[0]
    file.write_text(file.read_text().replace("{ type =", "{ kind ="))
    assert file.read_text().count("kind") == 2
    assert torch.equal(
        Folder("train", root=root)[0]["targets"]["ground"], told["targets"]["ground"]
    )


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
        'encoding = { type = "mask", ignore = 128 }\nchannels = 1\n'
        '[tasks.edges]\ntype = "boundary"\nfiles = "{split}/edges/{id}.npy"\n'
        'encoding = { type = "mask", yes = 1 }\nmax_dist = 0.02\n'
    )
    for split, value in (("train", 255), ("val", 128)):
        save(tmp_path / split / "images" / "x[1].png", np.zeros((3, 4, 3), np.uint8))
        save(tmp_path / split / "masks" / "x[1]_mask.png", np.full((3, 4), value, np.uint8))
    save(tmp_path / "train" / "edges" / "x[1].npy", np.ones((3, 4)))
    for split, value, edge in (("train", 1, 1), ("val", 255, 255)):
        data = Folder(split, root=tmp_path)
        assert data.tasks == {
            "saliency": Saliency(channels=1), "edges": Boundary(name="edges", max_dist=0.02),
        }  # fmt: skip
        assert data[0]["id"] == f"{split}/x[1]"
        assert (data[0]["targets"]["saliency"] == value).all()
        assert (data[0]["targets"]["edges"] == edge).all()
    (tmp_path / "val" / "images" / "x[1].png").unlink()
    with pytest.raises(PammError, match="no image in .* matches"):
        Folder("val", root=tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("[lists]", "[list]", "unknown key 'list': did you mean 'lists'"),
        ("[lists]", "[lists", "cannot be read as TOML"),
        ('train = "train.txt"', "train = 3", "lists.train: got 3, want text"),
        ('val = "val.txt"', 'vall = "val.txt"', "unknown split 'vall': did you mean 'val'"),
        ('val = "val.txt"', "", "which images are for training and which for validation"),
        ('images = ["pictures/{id}.png", "pictures/{id}.jpg"]', "", "images: missing"),
        ('"pictures/{id}.png"', '"pictures/1.png"', "want a path with {id} in it, once"),
        ('"pictures/{id}.png"', '"{name}/{id}.png"', "placeholder other than {id} and {split}"),
        ('"pictures/{id}.png"', "7", "images: got 7, want a path"),
        ('["pictures/{id}.png", "pictures/{id}.jpg"]', "7", "images: got 7, want a path"),
        ('["pictures/{id}.png", "pictures/{id}.jpg"]', '"{id}\\n"', "want a path with {id} in it"),
        ('type = "semseg"', "type = []", "unknown type of task '[]'"),
        ('type = "classes"', "type = {}", "unknown type of encoding '{}'"),
        ("per_metre = 256", "per_metre = inf", "per_metre: got inf, want a finite number"),
        ('files = "ground/{id}.png"\n', "", "tasks.ground.files: missing"),
        ('type = "semseg"', "", "unknown type of task 'ground'"),
        ('type = "semseg"', 'type = "semsg"', "did you mean 'semseg'"),
        ("loss_weight", "loss_wieght", "tasks.ground: unknown key 'loss_wieght': did you mean"),
        ("loss_weight = 2", 'name = "x"', "tasks.ground: unknown key 'name'"),
        ("loss_weight = 2", "channels = 3", "2 class names for 3 channels"),
        (
            "loss_weight = 2",
            'loss_weight = "2"',
            "tasks.ground.loss_weight: got '2', want a number",
        ),
        ("loss_weight = 2", "loss_weight = -1", "loss_weight: got -1.0, want 0 to"),
        ('class_names = ["road", "grass"]', "", "tasks.ground: how many classes are there?"),
        ('type = "classes", ', "", "want a table such as"),
        ('type = "classes"', 'type = "class"', "encoding 'class': did you mean 'classes'"),
        ("first = 1", "frist = 1", "tasks.ground.encoding: unknown field 'frist'"),
        ("per_metre = 256", "serves = 1", "unknown field 'serves'. Known: per_metre, resize"),
        ("per_metre = 256", 'kind = "depth"', "unknown field 'kind'. Known: per_metre, resize"),
        ("per_metre = 256", "per_metre = 0", "per_metre is 0.0, want positive"),
        ("[tasks.depth]", "[tasks.ground.depth]", "tasks.ground: unknown key 'depth'"),
        ("[lists]", "validation = 0.1\n[lists]", "both validation = 0.1 and lists.val say"),
        ("[lists]", "validation = 2\n[lists]", "validation: got 2, want a share"),
        ("[lists]", '[splits]\ntrain = "a"\n[lists]', "`images` has no {split}"),
        ('"ground/{id}.png"', '"/ground/{id}.png"', "not a path under the folder"),
        ('"ground/{id}.png"', '"C:/ground/{id}.png"', "not a path under the folder"),
        ('"ground/{id}.png"', '"../ground/{id}.png"', "not a path under the folder"),
        ('"ground/{id}.png"', '"a/../../b/{id}.png"', "not a path under the folder"),
        ('type = "semseg"', 'typ = "semseg"', "unknown key 'typ': did you mean 'type'?"),
        ('"ground/{id}.png"', "'ground\\{id}.png'", "not a path under the folder"),
        ('"ground/{id}.png"', '"pictures/{id}.png"', "tasks.ground.files: 'pictures/{id}.png' are"),
        ('type = "semseg"', 'type = "normals"', "tasks.ground: unknown key 'class_names'"),
        (
            '"depth", per_metre = 256',
            '"mask"',
            'tasks.depth.encoding: type = "mask" does not fit a task of type "depth"; want '
            'encoding = { type = "depth" }',
        ),
        (
            'type = "classes", first = 1, ignore = [0, 9] }\nclass_names = ["road", "grass"]',
            'type = "depth" }',
            'does not fit a task of type "semseg"',
        ),
        ("first = 1, ", "numbers = { rode = 1 }, ", "did you mean 'road'"),
        (
            "first = 1, ",
            'numbers = { road = "a" }, ',
            "tasks.ground.encoding.numbers.road: got 'a'",
        ),
        ("first = 1, ignore = [0, 9]", 'colours = { road = "red" }', "encoding: the colour 'red'"),
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


def test_the_largest_image_of_many_sizes(root, monkeypatch):
    """From the beginnings of files; damaged ones are said when they are read."""
    save(root / "pictures" / "b" / "1.png", np.zeros((30, 20, 3), np.uint8))
    assert Folder("train", root=root).largest() == (30, 20)
    assert Folder("val", root=root).largest() == (3, 4)
    monkeypatch.setattr(file_dataset, "SAMPLED", 1)
    assert Folder("train", root=root).largest() == (30, 20)
    (root / "pictures" / "b" / "1.png").write_bytes(b"none")
    with pytest.raises(PammError, match="none of the images"):
        Folder("train", root=root).largest()
    monkeypatch.undo()
    assert Folder("train", root=root).largest() == (3, 4)


@pytest.mark.parametrize("orientation", [3, 6])
def test_labels_fit_the_image_as_it_is_seen(root, orientation):
    """An image is turned by its EXIF orientation in training as in prediction; labels are not."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:, 12:] = 255
    place = root / "pictures" / "c.jpg"
    (root / "pictures" / "c.png").unlink()
    Image.fromarray(pixels).save(place, exif=exif)
    data = Folder("val", root=root)
    seen = data[0]["image"].permute(1, 2, 0).numpy()
    assert np.array_equal(seen, as_picture(place))
    assert seen[:5, :5].mean() > 200 if orientation == 3 else seen[-5:].mean() > 200
    save(root / "ground" / "c.png", np.ones(seen.shape[:2], np.uint8))
    assert data[0]["targets"]["ground"].shape == seen.shape[:2]
    (turned,) = (f for f in verify(Folder, root).findings if f.check == "turned images")
    assert turned.examples == ("pictures/c.jpg",)
    if orientation == 6:
        save(root / "ground" / "c.png", np.ones((16, 24), np.uint8))
        with pytest.raises(PammError, match="is 16x24, but its image is 24x16; .* EXIF"):
            data[0]


IMAGE = np.full((3, 4, 3), 90, np.uint8)
DEPTHS = '[tasks.depth]\nfiles = "depth/{id}.npy"\nencoding = { type = "depth" }\n'


def shared(root, names, *, head='images = "images/{id}.png"\nvalidation = 0.3\n'):
    """A data set of images with depths, of which a share is for validation."""
    (root / "pamm.toml").write_text(head + DEPTHS)
    for name in names:
        save(root / "images" / f"{name}.png", IMAGE)
        save(root / "depth" / f"{name}.npy", np.ones((3, 4), np.float32))


def test_a_share_for_validation(tmp_path):
    names = [f"{i:03d}" for i in range(60)]
    shared(tmp_path, names[:40])
    before = {split: set(Folder(split, root=tmp_path).names) for split in ("train", "val")}
    assert before["train"] | before["val"] == set(names[:40])
    assert not before["train"] & before["val"]
    assert 5 <= len(before["val"]) <= 20
    shared(tmp_path, names)  # none moves from one to the other when images are added
    after = {split: set(Folder(split, root=tmp_path).names) for split in ("train", "val")}
    assert before["train"] < after["train"]
    assert before["val"] <= after["val"]
    assert Folder("val", root=tmp_path)[0]["id"] in names


@pytest.mark.parametrize("share", [1e-9, 1 - 1e-9])
def test_neither_split_of_a_share_is_empty(tmp_path, share):
    shared(tmp_path, ["a", "b"], head=f'images = "images/{{id}}.png"\nvalidation = {share}\n')
    assert [len(Folder(split, root=tmp_path)) for split in ("train", "val")] == [1, 1]
    (tmp_path / "images" / "a.png").unlink()
    with pytest.raises(PammError, match="a share of the images; got 1, want 2 or more"):
        Folder("train", root=tmp_path)


@pytest.mark.parametrize(
    "head",
    [
        'images = "images/{id}.png"\nvalidation = 0.3\n[lists]\ntrain = "all.txt"\n',
        'images = "{split}/{id}.png"\nvalidation = 0.3\n[splits]\ntrain = "images"\n',
    ],
)
def test_a_share_of_the_training_list_or_folder(tmp_path, head):
    shared(tmp_path, [f"{i:02d}" for i in range(10)], head=head)
    (tmp_path / "all.txt").write_text("".join(f"{i:02d}\n" for i in range(10)))
    splits = {split: Folder(split, root=tmp_path) for split in ("train", "val")}
    names = [data[i]["id"] for data in splits.values() for i in range(len(data))]
    assert sorted(names) == [f"{i:02d}" for i in range(10)]
    assert len(splits["val"]) > 0


def test_endings_in_any_case_and_spelling(tmp_path):
    names = ["a.jpg", "b.JPG", "c.jpeg", "d.Jpeg", "e.JPEG"]
    (tmp_path / "pamm.toml").write_text(
        'images = "{split}/{id}.jpg"\n[tasks.depth]\nfiles = "depth/{id}.png"\n'
        'encoding = { type = "depth" }\n'
    )
    for split in ("train", "val"):
        for name in names:
            save(tmp_path / split / name, IMAGE)
    for name in ("a.png", "b.PNG", "c.Png"):
        save(tmp_path / "depth" / name, np.ones((3, 4), np.uint8))
    data = Folder("train", root=tmp_path)
    assert data.names == ["a", "b", "c", "d", "e"]
    assert [int(data[i]["targets"]["depth"].sum()) for i in range(5)] == [12, 12, 12, 0, 0]


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("double", ["a.jpg", "a.jpeg"])
def test_two_images_with_one_id_are_refused(tmp_path, listed, double):
    lists = '\n[lists]\ntrain = "all.txt"\n' if listed else "\n"
    images = 'images = ["images/{id}.png", "images/{id}.jpg"]\nvalidation = 0.3'
    shared(tmp_path, ["a", "b"], head=images + lists)
    (tmp_path / "all.txt").write_text("a\nb\n")
    assert len(Folder("train", root=tmp_path)) == 1
    save(tmp_path / "images" / double, IMAGE)
    with pytest.raises(PammError, match=f"images/{double} and images/a.png have the same id 'a'"):
        Folder("train", root=tmp_path)


@pytest.mark.parametrize(
    ("images", "labels", "files"),
    [
        ("{id}.png", "{id}_depth.png", ["a.png", "a_depth.png"]),
        ("{id}.png", "depth/{id}.png", ["a.png", "depth/a.png"]),
        ("{id}.*", "{id}.png", ["a.jpg", "a.png"]),
        ("{id}/image.png", "{id}/depth.png", ["x/a/image.png", "x/a/depth.png"]),
        ("./{id}.jpg", "{id}.PNG", ["x/y/a.jpg", "x/y/a.png"]),
    ],
)
def test_a_label_is_not_an_image(tmp_path, images, labels, files):
    (tmp_path / "pamm.toml").write_text(
        f'images = "{images}"\nvalidation = 0.5\n[tasks.depth]\nfiles = "{labels}"\n'
        'encoding = { type = "depth" }\n'
    )
    for name in files:
        for one in (
            name,
            name.replace("a", "b", 1) if "/a/" not in name else name.replace("/a", "/b"),
        ):
            save(tmp_path / one, IMAGE if name == files[0] else IMAGE[..., 0])
    (tmp_path / ".hidden").mkdir()
    save(tmp_path / ".hidden" / files[0].rpartition("/")[2], IMAGE)
    names = [name for split in ("train", "val") for name in Folder(split, root=tmp_path).names]
    assert len(names) == 2
    for split in ("train", "val"):
        assert (Folder(split, root=tmp_path)[0]["targets"]["depth"] == 90).all()


def test_links_that_lead_in_circles_and_to_other_places(tmp_path):
    root, other = tmp_path / "set", tmp_path / "other"
    root.mkdir()
    shared(root, ["x/a", "x/b"])
    save(other / "c.png", IMAGE)
    (root / "images" / "y").symlink_to(other)
    (root / "images" / "x" / "round").symlink_to(root / "images")
    names = [name for split in ("train", "val") for name in Folder(split, root=root).names]
    assert sorted(names) == ["x/a", "x/b", "y/c"]


def test_a_task_without_any_label_is_refused_for_training(tmp_path):
    shared(tmp_path, ["a", "b", "c"])
    for path in (tmp_path / "depth").iterdir():
        path.unlink()
    with pytest.raises(PammError, match="has a label for 'depth': no file depth/{id}.npy; put"):
        Folder("train", root=tmp_path)
    assert (Folder("val", root=tmp_path)[0]["targets"]["depth"] == 0).all()


def test_a_description_with_a_byte_order_mark(root):
    path = root / "pamm.toml"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(Folder("train", root=root)) == 2


def test_its_folder_is_kept_as_an_absolute_path(root, monkeypatch):
    monkeypatch.chdir(root.parent)
    config = DataConfig(name="folder", root=root.name)
    monkeypatch.chdir("/")
    assert len(build_dataset(config, "val")) == 1


def test_a_mask_for_two_classes(tmp_path):
    shared(tmp_path, ["a", "b"])
    with (tmp_path / "pamm.toml").open("a") as file:
        file.write('[tasks.semseg]\nfiles = "masks/{id}.png"\nencoding = { type = "mask" }\n')
    for name in "ab":
        save(tmp_path / "masks" / f"{name}.png", np.full((3, 4), 255, np.uint8))
    data = Folder("train", root=tmp_path)
    assert data.tasks["semseg"].channels == 2
    assert (data[0]["targets"]["semseg"] == 1).all()


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ([(0, 255), (0, 255)], True),
        ([(0, 255), (0, 1)], False),
        ([(0, 0), (0, 0)], False),
        ([(255, 255), (255, 255)], False),
    ],
)
def test_masks_that_are_read_as_classes_are_refused(tmp_path, values, refused):
    (tmp_path / "pamm.toml").write_text(
        'images = "{split}/{id}.jpg"\n[tasks.semseg]\nfiles = "{split}/{id}.png"\n'
        'encoding = { type = "classes" }\nclass_names = ["no", "yes"]\n'
    )
    for name, pair in zip("ab", values, strict=True):
        save(tmp_path / "train" / f"{name}.jpg", np.zeros((2, 2, 3), np.uint8))
        save(tmp_path / "train" / f"{name}.png", np.array([pair, pair], np.uint8))
    if refused:
        with pytest.raises(PammError, match='such as .a.png., hold 0 and 255 only.*type = "mask"'):
            Folder("train", root=tmp_path)
    else:
        assert len(Folder("train", root=tmp_path)) == 2
