import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pamm.data import Synthetic, TrainTransform
from pamm.data.geometry import pad, scale_and_crop
from pamm.data.order import draw_generator
from pamm.data.sample import Sample
from pamm.tasks import Depth, Semseg

TASKS = {"semseg": Semseg(channels=200), "depth": Depth()}


def ramp(height: int, width: int) -> Sample:
    """Labels that name their own row and column; an image that is linear in both."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows * 4, columns * 4, rows * 0 + 9]).astype(np.uint8)
    depth = (rows * 1000 + columns + 1).astype(np.float32)
    classes = (rows % 5 * 5 + columns % 5).astype(np.int64)
    targets = {"semseg": torch.from_numpy(classes), "depth": torch.from_numpy(depth[None])}
    return {
        "image": torch.from_numpy(image),
        "targets": targets,
        "id": "r",
        "size": (height, width),
    }


@given(
    height=st.integers(5, 40),
    width=st.integers(5, 40),
    crop=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    scale=st.floats(0.5, 2),
    seed=st.integers(0, 99),
)
@settings(max_examples=150, deadline=None)
def test_image_and_labels_stay_aligned(height, width, crop, scale, seed) -> None:
    sample = scale_and_crop(
        ramp(height, width),
        TASKS,
        draw_generator(seed, 0, 0),
        size=crop,
        scale_range=(scale, scale),
    )
    scaled = round(height * scale), round(width * scale)
    shape = min(crop[0], scaled[0]), min(crop[1], scaled[1])
    assert sample["image"].shape == (3, *shape)
    assert sample["targets"]["depth"].shape == (1, *shape)
    assert sample["size"] == (height, width)
    factor = (scaled[0] * scaled[1] / (height * width)) ** 0.5
    assert factor == pytest.approx(scale, abs=0.51 / min(height, width))
    code = (sample["targets"]["depth"][0].double() * factor).round().long() - 1
    rows, columns = code // 1000, code % 1000
    assert torch.equal(sample["targets"]["semseg"], rows % 5 * 5 + columns % 5)
    image = sample["image"].double()
    # Away from the window's edge the picture shows the place that the label names, to the rounding
    # of either: half an original pixel by the nearest label, plus half a grey level.
    inner = (slice(2, -2), slice(2, -2))
    assert ((image[0] / 4 - rows).abs()[inner] <= 0.5 + 0.5 / 4 + 0.51 / scale).all()
    assert ((image[1] / 4 - columns).abs()[inner] <= 0.5 + 0.5 / 4 + 0.51 / scale).all()


def test_scale_one_crop_only_moves_nothing() -> None:
    raw = ramp(30, 40)
    sample = scale_and_crop(
        raw, TASKS, draw_generator(1, 0, 0), size=(10, 12), scale_range=(1.0, 1.0)
    )
    code = int(sample["targets"]["depth"][0, 0, 0]) - 1
    top, left = divmod(code, 1000)
    window = (..., slice(top, top + 10), slice(left, left + 12))
    assert torch.equal(sample["image"], raw["image"][window])
    assert torch.equal(sample["targets"]["depth"], raw["targets"]["depth"][window])


def test_all_windows_are_drawn() -> None:
    tops = set()
    for index in range(200):
        sample = scale_and_crop(
            ramp(12, 8), TASKS, draw_generator(0, 0, index), size=(8, 8), scale_range=(1.0, 1.0)
        )
        tops.add(int(sample["targets"]["depth"][0, 0, 0] - 1) // 1000)
    assert tops == {0, 1, 2, 3, 4}


def test_crops_of_one_class_are_avoided() -> None:
    sample = ramp(8, 64)
    sample["targets"]["semseg"] = torch.zeros(8, 64, dtype=torch.int64)
    sample["targets"]["semseg"][:, 48:] = 1  # a fair crop straddles column 48
    shares = []
    for index in range(60):
        crop = scale_and_crop(
            sample, TASKS, draw_generator(0, 0, index), size=(8, 16), scale_range=(1.0, 1.0)
        )
        share = crop["targets"]["semseg"].double().mean().item()
        shares.append(0.25 <= share <= 0.75)
    assert np.mean(shares) > 0.7  # 9 of 49 windows are fair: 1 - (40 / 49) ** 10 = 0.87


def test_recipe_gives_one_size_with_labels_ignored_outside(rooms: Synthetic) -> None:
    transform = TrainTransform(rooms.tasks, size=(24, 32), scale=(0.5, 0.5), flip=0, photometric=0)
    result = transform(rooms[0], draw_generator(0, 0, 0))
    assert result["image"].shape == (3, 24, 32)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)  # of ImageNet
    assert (result["image"][:, :6] == mean).all()
    for name, task in rooms.tasks.items():
        assert torch.equal(result["targets"][name][..., :6, :], task.missing(6, 32))
    inner = result["targets"]["depth"][..., 6:18, 8:24]
    assert torch.equal(inner, rooms[0]["targets"]["depth"][..., 1::2, 1::2] * 2)


def test_pad_of_a_large_image_does_nothing() -> None:
    raw = ramp(9, 9)
    assert pad(raw, TASKS, (5, 9)) is raw


@pytest.mark.parametrize("size", [(9, 9), (20, 30)])
def test_scale_one_at_full_size_is_the_raw_sample(size) -> None:
    raw = ramp(9, 9)
    assert scale_and_crop(raw, TASKS, draw_generator(0, 0, 0), size=size, scale_range=(1, 1)) is raw


@pytest.mark.parametrize("ignore", [255, -1, 300])
def test_crops_are_limited_whatever_value_is_ignored(ignore: int) -> None:
    """The right half is one class, the left quarter two others, and the rest is not labelled."""
    task = Semseg(channels=200, ignore_index=ignore)
    classes = torch.full((8, 32), ignore)
    classes[:, :8] = torch.arange(8) % 2
    classes[:, 16:] = 7
    raw = {"image": torch.zeros(3, 8, 32, dtype=torch.uint8), "targets": {"semseg": classes}}
    sample = {**raw, "id": "x", "size": (8, 32)}
    good = 0
    for index in range(40):
        found = scale_and_crop(
            sample, {"semseg": task}, draw_generator(0, 0, index), size=(8, 8), scale_range=(1, 1)
        )  # fmt: skip
        labelled = found["targets"]["semseg"]
        labelled = labelled[labelled != ignore]
        good += bool(labelled.numel() and labelled.bincount().max() <= 0.75 * labelled.numel())
    assert good > 30
