"""Smaller things: lamps, boxes, rugs, and what is fixed to the walls."""

from dataclasses import replace

from pamm.data.rooms.items import Item
from pamm.data.rooms.materials import Generator, Material, Palette, hsv, shade


def make_floor_lamp(g: Generator, palette: Palette) -> Item:
    """A lamp on a tall stem with a conical or spherical shade."""
    item = Item("lamp")
    height, radius = g.uniform(1.2, 1.6), g.uniform(0.17, 0.27)
    metal, cover = palette.smooth(g), palette.lampshade(g)
    item.post((0, 0, 0), 0.17, 0.03, metal)
    item.post((0, 0, 0.03), 0.02, height, metal)
    if g.random() < 0.25:
        item.ball((0, 0, height + radius * 0.8), (radius, radius, radius), cover)
    else:
        tall = g.uniform(0.26, 0.4)
        item.post((0, 0, height - 0.06), radius, tall, cover, top=radius * g.uniform(0.5, 0.95))
    return item


def make_table_lamp(g: Generator, palette: Palette) -> Item:
    """A small lamp to stand on furniture."""
    item = Item("lamp")
    base, cover = palette.smooth(g), palette.lampshade(g)
    stem, radius = g.uniform(0.18, 0.3), g.uniform(0.12, 0.18)
    if g.random() < 0.5:
        item.ball((0, 0, 0.1), (0.09, 0.09, 0.1), base)
    else:
        item.post((0, 0, 0), 0.09, 0.03, base)
    item.post((0, 0, 0.02), 0.02, stem, base)
    item.post((0, 0, stem - 0.02), radius, g.uniform(0.17, 0.26), cover, top=0.6 * radius)
    return item


def make_pendant(g: Generator, palette: Palette, *, ceiling: float) -> Item:
    """A lamp hanging from the ceiling, which is ``ceiling`` metres high."""
    item = Item("lamp")
    metal, cover = palette.smooth(g), palette.lampshade(g)
    radius, low = g.uniform(0.17, 0.3), ceiling - g.uniform(0.5, 0.8)
    item.post((0, 0, low + 0.1), 0.012, ceiling - low - 0.1, metal)
    item.post((0, 0, ceiling - 0.03), 0.06, 0.03, metal)
    if g.random() < 0.4:
        item.ball((0, 0, low + 0.7 * radius), (radius, radius, 0.7 * radius), cover)
    else:
        item.post(
            (0, 0, low), radius, g.uniform(0.16, 0.26), cover, top=radius * g.uniform(0.3, 0.8)
        )
    return item


def make_box(g: Generator, palette: Palette, *, size: float | None = None) -> Item:
    """A carton or chest; ``size`` is about its longest side in metres."""
    item = Item("box")
    size = float(g.uniform(0.4, 0.75)) if size is None else size
    x, y, height = (
        size / 2 * g.uniform(0.8, 1),
        size / 2 * g.uniform(0.55, 0.9),
        size * g.uniform(0.5, 1),
    )
    side = palette.material(g, ("plain", "plain", "mottled", "grain", "stripes", "dots"))
    item.box((-x, -y, 0), (x, y, height), side)
    kind = g.choice(["tape", "lid", "bare"])
    if kind == "tape":
        tape = palette.smooth(g)
        item.box((-x - 0.003, -0.03, 0.0), (x + 0.003, 0.03, height + 0.003), tape)
    elif kind == "lid":
        lid = palette.smooth(g)
        item.box((-x - 0.012, -y - 0.012, 0.8 * height), (x + 0.012, y + 0.012, height + 0.01), lid)
    return item


def make_rug(g: Generator, palette: Palette) -> Item:
    """A rectangular or round rug, with or without a border."""
    item = Item("rug")
    patterns = ("mottled", "stripes", "checks", "tartan", "dots", "plain")
    cloth = palette.material(g, patterns)
    x, y = g.uniform(0.75, 1.3), g.uniform(0.55, 0.95)
    if g.random() < 0.25:
        item.post((0, 0, 0), float(y + 0.15), 0.012, cloth)
        return item
    item.box((-x, -y, 0), (x, y, 0.01), palette.smooth(g))
    edge = g.uniform(0.04, 0.12)
    item.box((-x + edge, -y + edge, 0), (x - edge, y - edge, 0.014), cloth)
    return item


def make_door(g: Generator, palette: Palette) -> Item:
    """A closed door with frame, panels and a handle, against the plane y = 0."""
    item = Item("door")
    x, height = g.uniform(0.38, 0.46), g.uniform(1.98, 2.1)
    leaf = palette.wood(g)
    first, second, third = leaf.colours
    panel = replace(leaf, colours=(shade(first, 0.85), shade(second, 0.85), shade(third, 0.85)))
    frame = leaf if g.random() < 0.4 else palette.smooth(g)
    item.box((-x, 0, 0), (x, 0.03, height), leaf)
    for sx in (-1, 1):
        inner, outer = sorted((sx * x, sx * (x + 0.07)))
        item.box((inner, 0, 0), (outer, 0.05, height + 0.07), frame)
    item.box((-x, 0, height), (x, 0.05, height + 0.07), frame)
    if g.random() < 0.8:
        item.box((-x + 0.1, 0.03, 0.2), (x - 0.1, 0.038, 0.9), panel)
        item.box((-x + 0.1, 0.03, 1.05), (x - 0.1, 0.038, height - 0.15), panel)
    side = float(g.choice([-1, 1]))
    item.limb(
        (side * (x - 0.06), 0.07, 1.0), (side * (x - 0.17), 0.07, 1.0), 0.016, palette.smooth(g)
    )
    return item


def make_window(g: Generator, palette: Palette) -> Item:
    """A window with a view, bars, a sill, and sometimes curtains; centred on x = 0."""
    item = Item("window")
    x, low, high = g.uniform(0.45, 0.85), g.uniform(0.8, 1.0), g.uniform(1.95, 2.2)
    night = g.random() < 0.2
    sky = hsv(g.normal(0.57, 0.04), g.uniform(0.1, 0.5), g.uniform(0.12, 0.3) if night else 1)
    ground = palette.colour(g) * (0.3 if night else 1)
    haze = 0.5 * (sky + ground) if night else 0.3 * ground + 0.7
    glow = 0.1 if night else float(g.uniform(0.5, 0.9))
    view = Material((ground, haze, sky), "view", 1.0, int(g.integers(1 << 20)), glow)
    frame = palette.smooth(g)
    item.box((-x, 0, low), (x, 0.012, high), view)
    for bar in (-x, 0, x):
        item.box((bar - 0.03, 0, low), (bar + 0.03, 0.045, high), frame)
    item.box((-x - 0.03, 0, high - 0.03), (x + 0.03, 0.05, high + 0.03), frame)
    item.box((-x - 0.06, 0, low - 0.04), (x + 0.06, 0.11, low), frame)
    if g.random() < 0.4:
        cloth = replace(palette.material(g, ("stripes", "plain")), crosswise=False)
        for sx in (-1, 1):
            inner, outer = sorted((sx * (x - 0.12), sx * (x + 0.16)))
            item.box((inner, 0.05, 0.25), (outer, 0.1, high + 0.1), cloth)
    return item


def make_picture(g: Generator, palette: Palette) -> Item:
    """A framed painting or photograph; its centre is the origin."""
    item = Item("picture")
    x, z = g.uniform(0.25, 0.6), g.uniform(0.25, 0.48)
    patterns = ("art", "art", "art", "mottled", "stripes", "checks", "dots")
    art = replace(palette.material(g, patterns), scale=float(g.uniform(2.5, 6)))
    edge = g.uniform(0.025, 0.06)
    item.box((-x, 0, -z), (x, 0.025, z), palette.wood(g))
    if g.random() < 0.5:
        item.box((-x + edge, 0, -z + edge), (x - edge, 0.028, z - edge), palette.smooth(g))
        edge = edge + g.uniform(0.03, 0.07)
    item.box((-x + edge, 0, -z + edge), (x - edge, 0.031, z - edge), art)
    return item
