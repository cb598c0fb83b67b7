"""Things of no class: what stands about in a room, made of a few solids at random.

Their pixels have no label for semantic segmentation; they have depth, normals and boundaries, and
may be salient.
"""

from collections.abc import Callable

import numpy as np

from pamm.data.rooms.geometry import Box
from pamm.data.rooms.items import THING, Item, Point
from pamm.data.rooms.materials import Generator, Palette


def make_thing(g: Generator, palette: Palette, *, size: float) -> Item:
    """A thing about ``size`` metres high."""
    item = Item(THING)
    KINDS[int(g.integers(len(KINDS)))](g, palette, item, size)
    return item


def _vessel(g: Generator, palette: Palette, item: Item, size: float) -> None:
    """A bottle, vase, bowl or mug: round parts on one axis."""
    height, radius = 0.0, size * g.uniform(0.18, 0.5)
    material = palette.smooth(g)
    for _ in range(int(g.integers(1, 5))):
        tall, top = size * g.uniform(0.15, 0.5), radius * g.uniform(0.35, 1.3)
        item.post((0, 0, height), radius, tall, material, top=top)
        height, radius = height + tall, top
        if g.random() < 0.3:
            material = palette.material(g, ("plain", "stripes", "dots"))


def _plant(g: Generator, palette: Palette, item: Item, size: float) -> None:
    """A pot with leaves, mostly green."""
    pot = size * g.uniform(0.2, 0.35)
    item.post((0, 0, 0), 0.8 * pot, 0.9 * pot, palette.smooth(g), top=pot)
    leaf = palette.leaf(g)
    for _ in range(int(g.integers(4, 10))):
        turn, lean = g.uniform(0, 2 * np.pi), g.uniform(0.1, 1.0)
        reach = size * g.uniform(0.3, 0.6)
        tip = np.array([np.cos(turn) * np.sin(lean), np.sin(turn) * np.sin(lean), np.cos(lean)])
        foot = np.array([0, 0, 0.9 * pot])
        item.limb(foot, foot + reach * tip, size * g.uniform(0.02, 0.07), leaf)


def _animal(g: Generator, palette: Palette, item: Item, size: float) -> None:
    """A body, a head with ears, four legs and a tail."""
    fur = palette.material(g, ("plain", "mottled", "clouds", "stripes"))
    long, thick = size * g.uniform(0.45, 0.75), size * g.uniform(0.16, 0.28)
    legs = size * g.uniform(0.25, 0.5)
    item.ball((0, 0, legs + thick), (thick, long / 2 + thick / 2, thick), fur)
    for sx in (-1, 1):
        for sy in (-1, 1):
            hip = (sx * 0.6 * thick, sy * 0.42 * long, legs + 0.6 * thick)
            item.limb(hip, (hip[0], hip[1], 0.05 * size), 0.05 * size, fur)
    head = (0.0, 0.55 * long + 0.6 * thick, legs + thick * g.uniform(1.4, 2.2))

    def on_the_head(place: Point, half: Point) -> None:
        x, y, z = (a + thick * b for a, b in zip(head, place, strict=True))
        across, deep, tall = (thick * a for a in half)
        item.ball((x, y, z), (across, deep, tall), fur)

    on_the_head((0, 0, 0), (0.7, 0.75, 0.65))
    on_the_head((0, 0.7, -0.15), (0.3, 0.35, 0.25))  # its snout
    for sx in (-1, 1):
        on_the_head((0.4 * sx, 0, 0.65), (0.2, 0.1, 0.4))
    y, z = -0.5 * long - 0.3 * thick, legs + thick
    item.limb((0, y, z), (0, y - 0.2 * size, z + size * g.uniform(-0.1, 0.3)), 0.03 * size, fur)


def _screen(g: Generator, palette: Palette, item: Item, size: float) -> None:
    """A flat panel on a foot."""
    x, z = size * g.uniform(0.5, 0.9), size * g.uniform(0.7, 1.0)
    frame = palette.smooth(g)
    item.box((-0.4 * x, -0.1 * size, 0), (0.4 * x, 0.1 * size, 0.03 * size), frame)
    item.post((0, 0, 0), 0.06 * size, 0.3 * size, frame)
    item.box((-x, -0.03 * size, 0.2 * size), (x, 0.02 * size, z), frame)
    picture = palette.material(g, ("art", "plain", "mottled"))
    item.box((-0.94 * x, 0.02 * size, 0.25 * size), (0.94 * x, 0.03 * size, 0.95 * z), picture)


def _stack(g: Generator, palette: Palette, item: Item, size: float) -> None:
    """Flat blocks on each other, as books."""
    height = 0.0
    for _ in range(int(g.integers(2, 7))):
        x, y, tall = (size * g.uniform(*r) for r in ((0.3, 0.5), (0.2, 0.4), (0.06, 0.25)))
        item.box((-x, -y, height), (x, y, height + tall), palette.material(g, ("plain", "stripes")))
        height += tall


def _cluster(g: Generator, palette: Palette, item: Item, size: float) -> None:
    """Balls, blocks and rods grown together, as of a machine or a toy."""
    for number in range(int(g.integers(2, 8))):
        x, y, z = (float(size * a) for a in g.uniform(0.1, 0.3, 3))
        place = np.array([0, 0, z])
        if number:
            place += size * np.array([*g.normal(0, 0.25, 2), g.uniform(0, 0.5)])
        material = palette.material(g, ("plain", "plain", "mottled", "stripes", "dots"))
        kind = int(g.integers(3))
        if kind == 0:
            item.ball(place, (x, y, z), material)
        elif kind == 1:
            item.add(Box(2 * x, 2 * y, 2 * z), place, material)
        else:
            end = place + size * g.uniform(-0.35, 0.35, 3)
            radius = 0.5 * min(x, y, z)
            end[2] = max(end[2], radius)
            item.limb(place, end, radius, material)


KINDS: tuple[Callable[[Generator, Palette, Item, float], None], ...] = (
    _vessel,
    _vessel,
    _plant,
    _animal,
    _screen,
    _stack,
    _cluster,
    _cluster,
)
