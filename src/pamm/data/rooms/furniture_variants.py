"""Furniture of other builds than that of `furniture.py`, under the same classes.

``MORE`` is for the varied rooms. ``HELD_OUT`` is what they never have in training, to measure how
far a model has learned a class and not its few builds.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from pamm.data.rooms.furniture import Maker, four_legs
from pamm.data.rooms.items import Item, Seat, Top
from pamm.data.rooms.materials import Generator, Palette


def make_platform_bed(g: Generator, palette: Palette) -> Item:
    """A low platform with a thin mattress, a blanket rolled up at its end, no headboard."""
    item = Item("bed")
    x, y, top = g.uniform(0.5, 0.95), g.uniform(0.98, 1.08), g.uniform(0.26, 0.4)
    item.box((-x - 0.12, -y, 0), (x + 0.12, y + 0.05, top - 0.14), palette.wood(g))
    item.box((-x, -y, top - 0.14), (x, y, top), palette.smooth(g))
    item.limb(
        (-x + 0.1, y - 0.2, top + 0.08), (x - 0.1, y - 0.2, top + 0.08), 0.1, palette.fabric(g)
    )
    for i in range(int(g.integers(1, 3))):
        px = (i - 0.5) * x if x > 0.7 else 0.0
        item.ball((px, -y + 0.25, top + 0.06), (0.3, 0.18, 0.09), palette.fabric(g))
    item.seats.append(Seat(0, y, top))
    return item


def make_bunk_bed(g: Generator, palette: Palette) -> Item:
    """Two beds on four posts, one above the other, with a ladder."""
    item = Item("bed")
    x, y, high = g.uniform(0.45, 0.55), g.uniform(0.98, 1.05), g.uniform(1.5, 1.75)
    wood = palette.wood(g)
    for sx in (-1, 1):
        for sy in (-1, 1):
            item.box(
                (sx * x - 0.035, sy * y - 0.035, 0), (sx * x + 0.035, sy * y + 0.035, high), wood
            )
    for top in (g.uniform(0.35, 0.5), high - 0.3):
        item.box((-x, -y, top - 0.2), (x, y, top - 0.12), wood)
        item.box((-x + 0.03, -y + 0.03, top - 0.12), (x - 0.03, y - 0.03, top), palette.smooth(g))
        item.ball((0, -y + 0.25, top + 0.05), (0.3, 0.18, 0.07), palette.fabric(g))
        item.box((-x + 0.02, -0.1, top - 0.1), (x - 0.02, y - 0.04, top + 0.03), palette.fabric(g))
    for step in np.arange(0.25, high - 0.2, 0.26):
        item.limb((-0.16, y + 0.05, step), (0.16, y + 0.05, step), 0.018, wood)
    return item


def make_lounge(g: Generator, palette: Palette) -> Item:
    """A sofa with a long seat on one side."""
    item = Item("sofa")
    x, y, seat = g.uniform(0.85, 1.15), g.uniform(0.42, 0.48), g.uniform(0.36, 0.44)
    cover, side = palette.fabric(g), float(g.choice([-1, 1]))
    item.box((-x, -y, 0.06), (x, y, seat), cover)
    item.box((-x, -y, seat), (x, -y + 0.2, seat + g.uniform(0.3, 0.42)), cover)
    inner, outer = sorted((side * (x - 0.75), side * x))
    item.box((inner, y, 0.06), (outer, y + g.uniform(0.4, 0.6), seat), cover)
    item.box(*_span(-side * x, -side * (x - 0.16), (-y, y), (0, seat + 0.18)), cover)
    for i in range(int(g.integers(1, 4))):
        item.ball((x * (i - 1) * 0.55, -y + 0.3, seat + 0.19), (0.21, 0.1, 0.2), palette.fabric(g))
    item.seats.append(Seat(-side * 0.3 * x, y, seat))
    return item


def make_day_sofa(g: Generator, palette: Palette) -> Item:
    """A wooden frame on legs with loose cushions, and bolsters for arms."""
    item = Item("sofa")
    x, y, seat = g.uniform(0.75, 1.05), g.uniform(0.38, 0.44), g.uniform(0.38, 0.45)
    wood, cover = palette.wood(g), palette.fabric(g)
    four_legs(item, (x - 0.05, y - 0.05), seat - 0.2, 0.03, wood)
    item.box((-x, -y, seat - 0.22), (x, y, seat - 0.15), wood)
    item.box((-x, -y, seat + 0.35), (x, -y + 0.04, seat + 0.42), wood)
    for post in np.linspace(-x + 0.05, x - 0.05, 7):
        item.post((post, -y + 0.02, seat - 0.15), 0.014, 0.5, wood)
    for sx in (-1, 1):
        item.box(*_span(sx * 0.01, sx * (x - 0.02), (-y + 0.06, y), (seat - 0.15, seat)), cover)
        item.limb(
            (sx * (x - 0.1), -y + 0.15, seat + 0.1),
            (sx * (x - 0.1), y - 0.15, seat + 0.1),
            0.1,
            cover,
        )
        item.seats.append(Seat(sx * x / 2, y, seat))
    return item


def make_wing_chair(g: Generator, palette: Palette) -> Item:
    """A high upholstered chair with wings beside the head."""
    item = Item("chair")
    x, seat, back = g.uniform(0.34, 0.4), g.uniform(0.4, 0.46), g.uniform(1.0, 1.15)
    cover = palette.fabric(g)
    four_legs(item, (x - 0.06, x - 0.06), 0.16, 0.022, palette.wood(g))
    item.box((-x, -x, 0.15), (x, x, seat), cover)
    item.box((-x, -x - 0.12, 0.15), (x, -x, back), cover)
    for sx in (-1, 1):
        item.box(*_span(sx * (x - 0.09), sx * x, (-x, x), (seat, seat + 0.18)), cover)
        item.box(*_span(sx * (x - 0.07), sx * x, (-x, -x + 0.24), (seat + 0.18, back)), cover)
    item.seats.append(Seat(0, x, seat))
    return item


def make_bean_bag(g: Generator, palette: Palette) -> Item:
    """A sack to sit in."""
    item = Item("chair")
    size, cover = g.uniform(0.36, 0.48), palette.fabric(g)
    item.ball((0, 0, 0.55 * size), (size, size, 0.55 * size), cover)
    item.ball((0, -0.35 * size, size), (0.7 * size, 0.55 * size, 0.6 * size), cover)
    return item


def make_slat_chair(g: Generator, palette: Palette) -> Item:
    """A chair with a high back of slats, and runners in place of legs."""
    item = Item("chair")
    x, seat, back = g.uniform(0.22, 0.27), g.uniform(0.42, 0.48), g.uniform(1.05, 1.3)
    wood = palette.wood(g)
    for sx in (-1, 1):
        item.box(*_span(sx * (x - 0.035), sx * x, (-x, x), (0, 0.04)), wood)
        item.box(*_span(sx * (x - 0.035), sx * x, (-0.05, 0.03), (0.04, seat)), wood)
        item.box(*_span(sx * (x - 0.04), sx * x, (-x, -x + 0.035), (seat, back)), wood)
    item.box((-x, -x, seat - 0.04), (x, x, seat), palette.fabric(g))
    for z in np.arange(seat + 0.12, back, 0.13):
        item.box((-x, -x, z), (x, -x + 0.02, z + 0.06), wood)
    item.seats.append(Seat(0, x, seat))
    return item


def make_trestle_table(g: Generator, palette: Palette) -> Item:
    """A board on two crossed frames."""
    item = Item("table")
    x, y, height = g.uniform(0.55, 0.85), g.uniform(0.3, 0.45), g.uniform(0.68, 0.78)
    wood, board = palette.wood(g), palette.wood(g)
    item.box((-x, -y, height - 0.04), (x, y, height), board)
    for sx in (-1, 1):
        place = sx * (x - 0.18)
        for sy in (-1, 1):
            low, high = (place, -sy * (y - 0.06), 0.025), (place, sy * (y - 0.06), height - 0.05)
            item.limb(low, high, 0.024, wood)
    item.limb((-x + 0.18, 0, height / 2), (x - 0.18, 0, height / 2), 0.02, wood)
    item.tops.append(Top(0, 0, height, 2 * x - 0.1, 2 * y - 0.1))
    return item


def make_drum_table(g: Generator, palette: Palette) -> Item:
    """A solid round block, or a stack of two."""
    item = Item("table")
    radius, height = g.uniform(0.28, 0.48), g.uniform(0.36, 0.72)
    item.post((0, 0, 0), radius * g.uniform(0.6, 1.0), height - 0.05, palette.wood(g), top=radius)
    item.post((0, 0, height - 0.05), radius + 0.03, 0.05, palette.smooth(g))
    item.tops.append(Top(0, 0, height, 1.2 * radius, 1.2 * radius))
    return item


def make_sideboard(g: Generator, palette: Palette) -> Item:
    """A long low cupboard on legs with sliding doors."""
    item = Item("cabinet")
    x, y, height = g.uniform(0.6, 0.95), g.uniform(0.19, 0.25), g.uniform(0.6, 0.85)
    body, low = palette.wood(g), g.uniform(0.14, 0.24)
    four_legs(item, (x - 0.06, y - 0.05), low, 0.022, palette.smooth(g))
    item.box((-x, -y, low), (x, y - 0.02, height), body)
    item.box((-x + 0.02, y - 0.02, low + 0.02), (0.01, y, height - 0.04), palette.wood(g))
    item.box((-0.01, y - 0.02, low + 0.02), (x - 0.02, y - 0.008, height - 0.04), palette.wood(g))
    item.tops.append(Top(0, 0, height, 2 * x - 0.1, 2 * y - 0.1))
    return item


def make_locker(g: Generator, palette: Palette) -> Item:
    """A tall narrow cupboard of many small doors, or of many drawers."""
    item = Item("cabinet")
    x, y, height = g.uniform(0.24, 0.5), g.uniform(0.2, 0.28), g.uniform(1.1, 1.8)
    body, front = palette.smooth(g), palette.smooth(g)
    item.box((-x, -y, 0), (x, y - 0.015, height), body)
    rows, columns = int(g.integers(3, 7)), int(g.integers(1, 4))
    for row in range(rows):
        for column in range(columns):
            left, right = (-x + 2 * x * (column + e) / columns for e in (0.06, 0.94))
            low, high = (0.05 + (height - 0.08) * (row + e) / rows for e in (0.06, 0.94))
            item.box((left, y - 0.015, low), (right, y, high), front)
    return item


def make_ladder_shelf(g: Generator, palette: Palette) -> Item:
    """Boards between two slanted posts, with a few things on them."""
    item = Item("shelf")
    x, height = g.uniform(0.3, 0.5), g.uniform(1.5, 1.95)
    wood, deep = palette.wood(g), g.uniform(0.3, 0.42)
    for sx in (-1, 1):
        item.limb((sx * x, deep / 2, 0.02), (sx * x, -deep / 2 + 0.03, height), 0.02, wood)
    for z in np.arange(0.3, height - 0.15, g.uniform(0.32, 0.42)):
        front = deep / 2 - z / height * (deep - 0.08)
        item.box((-x, -deep / 2, z), (x, front, z + 0.022), wood)
        if g.random() < 0.7:
            left, wide = g.uniform(-x + 0.03, 0), g.uniform(0.12, 0.28)
            books = palette.material(g, ("stripes", "plain"))
            item.box(
                (left, -deep / 2 + 0.02, z + 0.022), (left + wide, front - 0.02, z + 0.2), books
            )
    return item


def make_cube_shelf(g: Generator, palette: Palette) -> Item:
    """Open cubes beside and above each other; some have a back, some hold a block of books."""
    item = Item("shelf")
    cell, y, wall = g.uniform(0.32, 0.42), g.uniform(0.14, 0.18), 0.03
    rows, columns = int(g.integers(2, 5)), int(g.integers(2, 4))
    x, height, wood = columns * cell / 2, rows * cell, palette.smooth(g)
    for column in range(columns + 1):
        left = -x + column * cell - wall / 2
        item.box((left, -y, 0), (left + wall, y, height), wood)
    for row in range(rows + 1):
        item.box((-x, -y, max(0.0, row * cell - wall)), (x, y, max(wall, row * cell)), wood)
    for row in range(rows):
        for column in range(columns):
            left, low = -x + column * cell + wall / 2, row * cell + (wall if row == 0 else 0)
            if g.random() < 0.35:
                item.box((left, -y, low), (left + cell - wall, -y + 0.02, low + cell - wall), wood)
            if g.random() < 0.5:
                books = palette.material(g, ("stripes", "plain"))
                wide, tall = g.uniform(0.5, 0.95) * (cell - wall), g.uniform(0.5, 0.85) * cell
                item.box((left, -y + 0.03, low), (left + wide, y - 0.03, low + tall), books)
    if height < 1.3:
        item.tops.append(Top(0, 0, height, 2 * x - 0.1, 2 * y - 0.05))
    return item


def make_arc_lamp(g: Generator, palette: Palette) -> Item:
    """A lamp that hangs from a bent pole."""
    item = Item("lamp")
    metal, reach, height = palette.smooth(g), g.uniform(0.35, 0.6), g.uniform(1.5, 1.85)
    item.box((-0.17, -0.17, 0), (0.17, 0.17, 0.04), metal)
    bend = [
        (0, 0, 0.04),
        (0, 0, 0.75 * height),
        (0, 0.4 * reach, height),
        (0, reach, height - 0.12),
    ]
    for a, b in pairwise(bend):
        item.limb(a, b, 0.016, metal)
    radius = g.uniform(0.13, 0.22)
    item.post(
        (0, reach, height - 0.12 - radius), radius, radius, palette.lampshade(g), top=0.4 * radius
    )
    return item


def make_tripod_lamp(g: Generator, palette: Palette) -> Item:
    """A lamp on three slanted legs."""
    item = Item("lamp")
    height, wood = g.uniform(1.0, 1.35), palette.wood(g)
    for turn in (0.3, 0.3 + 2 * np.pi / 3, 0.3 + 4 * np.pi / 3):
        foot = (0.27 * np.cos(turn), 0.27 * np.sin(turn), 0.02)
        item.limb(foot, (0, 0, height), 0.017, wood)
    radius = g.uniform(0.2, 0.28)
    item.post((0, 0, height - 0.05), radius, g.uniform(0.25, 0.4), palette.lampshade(g), top=radius)
    return item


def _span(
    a: float, b: float, y: tuple[float, float], z: tuple[float, float]
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """The two corners of a box that reaches from ``a`` to ``b``, in either order, along x."""
    return (min(a, b), y[0], z[0]), (max(a, b), y[1], z[1])


MORE: Mapping[str, tuple[Maker, ...]] = {
    "bed": (make_platform_bed,),
    "sofa": (make_lounge,),
    "chair": (make_wing_chair, make_bean_bag),
    "table": (make_trestle_table,),
    "cabinet": (make_sideboard,),
    "shelf": (make_ladder_shelf,),
    "lamp": (make_arc_lamp,),
}
HELD_OUT: Mapping[str, tuple[Maker, ...]] = {
    "bed": (make_bunk_bed,),
    "sofa": (make_day_sofa,),
    "chair": (make_slat_chair,),
    "table": (make_drum_table,),
    "cabinet": (make_locker,),
    "shelf": (make_cube_shelf,),
    "lamp": (make_tripod_lamp,),
}
