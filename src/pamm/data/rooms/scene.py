"""A composed room: its things from far to near, its camera and its lights."""

from dataclasses import dataclass

import numpy as np

from pamm.data.rooms.camera import Camera
from pamm.data.rooms.furnishing import Furnisher
from pamm.data.rooms.items import CLASSES, FLAT, NO_CLASS, THING, Piece
from pamm.data.rooms.layout import Placed, room_walls
from pamm.data.rooms.lights import Light
from pamm.data.rooms.shell import make_shell
from pamm.data.rooms.variety import PLAIN, Variety


@dataclass(frozen=True)
class Scene:
    """A composed room in world coordinates.

    ``labels`` and ``pieces`` hold one class index (or ``NO_CLASS``) and one tuple of solids per
    instance. Instances
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
    subject: int | None = None
    """The instance that the camera has come near to, in a close-up."""


def _order(placed: Placed, camera: Camera) -> tuple[bool, float]:
    """Sorts flat things before others, then far before near."""
    low, high = placed.item.bounds
    middle = placed.point(*((low + high) / 2).tolist())
    return placed.item.label not in FLAT, -float(camera.to_camera(middle)[2])


def compose(seed: int, index: int, attempt: int, variety: Variety = PLAIN) -> Scene:
    """The scene of one attempt: a pure function of its arguments (integers >= 0)."""
    g = np.random.default_rng([seed, index, attempt])
    size = (g.uniform(*variety.width), g.uniform(*variety.depth), g.uniform(*variety.height))
    palette, walls = variety.palette(g), room_walls(size[0], size[1])
    camera = variety.camera(g, size)
    furnisher = Furnisher(g, palette, camera, size, walls, variety)
    things = furnisher.furnish()
    camera = furnisher.camera
    things.sort(key=lambda placed: _order(placed, camera))
    shell = make_shell(g, palette, size, walls)
    everything = shell + [(placed.item.label, placed.solids()) for placed in things]
    close = next((i for i, placed in enumerate(things) if placed is furnisher.subject), None)
    lamps = [
        (number, solids[-1].centre)  # a lamp's shade is its last solid
        for number, (label, solids) in enumerate(everything)
        if label == "lamp" and solids[-1].material.glow > 0
    ]
    return Scene(
        size=size,
        labels=tuple(
            NO_CLASS if label == THING else CLASSES.index(label) for label, _ in everything
        ),
        pieces=tuple(solids for _, solids in everything),
        camera=camera,
        lights=variety.lights(g, size, lamps),
        ambient=float(g.uniform(*variety.ambient)),
        exposure=float(g.uniform(*variety.exposure)),
        noise=float(g.uniform(*variety.noise)),
        subject=None if close is None else len(shell) + close,
    )
