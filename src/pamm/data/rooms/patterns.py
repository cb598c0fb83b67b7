"""Procedural patterns of surfaces.

A pattern maps surface coordinates (u, v), in cells, to 0..2: a place on the line from the first
colour of the material (0) over the second (1) to the third (2).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pamm.data.rooms.geometry import Array


def _hash(x: NDArray[np.uint32], y: NDArray[np.uint32], seed: int) -> Array:
    """A fixed pseudo-random number in 0..1 for every lattice point."""
    mixed = x * np.uint32(0x9E3779B1) + y * np.uint32(0x85EBCA77)
    mixed = mixed + np.uint32(seed * 0xC2B2AE3D & 0xFFFFFFFF)
    mixed = (mixed ^ (mixed >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    mixed = (mixed ^ (mixed >> np.uint32(12))) * np.uint32(0x297A2D39)
    return np.asarray((mixed >> np.uint32(16)).astype(np.float32) * np.float32(1 / 65535))


def _cell(a: Array) -> tuple[NDArray[np.uint32], Array]:
    whole = np.floor(a)
    return whole.astype(np.int32).astype(np.uint32), a - whole


def lattice_noise(u: Array, v: Array, seed: int) -> Array:
    """Smooth noise in 0..1 with one independent value per unit square."""
    iu, fu = _cell(u)
    iv, fv = _cell(v)
    fu, fv = fu * fu * (3 - 2 * fu), fv * fv * (3 - 2 * fv)
    ju, jv = iu + np.uint32(1), iv + np.uint32(1)
    below = _hash(iu, iv, seed) * (1 - fu) + _hash(ju, iv, seed) * fu
    above = _hash(iu, jv, seed) * (1 - fu) + _hash(ju, jv, seed) * fu
    return below * (1 - fv) + above * fv


def _plain(u: Array, v: Array, seed: int) -> Array:
    return 0.35 * lattice_noise(u, v, seed)


def _mottled(u: Array, v: Array, seed: int) -> Array:
    return 0.6 * lattice_noise(u, v, seed) + 0.4 * lattice_noise(3.1 * u, 3.1 * v, seed + 1)


def _grain(u: Array, v: Array, seed: int) -> Array:
    bend = lattice_noise(0.35 * u, 0.6 * v, seed)
    return 0.9 * lattice_noise(0.4 * u, 4 * v + 3 * bend, seed + 1)


def _planks(u: Array, v: Array, seed: int) -> Array:
    row, across = _cell(v)
    shifted = 0.45 * u + 7 * _hash(row, row, seed)
    board, along = _cell(shifted)
    seam = (across < 0.05) | (along < 0.015)
    tint = 0.5 * _hash(board, row, seed + 1) + 0.4 * lattice_noise(u, 5 * v, seed + 2)
    return np.where(seam, np.float32(1.4), tint)


def _stripes(u: Array, v: Array, seed: int) -> Array:
    share = 0.25 + 0.5 * (seed % 7) / 7
    return np.where(_cell(u)[1] < share, np.float32(0), np.float32(1))


def _checks(u: Array, v: Array, seed: int) -> Array:
    return ((_cell(u)[0] + _cell(v)[0]) & np.uint32(1)).astype(np.float32)


def _tiles(u: Array, v: Array, seed: int) -> Array:
    iu, fu = _cell(u)
    iv, fv = _cell(v)
    grout = (fu < 0.06) | (fv < 0.06)
    return np.where(grout, np.float32(1.3), 0.4 * _hash(iu, iv, seed))


def _dots(u: Array, v: Array, seed: int) -> Array:
    fu, fv = _cell(u)[1] - 0.5, _cell(v)[1] - 0.5
    return np.where(fu * fu + fv * fv < 0.07, np.float32(1), np.float32(0))


def _tartan(u: Array, v: Array, seed: int) -> Array:
    fu, fv = _cell(u)[1], _cell(v)[1]
    bands = (fu < 0.4).astype(np.float32) + (fv < 0.4).astype(np.float32)
    return np.where((np.abs(fu - 0.7) < 0.05) | (np.abs(fv - 0.7) < 0.05), np.float32(2), bands / 2)


def _art(u: Array, v: Array, seed: int) -> Array:
    """Large soft-edged areas of three colours."""
    bend = lattice_noise(u, v, seed)
    areas = lattice_noise(1.3 * u + 2 * bend, 1.3 * v - 2 * bend, seed + 1)
    return np.asarray(np.clip(8 * areas - 2.6, 0, 1) + np.clip(8 * areas - 4.6, 0, 1))


def _view(u: Array, v: Array, seed: int) -> Array:
    """What a window shows: ground, a soft horizon, sky."""
    horizon = 0.35 * lattice_noise(2 * u, 0 * v, seed) - 0.4
    return np.clip(0.5 + 6 * (v - horizon), 0, 1) + np.clip(0.9 * (v - horizon), 0, 1)


def _bricks(u: Array, v: Array, seed: int) -> Array:
    """Courses of bricks, each shifted by half a brick, with mortar."""
    row, across = _cell(2 * v)
    brick, along = _cell(u + 0.5 * (row & np.uint32(1)).astype(np.float32))
    mortar = (across < 0.12) | (along < 0.06)
    tint = 0.7 * _hash(brick, row, seed) + 0.3 * lattice_noise(5 * u, 5 * v, seed + 1)
    return np.where(mortar, np.float32(1.7), tint)


def _hexagons(u: Array, v: Array, seed: int) -> Array:
    """Six-sided tiles with joints."""
    height = np.float32(np.sqrt(3))
    places = []
    for grid, shift in enumerate((0.0, 0.5)):  # the centres of a honeycomb are two grids
        iu, fu = _cell(u + np.float32(shift))
        iv, fv = _cell(v / height + np.float32(shift))
        x, y = np.abs(fu - 0.5), np.abs(fv - 0.5) * height
        reach = np.maximum(x, 0.5 * x + 0.5 * height * y)  # towards the nearest of six sides
        places.append((reach, _hash(iu, iv, seed + grid)))
    (first, tint1), (second, tint2) = places
    out = np.minimum(first, second)
    tint = np.where(first < second, tint1, tint2)
    return np.where(out > 0.46, np.float32(1.5), 0.9 * tint).astype(np.float32)


def _clouds(u: Array, v: Array, seed: int) -> Array:
    """Noise of four octaves, as of plaster, stone or worn cloth."""
    value = np.zeros_like(u)
    for octave in range(4):
        scale = np.float32(2**octave)
        value = value + lattice_noise(scale * u, scale * v, seed + octave) / scale
    return np.asarray(value * np.float32(1.07))


def _weave(u: Array, v: Array, seed: int) -> Array:
    """Threads that go over and under each other."""
    (iu, fu), (iv, fv) = _cell(2 * u), _cell(2 * v)
    over = ((iu + iv) & np.uint32(1)) == 0
    thread = np.where(over, fv, fu)
    return np.asarray(4 * thread * (1 - thread) + np.where(over, np.float32(0), np.float32(0.6)))


def _waves(u: Array, v: Array, seed: int) -> Array:
    """Bent bands."""
    bend = 1.5 * lattice_noise(0.7 * u, 0.7 * v, seed)
    return np.asarray(1 + np.sin(np.float32(2 * np.pi) * (v + bend)))


def _terrazzo(u: Array, v: Array, seed: int) -> Array:
    """Chips of two colours in a ground."""
    chips = lattice_noise(3 * u, 3 * v, seed)
    return np.asarray(np.clip(9 * chips - 5.5, 0, 1) + np.clip(9 * chips - 7, 0, 1))


def _herringbone(u: Array, v: Array, seed: int) -> Array:
    """Boards in zigzag: rows of columns whose slant alternates."""
    column, across = _cell(u)
    slant = np.where((column & np.uint32(1)) == 0, across, 1 - across)
    board, along = _cell(3 * (v + slant))
    seam = (along < 0.08) | (across < 0.03)
    tint = 0.6 * _hash(board, column, seed) + 0.3 * lattice_noise(4 * u, 4 * v, seed + 1)
    return np.where(seam, np.float32(1.5), tint)


def _marble(u: Array, v: Array, seed: int) -> Array:
    """Thin dark veins where a bent field crosses zero."""
    bend = _clouds(u, v, seed)
    vein = np.abs(lattice_noise(1.4 * u + bend, 1.4 * v - bend, seed + 7) - 0.5)
    return np.asarray(np.clip(1.3 - 12 * vein, 0, 1.3) + 0.3 * bend).clip(0, 2)


def _spots(u: Array, v: Array, seed: int) -> Array:
    """Rings around scattered points, as of a leopard's skin."""
    iu, fu = _cell(u)
    iv, fv = _cell(v)
    nearest = np.full_like(u, 9)
    for du in (-1, 0, 1):
        for dv in (-1, 0, 1):
            x, y = iu + np.uint32(du % 2**32), iv + np.uint32(dv % 2**32)
            gap = (du + _hash(x, y, seed) - fu) ** 2 + (dv + _hash(x, y, seed + 1) - fv) ** 2
            nearest = np.minimum(nearest, gap)
    distance = np.sqrt(nearest)
    ring = np.where(distance < 0.42, np.float32(2), np.float32(0))
    return np.where(distance < 0.2, np.float32(1), ring)


@dataclass(frozen=True)
class Pattern:
    """How to draw a pattern, its finest detail in cycles per cell, and its mean value."""

    draw: Callable[[Array, Array, int], Array]
    detail: float
    mean: float


PATTERNS = {
    "plain": Pattern(_plain, 1.0, 0.18),
    "mottled": Pattern(_mottled, 2.0, 0.5),
    "grain": Pattern(_grain, 4.0, 0.45),
    "planks": Pattern(_planks, 4.0, 0.5),
    "stripes": Pattern(_stripes, 1.5, 0.5),
    "checks": Pattern(_checks, 1.0, 0.5),
    "tiles": Pattern(_tiles, 3.0, 0.32),
    "dots": Pattern(_dots, 1.5, 0.22),
    "tartan": Pattern(_tartan, 2.0, 0.5),
    "bricks": Pattern(_bricks, 5.0, 0.65),
    "hexagons": Pattern(_hexagons, 3.0, 0.6),
    "clouds": Pattern(_clouds, 4.0, 1.0),
    "weave": Pattern(_weave, 2.0, 1.0),
    "waves": Pattern(_waves, 1.5, 1.0),
    "terrazzo": Pattern(_terrazzo, 2.0, 0.3),
    "herringbone": Pattern(_herringbone, 4.0, 0.6),
    "marble": Pattern(_marble, 4.0, 0.4),
    "spots": Pattern(_spots, 2.0, 1.0),
    "art": Pattern(_art, 0.0, 1.0),
    "view": Pattern(_view, 0.0, 1.2),
}
