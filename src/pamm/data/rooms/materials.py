"""Surfaces: a pattern drawn in three colours, and the scene's shared palette.

All objects of a scene, whatever their class, take their colours from one palette, so that colour
alone does not tell the class.
"""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pamm.data.rooms.geometry import Array
from pamm.data.rooms.patterns import PATTERNS

Colour = NDArray[np.float64]
Generator = np.random.Generator


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """RGB in 0..1 of a hue (any real number, 1 is a full turn), saturation and value."""
    return np.array(
        colorsys.hsv_to_rgb(hue % 1, float(np.clip(saturation, 0, 1)), float(np.clip(value, 0, 1)))
    )


@dataclass(frozen=True)
class Material:
    """A surface: a pattern of ``scale`` cells per metre in three colours.

    ``glow`` is light the surface gives off itself, as a share of its colour. ``crosswise`` turns
    the pattern by a quarter. ``gloss`` is how strongly it mirrors lights, 0..1.
    """

    colours: tuple[Colour, Colour, Colour]
    pattern: str = "plain"
    scale: float = 4.0
    seed: int = 0
    glow: float = 0.0
    crosswise: bool = False
    gloss: float = 0.0

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


@dataclass(frozen=True)
class Palette:
    """The colours of one scene, shared by everything in it."""

    colours: Sequence[Colour] = field(default_factory=tuple)
    others: tuple[str, ...] = ()
    """Patterns that may stand in for any pattern that is asked for."""
    share: float = 0.0
    """How often they do."""
    glossy: float = 0.0
    """How often a surface mirrors lights."""

    @classmethod
    def draw(
        cls,
        g: Generator,
        *,
        others: tuple[str, ...] = (),
        share: float = 0.0,
        glossy: float = 0.0,
    ) -> "Palette":
        """Three woody browns, three greys or off-whites, four colours of any hue."""
        browns = [hsv(g.normal(0.075, 0.02), g.uniform(0.2, 0.7), v) for v in (0.35, 0.6, 0.85)]
        greys = [hsv(g.random(), g.uniform(0, 0.12), v) for v in (0.25, 0.65, 0.95)]
        hue = g.random()
        hues = [hue, hue + g.normal(0, 0.06), hue + 0.5, g.random()]
        vivid = [hsv(h, g.uniform(0.2, 0.75), g.uniform(0.3, 0.9)) for h in hues]
        return cls(browns + greys + vivid, others, share, glossy)

    def pattern(self, g: Generator, wanted: str) -> str:
        """The pattern that is asked for, or one of the others."""
        if self.others and g.random() < self.share:
            return self.others[int(g.integers(len(self.others)))]
        return wanted

    def gloss(self, g: Generator) -> float:
        """How strongly a surface mirrors lights."""
        return float(g.uniform(0.1, 0.6)) if self.glossy and g.random() < self.glossy else 0.0

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
        pattern = self.pattern(g, patterns[int(g.integers(len(patterns)))])
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
            gloss=self.gloss(g),
        )

    def wood(self, g: Generator) -> Material:
        """Grained wood: natural (one of the browns), or painted in any colour of the palette."""
        natural = Palette(self.colours[:3])
        base = (natural if g.random() < 0.35 else self).colour(g, pale=0.2)
        return Material(
            (base, shade(base, g.uniform(0.6, 0.8)), shade(base, 0.5)),
            self.pattern(g, "grain" if g.random() < 0.75 else "plain"),
            scale=float(g.uniform(4, 8)),
            seed=int(g.integers(1 << 20)),
            gloss=self.gloss(g),
        )

    def fabric(self, g: Generator) -> Material:
        """Cloth with one of the woven or printed patterns."""
        patterns = ("plain", "plain", "mottled", "stripes", "checks", "tartan", "dots")
        return self.material(g, patterns)

    def lampshade(self, g: Generator) -> Material:
        """A lit or unlit shade in a warm tint of any palette colour."""
        material = self.material(g, ("plain", "plain", "stripes"), pale=0.5)
        return replace(material, glow=float(g.choice([0.0, g.uniform(0.6, 1.2)], p=[0.3, 0.7])))

    def leaf(self, g: Generator) -> Material:
        """Leaves of a plant: mostly green, whatever the palette."""
        base = hsv(g.normal(0.3, 0.06), g.uniform(0.3, 0.8), g.uniform(0.25, 0.7))
        return Material((base, shade(base, 0.7), shade(base, 0.5)), "mottled", scale=9.0)

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
