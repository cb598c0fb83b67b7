"""Procedural surfaces: a pattern drawn in three colours, and the scene's shared palette.

All objects of a scene, whatever their class, take their colours from one palette, so that colour
alone does not tell the class.
"""

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pamm.data.rooms.geometry import Array

Colour = NDArray[np.float64]
Generator = np.random.Generator


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """RGB in 0..1 of a hue (any real number, 1 is a full turn), saturation and value."""
    return np.array(
        colorsys.hsv_to_rgb(hue % 1, float(np.clip(saturation, 0, 1)), float(np.clip(value, 0, 1)))
    )


# ----------------------------------------------------------------------------- patterns
# A pattern maps surface coordinates (u, v), in cells, to 0..2: a place on the line from the
# material's first colour (0) over the second (1) to the third (2).


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
    "art": Pattern(_art, 0.0, 1.0),
    "view": Pattern(_view, 0.0, 1.2),
}


@dataclass(frozen=True)
class Material:
    """A surface: a pattern of ``scale`` cells per metre in three colours.

    ``glow`` is light the surface gives off itself, as a share of its colour. ``crosswise`` turns
    the pattern by a quarter.
    """

    colours: tuple[Colour, Colour, Colour]
    pattern: str = "plain"
    scale: float = 4.0
    seed: int = 0
    glow: float = 0.0
    crosswise: bool = False

    def albedo(self, u: Array, v: Array, footprint: Array) -> Array:
        """Colours (3, n) in 0..1 at surface coordinates u, v (n,) in metres.

        ``footprint`` (n,) is the size of a pixel on the surface in metres: details smaller than
        two pixels fade to the pattern's mean, so that fine patterns do not flicker.
        """
        if self.crosswise:
            u, v = v, u
        pattern, scale = PATTERNS[self.pattern], np.float32(self.scale)
        value = pattern.draw(u * scale, v * scale, self.seed)
        cycles_per_pixel = footprint * np.float32(pattern.detail * self.scale)
        sharp = np.clip(1.5 - 2 * cycles_per_pixel, 0, 1)
        value = np.float32(pattern.mean) + (value - np.float32(pattern.mean)) * sharp
        first, second, third = np.asarray(self.colours, np.float32)[:, :, None]
        low, high = np.minimum(value, 1), np.maximum(value - 1, 0)
        return np.asarray(first + (second - first) * low + (third - second) * high)


# ----------------------------------------------------------------------------- colours


@dataclass(frozen=True)
class Palette:
    """The colours of one scene, shared by everything in it."""

    colours: Sequence[Colour] = field(default_factory=tuple)

    @classmethod
    def draw(cls, g: Generator) -> "Palette":
        """Three woody browns, three greys or off-whites, four colours of any hue."""
        browns = [hsv(g.normal(0.075, 0.02), g.uniform(0.2, 0.7), v) for v in (0.35, 0.6, 0.85)]
        greys = [hsv(g.random(), g.uniform(0, 0.12), v) for v in (0.25, 0.65, 0.95)]
        hue = g.random()
        hues = [hue, hue + g.normal(0, 0.06), hue + 0.5, g.random()]
        vivid = [hsv(h, g.uniform(0.2, 0.75), g.uniform(0.3, 0.9)) for h in hues]
        return cls(browns + greys + vivid)

    def colour(self, g: Generator, pale: float = 0.25) -> Colour:
        """One colour of the palette, slightly varied; made pale with probability ``pale``."""
        colour = self.colours[int(g.integers(len(self.colours)))] * g.uniform(0.85, 1.15)
        colour = colour + g.normal(0, 0.02, 3)
        if g.random() < pale:
            colour = colour + (1 - colour) * g.uniform(0.35, 0.75)
        return np.clip(colour, 0.03, 1)

    def material(
        self, g: Generator, patterns: Sequence[str] = ("plain",), *, pale: float = 0.25
    ) -> Material:
        """A material in colours of the palette with one of ``patterns``."""
        pattern = patterns[int(g.integers(len(patterns)))]
        base = self.colour(g, pale)
        if pattern in ("stripes", "checks", "dots", "tartan", "art") and g.random() < 0.7:
            second = self.colour(g, pale)
        else:
            second = shade(base, float(g.choice([g.uniform(0.6, 0.85), g.uniform(1.1, 1.3)])))
        third = self.colour(g) if pattern in ("art", "tartan") else shade(second, 0.6)
        return Material(
            (base, second, third),
            pattern,
            scale=float(g.uniform(3, 9)),
            seed=int(g.integers(1 << 20)),
            crosswise=bool(g.random() < 0.5),
        )

    def wood(self, g: Generator) -> Material:
        """Grained wood: natural (one of the browns), or painted in any colour of the palette."""
        natural = Palette(self.colours[:3])
        base = (natural if g.random() < 0.35 else self).colour(g, pale=0.2)
        return Material(
            (base, shade(base, g.uniform(0.6, 0.8)), shade(base, 0.5)),
            "grain" if g.random() < 0.75 else "plain",
            scale=float(g.uniform(4, 8)),
            seed=int(g.integers(1 << 20)),
        )

    def fabric(self, g: Generator) -> Material:
        """Cloth with one of the woven or printed patterns."""
        patterns = ("plain", "plain", "mottled", "stripes", "checks", "tartan", "dots")
        return self.material(g, patterns)

    def smooth(self, g: Generator) -> Material:
        """Paint, plastic or metal: almost one colour."""
        return self.material(g)


def shade(colour: Colour, factor: float) -> Colour:
    """A lighter (factor > 1) or darker colour."""
    return np.clip(colour * factor, 0.02, 1)


def skin(g: Generator) -> Material:
    """Human skin, from very fair to very dark."""
    tone = g.random()
    base = hsv(g.normal(0.055, 0.01), 0.35 + 0.3 * tone, 0.92 - 0.6 * tone)
    return Material((base, shade(base, 0.9), shade(base, 0.8)), seed=int(g.integers(1 << 20)))
