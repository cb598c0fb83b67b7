"""Colours of the pictures: a palette of any length, a scale for depth, and the invalid grey."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

INVALID = (128, 128, 128)
"""Mid grey: no label here. It is also what (n + 1) / 2 gives for a zero normal."""
BACKGROUND = (24, 24, 32)
"""Nearly black: the class "background", which is everything that is of no interest."""


def palette(n: int) -> NDArray[np.uint8]:
    """n colours (n, 3) that look as different as can be; a longer palette begins with them.

    Each next colour is the one farthest from all before it, and from the invalid grey and the
    background, in OKLab, a colour space in which distance is seen difference (Ottosson 2020).
    After 255 colours they repeat.
    """
    return _palette()[np.arange(n) % 255].copy()


def dark_bright(share: NDArray[Any]) -> NDArray[np.uint8]:
    """Matplotlib's perceptually uniform "magma": 0 nearly black, 1 pale yellow.

    `share` (H, W) is clipped to 0..1; returns (H, W, 3).
    """
    index = np.rint(np.clip(share, 0, 1) * 255).astype(np.int64)
    colours: NDArray[np.uint8] = _magma()[index]
    return colours


@lru_cache
def _palette() -> NDArray[np.uint8]:
    levels = np.linspace(0, 255, 18).round()
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = _oklab(grid)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    usable = (lab[:, 0] > 0.42) & (lab[:, 0] < 0.93) & (chroma > 0.03) & (chroma < 0.165)
    grid, lab = grid[usable], lab[usable]

    taken = _oklab(np.array([INVALID, BACKGROUND, (255, 255, 255)]))
    nearest = np.linalg.norm(lab[:, None] - taken, axis=-1).min(axis=1)
    chosen = []
    for _ in range(255):
        best = int(nearest.argmax())
        chosen.append(grid[best])
        nearest = np.minimum(nearest, np.linalg.norm(lab - lab[best], axis=-1))
    return np.array(chosen, dtype=np.uint8)


@lru_cache
def _magma() -> NDArray[np.uint8]:
    from matplotlib import colormaps  # here, as drawing is the only thing that needs it

    rgba = colormaps["magma"](np.arange(256), bytes=True)
    return np.asarray(rgba[:, :3], dtype=np.uint8)


def _oklab(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """sRGB 0..255 (n, 3) to OKLab (n, 3): lightness 0..1, green to red, blue to yellow."""
    v = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    to_cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    lab: NDArray[np.float64] = np.cbrt(linear @ to_cones.T) @ to_lab.T
    return lab
