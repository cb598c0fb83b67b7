"""The palette is distinct, stable and of any length; the depth scale is monotonous."""

import numpy as np
import pytest

from pamm.tasks.colours import BACKGROUND, INVALID, dark_bright, palette


def test_colours_differ_clearly_from_each_other_and_from_the_fixed_ones() -> None:
    colours = np.concatenate([palette(40), [INVALID, BACKGROUND]]).astype(int)
    distance = np.linalg.norm(colours[:, None] - colours, axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert distance.min() > 24


@pytest.mark.parametrize("n", [0, 1, 7, 255, 300])
def test_a_longer_palette_begins_with_the_shorter(n: int) -> None:
    assert palette(n).shape == (n, 3)
    assert np.array_equal(palette(300)[:n], palette(n))


def test_changing_a_palette_does_not_change_the_next() -> None:
    first = palette(3)
    first[:] = 0
    assert palette(3).any()


def test_dark_bright_rises_steadily_and_clips() -> None:
    luma = dark_bright(np.linspace(0, 1, 256)[None])[0] @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luma) > -0.5).all()
    assert luma[0] < 5
    assert luma[-1] > 230
    assert np.array_equal(dark_bright(np.array([[-1.0, 2.0]])), dark_bright(np.array([[0.0, 1.0]])))
