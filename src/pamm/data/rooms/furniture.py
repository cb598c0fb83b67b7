"""Furniture. Every maker draws one item: it faces +y, its back is towards -y."""

from collections.abc import Callable

from pamm.data.rooms.items import Item, Seat, Top
from pamm.data.rooms.materials import Generator, Material, Palette

Maker = Callable[[Generator, Palette], Item]


def four_legs(
    item: Item, reach: tuple[float, float], height: float, thick: float, wood: Material
) -> None:
    """Four posts under an item, at plus and minus ``reach`` from its middle."""
    x, y = reach
    for sx in (-1, 1):
        for sy in (-1, 1):
            item.post((sx * x, sy * y, 0), 0.7 * thick, height, wood, top=thick)


def make_bed(g: Generator, palette: Palette) -> Item:
    """A single or double bed with headboard, mattress, pillows and a cover."""
    item = Item("bed")
    width, length, top = g.uniform(0.9, 1.8), g.uniform(1.9, 2.1), g.uniform(0.42, 0.58)
    wood, sheet = palette.wood(g), palette.smooth(g)
    x, y = width / 2, length / 2
    footboard = bool(g.random() < 0.4)
    item.box((-x, -y, 0.1 if footboard else 0), (x, y, top - 0.18), wood)
    item.box((-x + 0.02, -y + 0.02, top - 0.18), (x - 0.02, y - 0.02, top), sheet)
    item.box((-x - 0.03, -y - 0.06, 0), (x + 0.03, -y, g.uniform(0.85, 1.25)), wood)
    if footboard:
        item.box((-x - 0.02, y, 0), (x + 0.02, y + 0.05, top + g.uniform(0, 0.15)), wood)
    else:
        item.seats.append(Seat(0, y, top + 0.03))
    end = y - g.uniform(0.5, 0.75) * length
    item.box((-x - 0.015, end, top - 0.16), (x + 0.015, y - 0.01, top + 0.035), palette.fabric(g))
    pillow = palette.fabric(g)
    count = 1 if width < 1.3 else 2
    for i in range(count):
        px = (i - (count - 1) / 2) * width / 2
        half = (min(0.36, 0.42 * width / count), 0.19, 0.085)
        item.ball((px, -y + 0.26, top + 0.06), half, pillow)
    return item


def make_sofa(g: Generator, palette: Palette) -> Item:
    """A sofa for two or three with arm rests and cushions."""
    item = Item("sofa")
    width, depth, seat = g.uniform(1.4, 2.2), g.uniform(0.82, 0.95), g.uniform(0.38, 0.46)
    cover, arm, back = palette.fabric(g), g.uniform(0.13, 0.2), g.uniform(0.72, 0.92)
    x, y = width / 2, depth / 2
    item.box((-x, -y, 0.07), (x, y, seat - 0.12), cover)
    item.box((-x + arm, -y, seat - 0.12), (x - arm, -y + 0.2, back), cover)
    round_arms = g.random() < 0.5
    for sx in (-1, 1):
        inner, outer = sorted((sx * (x - arm), sx * x))
        item.box((inner, -y, 0), (outer, y, seat + 0.14), cover)
        if round_arms:
            middle = sx * (x - arm / 2)
            ends = ((middle, -y + 0.09, seat + 0.14), (middle, y - 0.06, seat + 0.14))
            item.limb(*ends, arm / 2 + 0.025, cover)
    count = 2 if width < 1.8 else 3
    each = (width - 2 * arm) / count
    for i in range(count):
        left = -x + arm + i * each
        item.box(
            (left + 0.012, -y + 0.18, seat - 0.12), (left + each - 0.012, y + 0.02, seat), cover
        )
        item.seats.append(Seat(left + each / 2, y, seat))
    if g.random() < 0.6:
        cx = float(g.choice([-1, 1])) * (x - arm - 0.22)
        item.ball((cx, -y + 0.3, seat + 0.18), (0.2, 0.1, 0.19), palette.fabric(g))
    return item


def make_chair(g: Generator, palette: Palette) -> Item:
    """A dining chair, a swivel chair, a stool or a small armchair."""
    item = Item("chair")
    width, seat, back = g.uniform(0.42, 0.54), g.uniform(0.43, 0.5), g.uniform(0.82, 1.08)
    frame = palette.wood(g) if g.random() < 0.6 else palette.smooth(g)
    cover = palette.fabric(g) if g.random() < 0.6 else frame
    x = width / 2
    kind = g.choice(["dining", "swivel", "stool", "arm"], p=[0.5, 0.18, 0.1, 0.22])
    item.seats.append(Seat(0, x, seat))
    if kind == "stool":
        four_legs(item, (x - 0.08, x - 0.08), seat - 0.03, 0.022, frame)
        item.post((0, 0, seat - 0.04), x - 0.02, 0.06, cover)
    elif kind == "swivel":
        item.post((0, 0, 0), 0.27, 0.06, frame, top=0.08)
        item.post((0, 0, 0.05), 0.03, seat - 0.08, frame)
        item.box((-x, -x, seat - 0.06), (x, x, seat), cover)
        item.box((-0.03, -x - 0.03, seat - 0.05), (0.03, -x, seat + 0.25), frame)
        item.box((-x + 0.03, -x, seat + 0.12), (x - 0.03, -x + 0.05, back), cover)
    elif kind == "arm":
        width, x = width + 0.2, x + 0.1
        item.box((-x, -x, 0.1), (x, x, seat), cover)
        item.box((-x, -x - 0.1, 0.1), (x, -x, back), cover)
        for sx in (-1, 1):
            inner, outer = sorted((sx * x, sx * (x + 0.1)))
            item.box((inner, -x - 0.1, 0), (outer, x, seat + 0.17), cover)
        item.seats[0] = Seat(0, x, seat)
    else:
        four_legs(item, (x - 0.035, x - 0.035), seat - 0.03, 0.024, frame)
        item.box((-x, -x, seat - 0.045), (x, x, seat), cover)
        low = seat if g.random() < 0.5 else seat + 0.2
        item.box((-x, -x, low), (x, -x + 0.035, back), frame)
        if low > seat:
            for sx in (-1, 1):
                item.post((sx * (x - 0.03), -x + 0.018, seat), 0.017, low - seat, frame)
    return item


def make_table(g: Generator, palette: Palette, *, low: bool | None = None) -> Item:
    """A table on four legs or a round one on a column; ``low`` makes it a coffee table."""
    item = Item("table")
    low = bool(g.random() < 0.35) if low is None else low
    height = g.uniform(0.38, 0.48) if low else g.uniform(0.7, 0.78)
    width, depth = g.uniform(0.8, 1.5), g.uniform(0.5, 0.85)
    wood = palette.wood(g) if g.random() < 0.75 else palette.smooth(g)
    if g.random() < 0.3:
        radius = g.uniform(0.36, 0.55)
        item.post((0, 0, height - 0.035), radius, 0.035, wood)
        item.post((0, 0, 0), 0.05, height - 0.03, wood)
        item.post((0, 0, 0), 0.6 * radius, 0.05, wood, top=0.06)
        item.tops.append(Top(0, 0, height, 1.2 * radius, 1.2 * radius))
        return item
    x, y = width / 2, depth / 2
    item.box((-x, -y, height - 0.035), (x, y, height), wood)
    if g.random() < 0.2:
        for sx in (-1, 1):
            inner, outer = sorted((sx * (x - 0.06), sx * (x - 0.02)))
            item.box((inner, -y + 0.03, 0), (outer, y - 0.03, height - 0.035), wood)
    else:
        four_legs(item, (x - 0.06, y - 0.06), height - 0.035, 0.032, wood)
    if low and g.random() < 0.5:
        item.box((-x + 0.06, -y + 0.05, 0.13), (x - 0.06, y - 0.05, 0.15), wood)
    item.tops.append(Top(0, 0, height, width - 0.1, depth - 0.1))
    return item


def make_cabinet(g: Generator, palette: Palette) -> Item:
    """A chest of drawers or a wardrobe with doors and knobs."""
    item = Item("cabinet")
    tall = bool(g.random() < 0.4)
    width, depth = g.uniform(0.7, 1.3), g.uniform(0.38, 0.58)
    height = g.uniform(1.75, 2.15) if tall else g.uniform(0.65, 1.1)
    body = palette.wood(g)
    front = body if g.random() < 0.4 else palette.wood(g)
    knob = palette.smooth(g)
    x, y = width / 2, depth / 2
    item.box((-x, -y, 0), (x, y - 0.02, height), body)
    rows, columns = (1, 2) if tall else (int(g.integers(2, 4)), 1)
    for row in range(rows):
        for column in range(columns):
            low = 0.07 + row * (height - 0.1) / rows
            high = 0.07 + (row + 1) * (height - 0.1) / rows - 0.025
            left = -x + 0.025 + column * (width - 0.05) / columns
            right = -x + 0.025 + (column + 1) * (width - 0.05) / columns - 0.015
            item.box((left, y - 0.02, low), (right, y, high), front)
            knob_x = (right - 0.06, left + 0.06)[column] if tall else (left + right) / 2
            item.ball((knob_x, y + 0.015, (low + high) / 2), (0.024, 0.024, 0.024), knob)
    if not tall:
        item.tops.append(Top(0, 0, height, width - 0.1, depth - 0.08))
    return item


def make_shelf(g: Generator, palette: Palette) -> Item:
    """An open bookcase with rows of books."""
    item = Item("shelf")
    width, depth, height = g.uniform(0.7, 1.3), g.uniform(0.26, 0.36), g.uniform(1.0, 2.0)
    wood = palette.wood(g)
    boards = max(2, round(height / g.uniform(0.36, 0.5)))
    x, y, gap = width / 2, depth / 2, (height - 0.025) / boards
    for sx in (-1, 1):
        inner, outer = sorted((sx * (x - 0.025), sx * x))
        item.box((inner, -y, 0), (outer, y, height), wood)
    item.box((-x, -y, 0), (x, -y + 0.015, height), wood)
    for board in range(boards + 1):
        item.box((-x, -y, board * gap), (x, y, board * gap + 0.025), wood)
    for board in range(boards):
        left = -x + 0.04
        for _ in range(int(g.integers(0, 3))):
            run = g.uniform(0.08, 0.3)
            if left + run > x - 0.04:
                break
            books = palette.material(g, ("stripes", "plain", "stripes"))
            low, high = (
                board * gap + 0.025,
                board * gap + 0.025 + g.uniform(0.55, 0.9) * (gap - 0.03),
            )
            item.box((left, -y + 0.03, low), (left + run, y - g.uniform(0.02, 0.1), high), books)
            left += run + g.uniform(0.005, 0.08)
    if height < 1.4:
        item.tops.append(Top(0, 0, height, width - 0.1, depth - 0.04))
    return item


FURNITURE: dict[str, Maker] = {
    "bed": make_bed,
    "sofa": make_sofa,
    "chair": make_chair,
    "table": make_table,
    "cabinet": make_cabinet,
    "shelf": make_shelf,
}
