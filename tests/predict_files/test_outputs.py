"""What is written of an image, read back by others: Pillow, JSON, and a reader of PLY by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fake_network import CHANNELS, Fake, photo
from pamm.errors import PammError
from pamm.pictures.images import read_image
from pamm.pictures.point_cloud import write_point_cloud
from pamm.predict_files import SaveOptions, predict_files
from pamm.prediction import Look, predict
from pamm.predictor import Predictor
from pamm.tasks import Depth, Semseg
from pamm.views.augmentation import TestTimeAugmentation


@pytest.fixture
def image(tmp_path: Path) -> Path:
    Image.fromarray(photo(30, 44)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def written(model: Fake, image: Path, *kinds: str, **options: object) -> Path:
    """The folder that one image gets."""
    out = image.parent / "-".join(kinds)
    save = SaveOptions(kinds=kinds, **options)  # type: ignore[arg-type]
    assert predict_files(model, [image], out, save=save, report=str) == 0
    return out / "a"


def test_depth_in_millimetres(image):
    model = Fake()
    folder = written(model, image, "mm", "npy")
    with Image.open(folder / "depth.mm.png") as picture:
        assert picture.mode.startswith("I;16") or picture.mode == "I"
        levels = np.asarray(picture)
    np.testing.assert_array_equal(levels, np.rint(np.load(folder / "depth.npy") * 1000))
    assert levels.max() > 255
    assert sorted(p.name for p in folder.glob("*.mm.png")) == ["depth.mm.png"]


def test_depth_that_16_bits_do_not_hold_is_the_farthest(tmp_path):
    model = Fake({"depth": 1})
    model.heads["depth"].bias.data.fill_(100.0)
    Image.fromarray(photo(4, 5)).save(tmp_path / "a.png")
    folder = written(model, tmp_path / "a.png", "mm")
    with Image.open(folder / "depth.mm.png") as picture:
        assert (np.asarray(picture) == 65535).all()


def read_ply(path: Path) -> np.ndarray:
    header, _, body = path.read_bytes().partition(b"end_header\n")
    lines = header.decode("ascii").split("\n")
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    types = {"float": "<f4", "uchar": "u1"}
    fields = [line.split() for line in lines if line.startswith("property")]
    points = np.frombuffer(body, np.dtype([(name, types[kind]) for _, kind, name in fields]))
    assert lines[2] == f"element vertex {len(points)}"
    return points


def test_a_point_cloud_projects_back_to_the_image(image):
    folder = written(Fake(), image, "ply", "npy", field_of_view=90.0)
    points, depth = read_ply(folder / "points.ply"), np.load(folder / "depth.npy")
    known = depth > 0
    assert len(points) == known.sum()
    focal = 44 / 2 / math.tan(math.radians(45))
    columns = focal * points["x"] / -points["z"] + 44 / 2 - 0.5
    rows = -focal * points["y"] / -points["z"] + 30 / 2 - 0.5
    expected = np.argwhere(known)
    np.testing.assert_allclose(rows, expected[:, 0], atol=1e-3)
    np.testing.assert_allclose(columns, expected[:, 1], atol=1e-3)
    np.testing.assert_allclose(-points["z"], depth[known], rtol=1e-6)
    colours = np.stack([points[c] for c in ("red", "green", "blue")], axis=-1)
    np.testing.assert_array_equal(colours, photo(30, 44)[known])


def test_pixels_without_a_depth_are_no_points(tmp_path):
    depth = np.array([[1.0, 0.0], [np.nan, np.inf], [-2.0, 3.0]])
    picture = np.zeros((3, 2, 3), np.uint8)
    assert write_point_cloud(tmp_path / "p.ply", picture, depth, field_of_view=60) == 2
    assert sorted(-read_ply(tmp_path / "p.ply")["z"]) == [1, 3]


def test_a_legend_names_the_classes_that_are_seen(image):
    names = ("wall", "floor", "chair", "table", "lamp")
    tasks = {"semseg": Semseg(channels=5, class_names=names), "depth": Depth()}
    model = Predictor(Fake({"semseg": 5, "depth": 1}), tasks)
    folder = written(model, image, "legend", "png", "npy")
    assert sorted(p.name for p in folder.glob("*.legend.png")) == ["semseg.legend.png"]
    drawn = {tuple(c) for c in read_image(folder / "semseg.legend.png").reshape(-1, 3)}
    for colour in tasks["semseg"].legend(np.load(folder / "semseg.npy")).values():
        assert colour in drawn


def test_a_summary_says_what_is_seen(image):
    folder = written(Fake(), image, "summary", "npy")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["size"] == [30, 44]
    assert list(summary["tasks"]) == list(CHANNELS)
    arrays = {name: np.load(folder / f"{name}.npy") for name in CHANNELS}
    seen = summary["tasks"]
    shares = {c: (arrays["semseg"] == c).mean() for c in np.unique(arrays["semseg"])}
    assert seen["semseg"]["classes"] == {
        str(c): pytest.approx(share, abs=1e-4) for c, share in shares.items()
    }
    assert list(seen["semseg"]["classes"].values()) == sorted(shares.values(), reverse=True) or (
        len(shares) == 1
    )
    depth = arrays["depth"][arrays["depth"] > 0]
    assert seen["depth"] == {
        "unit": "m",
        "least": pytest.approx(depth.min(), abs=1e-4),
        "median": pytest.approx(np.median(depth), abs=1e-4),
        "greatest": pytest.approx(depth.max(), abs=1e-4),
    }
    yes = arrays["saliency"] > 0.5
    assert seen["saliency"]["share"] == pytest.approx(yes.mean(), abs=1e-4)
    rows, columns = np.nonzero(yes)
    expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if yes.any() else None
    assert seen["saliency"]["box"] == expected
    assert seen["boundary"] == {"share": pytest.approx((arrays["boundary"] > 0.5).mean(), abs=1e-4)}
    up = (arrays["normals"][..., 1] > math.cos(math.radians(30))).mean()
    assert seen["normals"]["facing"]["up"] == pytest.approx(up, abs=1e-4)


def test_how_the_network_looks_is_as_in_python(image):
    look = Look(max_side=24, augmentation=TestTimeAugmentation(scales=(1, 2), flip=True), tile=16)
    out = image.parent / "out"
    predict_files(Fake(), [image], out, look=look, save=["npy"], report=str)
    expected = predict(Fake(), photo(30, 44), max_side=24, augmentation=look.augmentation, tile=16)
    for name, array in expected.items():
        np.testing.assert_array_equal(np.load(out / "a" / f"{name}.npy"), array)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": ("pgn",)}, "unknown output 'pgn'"),
        ({"kinds": ()}, "save: got nothing"),
        ({"field_of_view": 180}, "field_of_view: got 180"),
        ({"field_of_view": 0}, "field_of_view: got 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(PammError, match=message):
        SaveOptions(**options)


@pytest.mark.parametrize("kind", ["mm", "ply"])
def test_what_is_made_of_depth_wants_depth(image, kind):
    with pytest.raises(PammError, match=f"save: '{kind}' is made of depth"):
        predict_files(Fake(), [image], image.parent / "out", tasks=["semseg"], save=[kind])
    assert not (image.parent / "out").exists()
