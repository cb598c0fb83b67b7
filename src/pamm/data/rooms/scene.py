"""A composed room: its things from far to near, its camera and its lights."""

from dataclasses import dataclass

import numpy as np

from pamm.data.rooms.camera import Camera, draw_camera
from pamm.data.rooms.furnishing import Furnisher
from pamm.data.rooms.geometry import Vector
from pamm.data.rooms.items import CLASSES, FLAT, Piece
from pamm.data.rooms.layout import Placed, room_walls
from pamm.data.rooms.materials import Generator, Palette, hsv
from pamm.data.rooms.shell import make_shell


@dataclass(frozen=True)
class Light:
    """A point light: position (3,), colour (3,) times strength, and the instance it shines from."""

    position: Vector
    colour: Vector
    source: int = -1


@dataclass(frozen=True)
class Scene:
    """A composed room in world coordinates.

    ``labels`` and ``pieces`` hold one class index and one tuple of solids per instance. Instances
    0, 1, 2 are the walls, the floor and the ceiling; then come things flat against them, then all
    others from far to near.
    """

    size: tuple[float, float, float]
    labels: tuple[int, ...]
    pieces: tuple[tuple[Piece, ...], ...]
    camera: Camera
    lights: tuple[Light, ...]
    ambient: float
    exposure: float
    noise: float


def _order(placed: Placed, camera: Camera) -> tuple[bool, float]:
    """Sorts flat things before others, then far before near."""
    low, high = placed.item.bounds
    middle = placed.point(*((low + high) / 2).tolist())
    return placed.item.label not in FLAT, -float(camera.to_camera(middle)[2])


def _light_colour(g: Generator) -> Vector:
    """White, more or less warm."""
    return hsv(g.normal(0.1, 0.03), g.uniform(0, 0.25), 1)


def _make_lights(
    g: Generator, size: tuple[float, float, float], lamps: list[tuple[int, Vector]]
) -> tuple[Light, Light]:
    """The ceiling light, and a second one: a lit lamp (instance, position) or a fill light near
    the front wall."""
    width, depth, height = size
    key = np.array([g.uniform(-0.3, 0.3) * width, g.uniform(0.25, 0.7) * depth, height - 0.12])
    first = Light(key, g.uniform(0.75, 1.2) * _light_colour(g))
    if lamps and g.random() < 0.6:
        instance, position = lamps[int(g.integers(len(lamps)))]
        return first, Light(position, g.uniform(0.25, 0.6) * _light_colour(g), instance)
    fill = np.array([g.uniform(-0.45, 0.45) * width, 0.3, g.uniform(1.6, height - 0.2)])
    return first, Light(fill, g.uniform(0.2, 0.5) * _light_colour(g))


def compose(seed: int, index: int, attempt: int) -> Scene:
    """The scene of one attempt: a pure function of its arguments (integers >= 0)."""
    g = np.random.default_rng([seed, index, attempt])
    size = (g.uniform(3.0, 5.5), g.uniform(3.2, 6.0), g.uniform(2.35, 2.9))
    palette, walls = Palette.draw(g), room_walls(size[0], size[1])
    camera = draw_camera(g, size[0], size[1])
    things = Furnisher(g, palette, camera, size, walls).furnish()
    things.sort(key=lambda placed: _order(placed, camera))
    everything = make_shell(g, palette, size, walls)
    everything += [(placed.item.label, placed.solids()) for placed in things]
    lamps = [
        (number, solids[-1].centre)  # a lamp's shade is its last solid
        for number, (label, solids) in enumerate(everything)
        if label == "lamp" and solids[-1].material.glow > 0
    ]
    return Scene(
        size=size,
        labels=tuple(CLASSES.index(label) for label, _ in everything),
        pieces=tuple(solids for _, solids in everything),
        camera=camera,
        lights=_make_lights(g, size, lamps),
        ambient=float(g.uniform(0.18, 0.34)),
        exposure=float(g.uniform(0.85, 1.2)),
        noise=float(g.uniform(0.004, 0.018)),
    )
