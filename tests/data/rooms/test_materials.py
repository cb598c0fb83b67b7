"""Patterns and palettes."""

import numpy as np
import pytest

from pamm.data.rooms.materials import Material, Palette, skin
from pamm.data.rooms.patterns import PATTERNS, lattice_noise

COLOURS = tuple(np.array(c) for c in ([0.2, 0.3, 0.4], [0.9, 0.1, 0.5], [0.0, 1.0, 0.7]))


def coordinates(count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    g = np.random.default_rng(0)
    u, v = g.uniform(-40, 40, (2, count)).astype(np.float32)
    return u, v


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_stay_in_range_and_near_their_mean(name: str) -> None:
    u, v = coordinates()
    value = PATTERNS[name].draw(u, v, 12345)
    assert value.dtype == np.float32
    assert value.min() >= 0
    assert value.max() <= 2
    assert np.ptp(value) > 0.2
    if name not in ("art", "view"):
        assert value.mean() == pytest.approx(PATTERNS[name].mean, abs=0.25)


@pytest.mark.parametrize("name", PATTERNS)
def test_albedo_is_a_mixture_of_the_colours(name: str) -> None:
    u, v = coordinates(500)
    albedo = Material(COLOURS, name, seed=5).albedo(u, v, np.full_like(u, 0.001))
    assert albedo.shape == (3, 500)
    assert albedo.dtype == np.float32
    assert (albedo >= 0).all()
    assert (albedo <= 1).all()


@pytest.mark.parametrize("name", [n for n, p in PATTERNS.items() if p.detail])
def test_patterns_finer_than_a_pixel_fade_to_one_colour(name: str) -> None:
    u, v = coordinates(500)
    albedo = Material(COLOURS, name).albedo(u, v, np.full_like(u, 10.0))
    assert np.ptp(albedo, axis=1).max() < 1e-6


def test_noise_is_smooth_and_depends_on_the_seed() -> None:
    u = np.linspace(-5, 5, 2001, dtype=np.float32)
    noise = lattice_noise(u, 0.3 * u, 1)
    assert np.abs(np.diff(noise)).max() < 0.02
    assert noise.std() > 0.1
    assert not np.allclose(noise, lattice_noise(u, 0.3 * u, 2))


def test_palettes_give_valid_colours() -> None:
    g = np.random.default_rng(0)
    for _ in range(20):
        palette = Palette.draw(g)
        for make in (palette.wood, palette.fabric, palette.smooth, skin):
            colours = np.array(make(g).colours)
            assert colours.shape == (3, 3)
            assert (colours >= 0).all()
            assert (colours <= 1).all()
