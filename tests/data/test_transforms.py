import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pamm.data import EvalTransform, Synthetic, TrainTransform
from pamm.data.order import Draw, draw_generator, epoch_generator
from pamm.data.transforms import (
    photometric_distortion,
    scale_saturation,
    shift_hue,
)


def equal(a, b) -> bool:
    return torch.equal(a["image"], b["image"]) and all(
        torch.equal(a["targets"][name], b["targets"][name]) for name in b["targets"]
    )


def test_flip_mirrors_all_tasks(rooms: Synthetic) -> None:
    raw = rooms[0]
    result = TrainTransform(rooms.tasks, flip=1, photometric=0)(raw, draw_generator(0, 0, 0))
    assert torch.equal(result["image"], raw["image"].flip(-1) / 255)
    for name, target in raw["targets"].items():
        mirrored = target.flip(-1)
        if name == "normals":
            mirrored = torch.stack([-mirrored[0], mirrored[1], mirrored[2]])
        assert torch.equal(result["targets"][name], mirrored)


def test_transforms_leave_the_raw_sample_alone(rooms: Synthetic) -> None:
    raw, again = rooms[2], rooms[2]
    for seed in range(4):
        transform = TrainTransform(rooms.tasks, size=(24, 32), scale=(0.5, 2))
        transform(raw, draw_generator(seed, 0, 0))
    assert equal(raw, again)


def test_train_transform_is_a_function_of_seed_epoch_index(rooms: Synthetic) -> None:
    transform = TrainTransform(rooms.tasks, size=(24, 32), scale=(0.5, 2))
    rooms = Synthetic("train", size=(24, 32), count=7, root=rooms.cache.root, transform=transform)
    first = rooms[Draw(5, 1, 3)]
    rooms[Draw(5, 1, 2)]
    assert equal(rooms[Draw(5, 1, 3)], first)
    assert equal(rooms[3], rooms[Draw(0, 0, 3)])
    for other in (Draw(6, 1, 3), Draw(5, 2, 3)):
        assert not equal(rooms[other], first)


def test_generators_never_meet() -> None:
    generators = [draw_generator(0, 0, 0), draw_generator(0, 0, 1), draw_generator(0, 1, 0)]
    generators += [draw_generator(1, 0, 0), epoch_generator(0, 0), epoch_generator(0, 1)]
    assert len({int(generator.integers(1 << 62)) for generator in generators}) == 6


@given(
    colour=st.tuples(*[st.integers(0, 255)] * 3),
    factor=st.floats(0.5, 1.5),
    turns=st.floats(-0.1, 0.1),
)
@settings(max_examples=200, deadline=None)
def test_colour_changes_match_colorsys(colour, factor: float, turns: float) -> None:
    hue, saturation, value = colorsys.rgb_to_hsv(*[c / 255 for c in colour])
    image = np.array(colour, np.float32).reshape(3, 1, 1)
    wanted = colorsys.hsv_to_rgb(hue, min(saturation * factor, 1), value)
    np.testing.assert_allclose(
        scale_saturation(image, factor).ravel(), np.multiply(wanted, 255), atol=0.02
    )
    wanted = colorsys.hsv_to_rgb((hue + turns) % 1, saturation, value)
    np.testing.assert_allclose(shift_hue(image, turns).ravel(), np.multiply(wanted, 255), atol=0.02)


@given(seed=st.integers(0, 2**40))
@settings(max_examples=50, deadline=None)
def test_photometric_distortion_stays_in_range_and_repeats(seed: int) -> None:
    image = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, 5, 7), np.uint8))
    before = image.clone()
    result = photometric_distortion(image, draw_generator(seed, 0, 0), probability=1.0)
    assert result.dtype == torch.float32
    assert result.shape == image.shape
    assert result.min() >= -1e-3
    assert result.max() <= 255 + 1e-3
    assert torch.equal(image, before)
    again = photometric_distortion(image, draw_generator(seed, 0, 0), probability=1.0)
    assert torch.equal(result, again)


def test_each_photometric_step_happens_half_the_time() -> None:
    """On a mid grey image only brightness and contrast show: a quarter stays as it is."""
    grey = torch.full((3, 2, 2), 100, dtype=torch.uint8)
    unchanged, shifts = 0, []
    for index in range(400):
        value = photometric_distortion(grey, draw_generator(0, 0, index))[0, 0, 0].item()
        unchanged += value == 100
        shifts.append(value)
    assert 70 <= unchanged <= 130
    assert min(shifts) >= (100 - 32) * 0.5 - 1e-3
    assert max(shifts) <= (100 + 32) * 1.5 + 1e-3
    assert min(shifts) < 60
    assert max(shifts) > 150


def test_eval_transform_pads_without_labels(rooms: Synthetic) -> None:
    raw = rooms[1]
    assert equal(EvalTransform(rooms.tasks)(raw), {**raw, "image": raw["image"] / 255})
    result = EvalTransform(rooms.tasks, size=(27, 20))(raw)
    assert result["image"].shape == (3, 27, 32)
    assert torch.equal(result["image"][:, 1:25], raw["image"] / 255)
    for rows in (slice(0, 1), slice(25, 27)):  # ImageNet's mean colour
        assert torch.equal(
            result["image"][:, rows].amax((1, 2)), torch.tensor([0.485, 0.456, 0.406])
        )
    for name, task in rooms.tasks.items():
        target = result["targets"][name]
        assert torch.equal(target[..., 1:25, :], raw["targets"][name])
        assert torch.equal(target[..., 25:, :], task.missing(2, 32))


@pytest.mark.parametrize(
    "wrong", [{"flip": 1.5}, {"photometric": -1}, {"scale": (0, 1)}, {"scale": (0.5, 2)}]
)
def test_train_transform_refuses_nonsense(rooms: Synthetic, wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainTransform(rooms.tasks, **wrong)
