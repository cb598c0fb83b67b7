"""Each effect of a camera by itself, and that nothing happens at a probability of 0."""

import numpy as np
import pytest

from pamm.data import Synthetic, TrainTransform
from pamm.data.camera_effects import (
    GAMMA,
    blur,
    camera_effects,
    exposure,
    jpeg,
    noise,
    vignetting,
    white_balance,
)
from pamm.data.order import draw_generator

GREY = np.full((3, 40, 50), 0.25, np.float32)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def picture() -> np.ndarray:
    return generator(9).uniform(0, 255, (3, 40, 50)).astype(np.float32)


def test_without_any_the_picture_is_as_it_was():
    np.testing.assert_allclose(
        camera_effects(picture(), generator(), probability=0), picture(), atol=0.02
    )


def test_with_all_it_is_another_picture_of_the_same_kind():
    seen = set()
    for seed in range(8):
        x = camera_effects(picture(), generator(seed), probability=1)
        assert (x.dtype, x.shape) == (np.float32, (3, 40, 50))
        assert 0 <= x.min() <= x.max() <= 255
        assert np.array_equal(x, camera_effects(picture(), generator(seed), probability=1))
        seen.add(x.tobytes())
    assert len(seen) == 8


def test_an_exposure_is_a_factor_of_the_light():
    factors = [float(exposure(GREY, generator(seed))[0, 0, 0]) / 0.25 for seed in range(200)]
    assert 0.5 <= min(factors) < 0.55
    assert 1.9 < max(factors) <= 2.0
    x = camera_effects(picture(), generator(1), probability=0)  # through the light and back
    light = (picture() / 255) ** GAMMA
    np.testing.assert_allclose((x / 255) ** GAMMA, light, atol=1e-3)


def test_a_white_balance_leaves_green_and_changes_the_others_by_a_factor():
    for seed in range(20):
        x = white_balance(GREY, generator(seed))
        assert np.array_equal(x[1], GREY[1])
        assert all(np.ptp(x[c]) == 0 for c in (0, 2))
        assert x[0, 0, 0] != 0.25 != x[2, 0, 0]


def test_vignetting_darkens_the_corners_alike_and_leaves_the_middle():
    for seed in range(20):
        x = vignetting(GREY, generator(seed))[0]
        corners = x[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert np.ptp(corners) < 1e-6
        assert 0.5 * 0.25 <= corners[0] < 0.25
        assert x[20, 25] == pytest.approx(0.25, rel=1e-3)


def test_a_blur_keeps_the_light_and_smooths():
    point = np.zeros((3, 41, 41), np.float32)
    point[:, 20, 20] = 1
    shapes = set()
    for seed in range(30):
        x = blur(point, generator(seed))
        np.testing.assert_allclose(x.sum((1, 2)), 1, rtol=1e-4)
        assert x.max() < 1
        np.testing.assert_allclose(blur(GREY, generator(seed)), GREY, rtol=1e-4)
        spread = x[0] > 0.01
        rows, columns = (np.flatnonzero(spread.any(axis)) for axis in (1, 0))
        assert np.abs(rows - 20).max() <= 4 >= np.abs(columns - 20).max()
        shapes.add((len(rows), len(columns)))
    assert any(a != b for a, b in shapes)  # shaken along a line


def test_noise_has_no_mean_and_grows_with_the_light():
    bright, dark = (
        np.concatenate([(noise(x, generator(s)) - x).ravel() for s in range(30)])
        for x in (np.full_like(GREY, 0.9), np.full_like(GREY, 0.01))
    )
    assert abs(bright.mean()) < 1e-3
    assert bright.std() > 2 * dark.std() > 0


def test_a_jpeg_is_near_the_picture():
    smooth = np.broadcast_to(np.linspace(20, 220, 50, dtype=np.float32), (3, 40, 50))
    errors = [np.abs(jpeg(smooth, generator(seed)) - smooth).mean() for seed in range(20)]
    assert 0 < min(errors) < max(errors) < 6


def test_training_images_get_them_and_labels_do_not(rooms: Synthetic):
    raw = rooms[0]
    settings = {"flip": 0, "photometric": 0}
    plain = TrainTransform(rooms.tasks, **settings)(raw, draw_generator(0, 0, 0))
    changed = TrainTransform(rooms.tasks, camera=1, **settings)(raw, draw_generator(0, 0, 0))
    assert (plain["image"] - changed["image"]).abs().mean() > 0.01
    assert 0 <= changed["image"].min() <= changed["image"].max() <= 1
    for name, target in plain["targets"].items():
        np.testing.assert_array_equal(target, changed["targets"][name])
    with pytest.raises(ValueError, match="camera is a probability"):
        TrainTransform(rooms.tasks, camera=2)
