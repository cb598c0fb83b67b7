"""Files to targets, for every way to store labels; what looks wrong with them is said."""

import numpy as np
import pytest
import torch
from fake_layouts import save
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pamm.data.encodings import (
    Classes,
    DepthMap,
    Mask,
    NormalMap,
    ValueMap,
    check,
    nearest,
    type_for,
)
from pamm.data.rooms import render_room
from pamm.errors import PammError
from pamm.tasks import Boundary, Depth, Normals, Saliency, Semseg
from pamm.tasks.continuous_map import ContinuousMap

RNG = np.random.default_rng(0)


def read(encoding, path, array, task):
    save(path, array)
    return encoding.target(encoding.read(path), task)


@given(
    first=st.integers(0, 300),
    channels=st.integers(1, 300),
    ignore=st.lists(st.integers(0, 700), max_size=3),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=80, deadline=None)
def test_class_numbers(first, channels, ignore, seed):
    rng = np.random.default_rng(seed)
    values = rng.choice([*range(first, first + channels), *ignore], size=(5, 6)).astype(np.int32)
    task = Semseg(channels=channels, ignore_index=-1)
    target = Classes(first=first, ignore=tuple(ignore)).target(values, task)
    expected = [[-1 if v in ignore else v - first for v in row] for row in values.tolist()]
    assert target.tolist() == expected
    assert target.dtype == torch.int64


@pytest.mark.parametrize("ending", [".png", ".npy"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_class_maps_of_8_and_16_bits(tmp_path, ending, dtype):
    values = RNG.integers(0, 200, (5, 7)).astype(dtype)
    target = read(Classes(), tmp_path / f"a{ending}", values, Semseg(channels=200))
    np.testing.assert_array_equal(target.numpy(), values)


def test_a_palette_is_not_looked_at(tmp_path):
    picture = Image.fromarray(np.array([[0, 1], [2, 255]], np.uint8))
    picture.putpalette(RNG.integers(0, 256, 768).tolist())
    picture.save(tmp_path / "a.png")
    target = Classes().target(Classes().read(tmp_path / "a.png"), Semseg(channels=3))
    assert target.tolist() == [[0, 1], [2, 255]]


@pytest.mark.parametrize("wrong", [-1, 3, 254])
def test_foreign_class_numbers_are_refused(wrong):
    values = np.array([[0, 1], [2, wrong]])
    with pytest.raises(PammError, match=f"class number {wrong} is neither one of 'semseg', 0 to 2"):
        Classes().target(values, Semseg(channels=3))


@pytest.mark.parametrize(
    ("array", "encoding"),
    [
        (np.array([[0, 255], [255, 0]], np.uint8), Mask()),
        (np.array([[False, True], [True, False]]), Mask()),
        (np.array([[0.0, 1], [1, 0]]), Mask(yes=1)),
        (np.array([[False, True], [True, False]]), Mask(yes=1)),
        (np.array([[127, 128], [255, 0]], np.uint8), Mask(soft=True)),
        (np.array([[3, 9], [9, 3]], np.uint8)[..., None].repeat(3, 2), Mask(yes=10)),
    ],
)
def test_masks(tmp_path, array, encoding):
    names = ["a.npy"] if array.dtype == float else ["a.npy", "a.png"]
    for name in names:
        target = read(encoding, tmp_path / name, array, Boundary())
        assert target.tolist() == [[[0, 1], [1, 0]]]
        assert target.dtype == torch.uint8


def test_masks_with_pixels_without_a_label():
    values = np.array([[0, 128, 255]], np.uint8)
    assert Mask(ignore=128).target(values, Saliency()).tolist() == [[[0, 255, 1]]]
    assert not Mask(ignore=128).complaints(values)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (Saliency(), [[[0, 255, 1]]]),
        (Semseg(channels=2), [[0, 255, 1]]),
        (Semseg(channels=2, ignore_index=-1), [[0, -1, 1]]),
    ],
)
def test_a_mask_is_a_task_of_two_classes_too(task, expected):
    encoding = Mask(ignore=128)
    check(encoding, task)
    target = encoding.target(np.array([[0, 128, 255]], np.uint8), task)
    assert target.tolist() == expected
    assert target.dtype == task.target_dtype
    assert encoding.store(target.numpy(), task, picture=True).tolist() == [[0, 128, 255]]


GREY = np.array([[0, 255], [0, 0]], np.uint8)
RED = np.stack([GREY, 0 * GREY, 0 * GREY], 2)
OPAQUE, NOTHING = np.full_like(GREY, 255), np.zeros_like(GREY)


@pytest.mark.parametrize(
    ("array", "hint"),
    [
        (np.stack([GREY] * 3, 2), None),
        (np.stack([GREY] * 3 + [OPAQUE], 2), None),
        (np.stack([GREY] * 4, 2), None),
        (np.stack([GREY, OPAQUE], 2), None),
        (RED, "drawn in colour"),
        (np.dstack([RED, OPAQUE]), "drawn in colour"),
        (np.stack([NOTHING] * 3 + [GREY], 2), "partly transparent"),
        (np.stack([OPAQUE] * 3 + [GREY], 2), "partly transparent"),
        (np.stack([NOTHING, GREY], 2), "partly transparent"),
    ],
)
@pytest.mark.parametrize(("encoding", "yes"), [(Mask(), 1), (Classes(ignore=()), 255)])
@pytest.mark.parametrize("ending", [".png", ".npy"])
def test_what_is_drawn_in_colour_or_transparency(tmp_path, array, hint, encoding, yes, ending):
    """It counts where all channels agree, and is refused where they say more than one number."""
    task = Saliency() if yes == 1 else Semseg(channels=256, ignore_index=-1)
    if hint:
        with pytest.raises(PammError, match=hint):
            read(encoding, tmp_path / f"a{ending}", array, task)
    else:
        target = read(encoding, tmp_path / f"a{ending}", array, task)
        assert target.reshape(2, 2).tolist() == [[0, yes], [0, 0]]


@pytest.mark.parametrize(("yes", "highest"), [(255, 1), (255, 31), (1, 0.1)])
def test_a_mask_whose_yes_is_another_number_is_refused(yes, highest):
    values = np.array([[0, highest]])
    with pytest.raises(PammError, match=f"none near yes = {yes}; .* such as yes = {highest}"):
        Mask(yes=yes).target(values, Saliency())
    assert not Mask(yes=yes).target(0 * values, Saliency()).any()
    assert not Mask(yes=yes, soft=True).target(values, Saliency()).any()
    assert Mask(yes=highest).target(values, Saliency()).tolist() == [[[0, 1]]]


NAMES = ("road", "car", "sky")
THREE = Semseg(channels=3, class_names=NAMES)


def test_numbers_of_classes_in_any_order():
    values = np.array([[7, 26, 27, 23, 4, -1]])
    listed = {"car": (26, 27), "road": 7, "sky": 23}
    encoding = Classes(numbers=listed, ignore=(4, -1))
    check(encoding, THREE)
    assert encoding.target(values, THREE).tolist() == [[0, 1, 1, 2, 255, 255]]
    with pytest.raises(PammError, match="number 0 is of no class of 'semseg'; add it to `numbers`"):
        encoding.target(values + 1, THREE)
    rest = Classes(numbers=listed, others="ignored").target(values, THREE)
    assert rest.tolist() == [[0, 1, 1, 2, 255, 255]]
    rest = Classes(numbers=listed, others="sky").target(values, THREE)
    assert rest.tolist() == [[0, 1, 1, 2, 2, 2]]
    assert Classes(others="ignored").target(values, THREE).tolist() == [[255] * 6]
    stored = encoding.store(np.array([[0, 1, 2, 255]]), THREE, picture=True)
    assert stored.tolist() == [[7, 26, 23, 4]]


@pytest.mark.parametrize("ending", [".png", ".npy"])
def test_colours_of_classes(tmp_path, ending):
    pixels = np.array([[[128, 64, 128], [0, 0, 142], [0, 0, 70], [0, 0, 0], [0, 0, 255]]], np.uint8)
    listed = {"road": "#804080", "car": ((0, 0, 142), "#000046"), "sky": (0, 0, 255)}
    encoding = Classes(colours=listed, ignore=("#000000",))
    check(encoding, THREE)
    target = read(encoding, tmp_path / f"a{ending}", pixels, THREE)
    assert target.tolist() == [[0, 1, 1, 255, 2]]
    assert target.dtype == torch.int64
    with pytest.raises(PammError, match="colour #000000 is of no class of 'semseg'; add it to"):
        read(Classes(colours=listed), tmp_path / f"a{ending}", pixels, THREE)
    rest = Classes(colours=listed, others="road")
    assert read(rest, tmp_path / f"a{ending}", pixels, THREE).tolist() == [[0, 1, 1, 0, 2]]


def test_a_palette_counts_where_colours_do(tmp_path):
    picture = Image.fromarray(np.array([[0, 1]], np.uint8))
    picture.putpalette([128, 64, 128, 70, 130, 180])
    picture.save(tmp_path / "a.png")
    encoding = Classes(colours={"road": "#804080", "sky": "#4682b4"})
    assert encoding.target(encoding.read(tmp_path / "a.png"), THREE).tolist() == [[0, 2]]


def test_a_picture_in_colour_is_told_of_colours(tmp_path):
    save(tmp_path / "a.png", RED)
    with pytest.raises(PammError, match='colours = { road = "#804080"'):
        Classes().read(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
@pytest.mark.parametrize("encoding", [Classes(), Classes(colours={"road": "#000000"})])
def test_class_labels_as_jpeg_are_refused(tmp_path, name, encoding):
    Image.fromarray(GREY).save(tmp_path / name, format="JPEG")
    with pytest.raises(PammError, match="is a JPEG, whose compression changes class numbers"):
        encoding.read(tmp_path / name)


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"colours": {"a": "#000000"}, "numbers": {"a": 1}}, "choose one"),
        ({"numbers": {"a": 1}, "first": 1}, "listed one by one"),
        ({"numbers": {"a": 1, "b": (2, 1)}}, "1 stands for two classes, 'a' and 'b'"),
        ({"numbers": {"a": 255}}, "255 is both 'a' and ignored"),
        ({"colours": {"a": "#00ff00", "b": (0, 255, 0)}}, "#00ff00 stands for two classes"),
        ({"colours": {"a": "red"}}, "the colour 'red' is not one such as"),
        ({"colours": {"a": (0, 256, 0)}}, r"the colour \[0, 256, 0\] is not one such as"),
        ({"colours": {"a": "#00ff00"}, "ignore": (0,)}, "with colours, give colours"),
        ({"ignore": ("#00ff00",)}, "without colours, give numbers"),
        ({"numbers": {"a": ()}}, "'a' has no number or colour"),
        ({"colours": {"a": ()}}, "'a' has no number or colour"),
    ],
)
def test_classes_that_cannot_be(fields, hint):
    with pytest.raises(ValueError, match=hint):
        Classes(**fields)


@pytest.mark.parametrize(
    ("encoding", "task", "hint"),
    [
        (Mask(), Semseg(channels=3), 'type "semseg" of 3 classes; want .* type = "classes"'),
        (Mask(), Depth(), 'type = "mask" does not fit .* "depth"; want .* type = "depth"'),
        (Mask(), Normals(), 'want encoding = { type = "normals" }'),
        (Classes(), Saliency(), 'want encoding = { type = "mask" }'),
        (Classes(), Boundary(), 'want encoding = { type = "mask" }'),
        (DepthMap(), Normals(), 'want encoding = { type = "normals" }'),
        (NormalMap(), Semseg(channels=2), 'want encoding = { type = "classes" }'),
        (Classes(numbers={"rode": 1}), THREE, "unknown class 'rode': did you mean 'road'"),
        (Classes(others="ignore"), THREE, "did you mean 'ignored'"),
    ],
)
def test_an_encoding_that_does_not_fit_its_task(encoding, task, hint):
    with pytest.raises(PammError, match=hint):
        check(encoding, task)


def test_depth(tmp_path):
    metres = np.array([[0, 1.5], [2.25, 65.5]], np.float32)
    depth = Depth()
    found = read(DepthMap(), tmp_path / "a.npy", metres, depth)
    np.testing.assert_array_equal(found[0].numpy(), metres)
    pixels = (metres * 1000).astype(np.uint16)
    found = read(DepthMap(per_metre=1000), tmp_path / "a.png", pixels, depth)
    np.testing.assert_allclose(found[0].numpy(), metres, rtol=1e-6)
    odd = np.array([[np.nan, -1], [np.inf, 2]], np.float64)[..., None]
    found = read(DepthMap(), tmp_path / "b.npy", odd, depth)
    assert found.tolist() == [[[0, 0], [0, 2]]]


@pytest.mark.parametrize(
    ("axes", "order", "signs"),
    [
        ("xyz", (0, 1, 2), (1, 1, 1)),
        ("-xy-z", (0, 1, 2), (-1, 1, -1)),
        ("xzy", (0, 2, 1), (1, 1, 1)),
        ("+z -x y", (2, 0, 1), (1, -1, 1)),
    ],
)
def test_normals_with_their_axes_in_any_order(tmp_path, axes, order, signs):
    vectors = RNG.normal(size=(6, 7, 3))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    vectors[0, :3] = 0
    held = vectors[..., order] * signs  # channel i holds our axis order[i]
    stored = np.rint((held + 1) * 127.5).astype(np.uint8)
    encoding = NormalMap(axes=axes)
    for name, array, tolerance in (("a.npy", held, 1e-6), ("a.png", stored, 0.01)):
        found = read(encoding, tmp_path / name, array, Normals()).numpy()
        np.testing.assert_allclose(found, vectors.transpose(2, 0, 1), atol=tolerance)
        assert (found[:, 0, :3] == 0).all()
        again = encoding.store(found, Normals(), picture=name == "a.png")
        np.testing.assert_allclose(
            again.astype(float), array, atol=1 if again.dtype == "u1" else 1e-6
        )
    held[1, 1] = np.nan
    found = read(NormalMap(), tmp_path / "b.npy", 0.5 * held, Normals()).numpy()
    assert np.isfinite(found).all()
    assert (found[:, 1, 1] == 0).all()


@pytest.mark.parametrize(
    ("encoding", "values", "hint"),
    [
        (Mask(), np.array([[0, 99]], np.uint8), "numbers other than 0, 255, such as 99"),
        (Mask(soft=True), np.array([[0, 1]], np.uint8), None),
        (Mask(yes=1), np.array([[0.0, 1.0]]), None),
        (DepthMap(), np.full((3, 3), 2.5), None),
        (DepthMap(), np.full((3, 3), 2500.0), "2500 m: these look like millimetres"),
        (DepthMap(), np.full((3, 3), 250.0), None),  # may be meant: see `remarks`
        (DepthMap(), np.full((3, 3), 0.25), None),
        (DepthMap(), np.zeros((3, 3)), None),
        (NormalMap(), np.full((3, 3, 3), 3**-0.5), None),
        (NormalMap(), np.zeros((3, 3, 3)), None),
        (NormalMap(), np.full((3, 3, 3), 0.5), "vectors of length 0.87"),
    ],
)
def test_complaints(encoding, values, hint):
    found = encoding.complaints(values)
    assert len(found) == (hint is not None)
    assert not hint or hint in found[0]


@pytest.mark.parametrize("axes", ["xy-z", "xzy", "-x-y-z", "zxy", "-x-z-y"])
def test_normals_of_other_axes_are_noticed(axes):
    """What is seen faces the camera: true of the axes as they are, not of most others."""
    normals = render_room(1, 3, 48, 64).normals
    assert not NormalMap().complaints(normals)
    stored = NormalMap(axes=axes).store(normals.transpose(2, 0, 1), Normals(), picture=False)
    assert "the axes may have" in NormalMap().complaints(stored)[0]


@pytest.mark.parametrize("encoding", [Classes(), Mask(), DepthMap(), NormalMap()])
def test_files_of_another_kind_are_refused(tmp_path, encoding):
    save(tmp_path / "a.npy", np.zeros((2, 2, 2, 2)))
    with pytest.raises(PammError, match=r"a.npy' holds float64 of shape \(2, 2, 2, 2\), want"):
        encoding.read(tmp_path / "a.npy")
    (tmp_path / "b.npy").write_bytes(b"")
    with pytest.raises(PammError, match="b.npy"):
        encoding.read(tmp_path / "b.npy")
    with pytest.raises(PammError, match="c.npy"):
        encoding.read(tmp_path / "c.npy")


@given(h=st.integers(1, 9), w=st.integers(1, 9), k=st.integers(1, 4))
def test_nearest(h, w, k):
    small = np.arange(h * w).reshape(h, w)
    big = small.repeat(k, 0).repeat(k, 1)
    np.testing.assert_array_equal(nearest(small, (h * k, w * k)), big)
    np.testing.assert_array_equal(nearest(big, (h, w)), small)


@pytest.mark.parametrize(
    "make", [lambda: DepthMap(per_metre=0), lambda: Mask(yes=-1), lambda: Mask(yes=float("nan"))]
)
def test_nonsense_is_refused(make):
    with pytest.raises(ValueError, match="want"):
        make()


@pytest.mark.parametrize("axes", ["", "xy", "xyzx", "xxy", "x-", "XYZ", "x/y/z"])
def test_axes_that_are_none_are_refused(axes):
    with pytest.raises(ValueError, match="want x, y and z once each"):
        NormalMap(axes=axes)


class Curvature(ContinuousMap):
    """Of any sign, per metre."""

    type_name = "curvature"
    title = "curvature"
    unit = "1/m"


CURVATURE = Curvature(name="curvature")


@pytest.mark.parametrize("ending", [".png", ".npy"])
def test_numbers_of_any_sign(tmp_path, ending):
    encoding = ValueMap(per_unit=100, zero=1000, ignore=0)
    stored = np.array([[0, 1000, 1250], [900, 0, 1]], np.uint16)
    target = read(encoding, tmp_path / f"a{ending}", stored, CURVATURE)
    expected = torch.tensor([[[float("nan"), 0, 2.5], [-1, float("nan"), -9.99]]])
    torch.testing.assert_close(target, expected, equal_nan=True)
    assert CURVATURE.is_labelled(target).sum() == 4


@pytest.mark.parametrize("picture", [True, False])
def test_numbers_come_back_as_they_were_written(tmp_path, picture):
    encoding = ValueMap(**ValueMap.in_pictures)
    target = np.array([[[0.0, -3.25, np.nan, 31.5]]], np.float32)
    stored = encoding.store(target, CURVATURE, picture=picture)
    back = read(encoding, tmp_path / ("a.png" if picture else "a.npy"), stored, CURVATURE)
    np.testing.assert_allclose(back.numpy(), target, atol=1e-3)


def test_depth_has_an_encoding_of_its_own():
    assert type_for(Depth()) == "depth"
    assert type_for(CURVATURE) == "values"
    with pytest.raises(PammError, match='want encoding = { type = "depth" }'):
        check(ValueMap(), Depth())
    with pytest.raises(ValueError, match="per_unit is 0, want a number other than 0"):
        ValueMap(per_unit=0)


def test_numbers_that_are_all_the_same_are_remarked(tmp_path):
    encoding = ValueMap()
    save(tmp_path / "a.npy", np.full((3, 4), 7.0))
    assert encoding.remarks(encoding.read(tmp_path / "a.npy"), CURVATURE) == ["all numbers are 7"]
    save(tmp_path / "b.npy", np.arange(12.0).reshape(3, 4))
    assert encoding.remarks(encoding.read(tmp_path / "b.npy"), CURVATURE) == []
    save(tmp_path / "c.npy", np.zeros((3, 4, 2)))
    with pytest.raises(PammError, match="want numbers"):
        encoding.read(tmp_path / "c.npy")
