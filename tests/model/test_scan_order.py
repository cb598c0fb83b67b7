"""Orders are the spec's at 4x4, permutations everywhere, and Hilbert's visits are neighbours."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pamm.errors import PammError
from pamm.model.scan_order import ORDERS, make_orders

KNOWN = {  # kind: (0 degrees, 90 degrees) at 4x4
    "hilbert": (
        [0, 1, 5, 4, 8, 12, 13, 9, 10, 14, 15, 11, 7, 6, 2, 3],
        [12, 8, 9, 13, 14, 15, 11, 10, 6, 7, 3, 2, 1, 5, 4, 0],
    ),
    "zorder": ([0, 1, 4, 5, 2, 3, 6, 7], [12, 8, 13, 9, 4, 0, 5, 1]),
    "serpentine": ([0, 1, 2, 3, 7, 6, 5, 4], [12, 8, 4, 0, 1, 5, 9, 13]),
}


@pytest.mark.parametrize("kind", KNOWN)
def test_known_orders_at_4x4(kind):
    orders = make_orders(kind, 4, 4)
    for order, known in zip(orders[:2].tolist(), KNOWN[kind], strict=True):
        assert order[: len(known)] == known


@given(kind=st.sampled_from(sorted(ORDERS)), h=st.integers(1, 20), w=st.integers(1, 20))
def test_every_order_is_a_permutation(kind, h, w):
    orders = make_orders(kind, h, w)
    assert orders.shape == (4, h * w)
    assert orders.dtype == torch.int64
    assert torch.equal(orders.sort(dim=1).values, torch.arange(h * w).expand(4, -1))


@pytest.mark.parametrize("kind", ["hilbert", "serpentine"])
@pytest.mark.parametrize("side", [2, 4, 8, 16, 32])
def test_consecutive_positions_of_a_full_curve_are_neighbours(kind, side):
    orders = make_orders(kind, side, side)
    rows, columns = orders // side, orders % side
    assert ((rows.diff(dim=1).abs() + columns.diff(dim=1).abs()) == 1).all()


HILBERT = {  # (h, w): the first visits at 0 and at 90 degrees; curves of odd and of even powers
    (7, 3): (
        [0, 3, 4, 1, 2, 5, 8, 11, 10, 7, 6, 9],
        [19, 18, 15, 12, 13, 16, 17, 14, 20, 2, 5, 11],
    ),
    (5, 8): ([0, 8, 9, 1, 2, 3, 11, 10, 18, 19], [32, 33, 34, 35, 39, 38, 37, 36, 28]),
    (32, 32): ([0, 32, 33, 1, 2, 3, 35, 34], [992, 993, 961, 960, 928, 896, 897, 929]),
}


@pytest.mark.parametrize("size", HILBERT)
def test_known_hilbert_orders(size):
    for order, known in zip(make_orders("hilbert", *size)[:2].tolist(), HILBERT[size], strict=True):
        assert order[: len(known)] == known


def drawn_hilbert(power: int) -> list[tuple[int, int]]:
    """(row, column) of the cells of a 2^p x 2^p curve in its order, drawn by turtle.

    The curve's grammar: F goes on by a cell, + and - turn by a quarter, A and B are the curve and
    its mirror image. The turtle starts in the corner and looks along the first row.
    """
    rules = {"A": "+BF-AFA-FB+", "B": "-AF+BFB+FA-"}
    path = "A"
    for _ in range(power):
        path = "".join(rules.get(letter, letter) for letter in path)
    cell, ahead = (0, 0), (0, 1)
    cells = [cell]
    for letter in path:
        if letter == "F":
            cell = (cell[0] + ahead[0], cell[1] + ahead[1])
            cells.append(cell)
        elif letter == "+":
            ahead = (ahead[1], -ahead[0])
        elif letter == "-":
            ahead = (-ahead[1], ahead[0])
    return cells


@pytest.mark.parametrize(
    ("h", "w"),
    [(1, 1), (2, 2), (1, 2), (4, 4), (7, 3), (5, 8), (8, 8), (9, 16), (32, 32), (28, 36), (65, 3)],
)
def test_hilbert_orders_are_those_of_the_drawn_curve(h, w):
    """Also that it starts down the first column for odd powers: one grammar gives both."""
    power = (max(h, w) - 1).bit_length()
    last = 2**power - 1
    cells = drawn_hilbert(power)
    for order in make_orders("hilbert", h, w).tolist():
        assert order == [row * w + column for row, column in cells if row < h and column < w]
        cells = [(last - column, row) for row, column in cells]  # turned counter-clockwise


@given(kind=st.sampled_from(sorted(ORDERS)), side=st.integers(1, 12))
def test_directions_are_quarter_turns(kind, side):
    """The position visited at a step turns counter-clockwise from one direction to the next."""
    square = 1 << (side - 1).bit_length()
    orders = make_orders(kind, square, square)
    for before, after in pairwise(orders):
        row, column = before // square, before % square
        assert torch.equal(after, (square - 1 - column) * square + row)


@pytest.mark.parametrize("kind", sorted(ORDERS))
def test_a_crop_keeps_the_order_of_the_covering_square(kind):
    h, w, side = 3, 6, 8 if kind == "hilbert" else 6
    square = make_orders(kind, side, side)
    for full, cropped in zip(square, make_orders(kind, h, w), strict=True):
        inside = [int(p) for p in full if p // side < h and p % side < w]
        assert cropped.tolist() == [p // side * w + p % side for p in inside]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("hilbrt", 4, 4), "unknown scan order 'hilbrt': did you mean 'hilbert'"),
        (("hilbert", 0, 4), "got a 0x4 map"),
        (("hilbert", 4, 4, 5), "directions: got 5"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(PammError, match=message):
        make_orders(*arguments)
