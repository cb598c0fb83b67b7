"""The lights of a room."""

from dataclasses import dataclass

import numpy as np

from pamm.data.rooms.geometry import Vector
from pamm.data.rooms.materials import Generator, hsv

Size = tuple[float, float, float]
Lamps = list[tuple[int, Vector]]
"""The lit lamps: (instance, position)."""


@dataclass(frozen=True)
class Light:
    """A point light: position (3,), colour (3,) times strength, and the instance it shines from."""

    position: Vector
    colour: Vector
    source: int = -1


def _light_colour(g: Generator) -> Vector:
    """White, more or less warm."""
    return hsv(g.normal(0.1, 0.03), g.uniform(0, 0.25), 1)


def ceiling_and_another(g: Generator, size: Size, lamps: Lamps) -> tuple[Light, ...]:
    """The ceiling light, and a second one: a lit lamp or a fill light near the front wall."""
    width, depth, height = size
    key = np.array([g.uniform(-0.3, 0.3) * width, g.uniform(0.25, 0.7) * depth, height - 0.12])
    first = Light(key, g.uniform(0.75, 1.2) * _light_colour(g))
    if lamps and g.random() < 0.6:
        instance, position = lamps[int(g.integers(len(lamps)))]
        return first, Light(position, g.uniform(0.25, 0.6) * _light_colour(g), instance)
    fill = np.array([g.uniform(-0.45, 0.45) * width, 0.3, g.uniform(1.6, height - 0.2)])
    return first, Light(fill, g.uniform(0.2, 0.5) * _light_colour(g))


def any_lights(g: Generator, size: Size, lamps: Lamps) -> tuple[Light, ...]:
    """One to four, from the upper half of the room, candle warm to the blue of a screen."""
    lights = []
    for number in range(int(g.integers(1, 5))):
        warm = g.random() < 0.75
        hue, saturation = (0.09, g.uniform(0, 0.45)) if warm else (0.6, g.uniform(0, 0.3))
        strength = float(np.exp(g.uniform(np.log(0.25), np.log(1.4)))) / (1 + 0.5 * number)
        colour = strength * hsv(g.normal(hue, 0.03), saturation, 1)
        if lamps and g.random() < 0.35:
            instance, position = lamps[int(g.integers(len(lamps)))]
            lights.append(Light(position, colour, instance))
        else:
            lights.append(Light(_place(g, size, 0.5, 0.97), colour))
    return tuple(lights)


def coloured_lights_from_below(g: Generator, size: Size, lamps: Lamps) -> tuple[Light, ...]:
    """Two of strong colours, at the height of a knee, and a weak white one above."""
    hue = g.random()
    lights = [
        Light(_place(g, size, 0.12, 0.3), g.uniform(0.5, 1.0) * hsv(h, g.uniform(0.5, 0.9), 1))
        for h in (hue, hue + g.uniform(0.25, 0.75))
    ]
    return (*lights, Light(_place(g, size, 0.8, 0.97), g.uniform(0.1, 0.25) * _light_colour(g)))


def _place(g: Generator, size: Size, low: float, high: float) -> Vector:
    """Anywhere in the room, between two shares of its height."""
    width, depth, height = size
    return np.array(
        [
            g.uniform(-0.46, 0.46) * width,
            g.uniform(0.05, 0.95) * depth,
            g.uniform(low, high) * height,
        ]
    )
