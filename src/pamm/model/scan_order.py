"""Visiting orders of a feature map: Hilbert, Z and serpentine curves, each in four rotations.

Every order is built the same way (paper figure 4): a curve over a square that covers the map, the
square turned counter-clockwise by 0, 90, 180 and 270 degrees, its top-left (h, w) corner cut out,
and the positions inside visited in curve order.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from pamm.errors import PammError, unknown
from pamm.model.layers.constants import constant


def hilbert(h: int, w: int) -> Tensor:
    """Hilbert orders of an (h, w) map on the smallest covering 2^p x 2^p curve.

    Returns:
        int64 (4, h*w), the rotations 0, 90, 180, 270 degrees; row k lists flat positions
        (row * w + column) in the order of the visits. On an uncropped curve consecutive
        positions are 4-neighbours.
    """
    return _four_rotations(_hilbert_ranks(_covering_power_of_two(h, w)), h, w)


def zorder(h: int, w: int) -> Tensor:
    """Morton (Z) orders of an (h, w) map on the max(h, w) square; shape as `hilbert`."""
    side = max(h, w)
    rows, columns = np.indices((side, side))
    ranks = np.zeros((side, side), np.int64)
    for bit in range(side.bit_length()):
        ranks |= ((columns >> bit) & 1) << (2 * bit) | ((rows >> bit) & 1) << (2 * bit + 1)
    return _four_rotations(ranks, h, w)


def serpentine(h: int, w: int) -> Tensor:
    """Boustrophedon row orders of an (h, w) map on the max(h, w) square; shape as `hilbert`."""
    side = max(h, w)
    ranks = np.arange(side * side).reshape(side, side)
    ranks[1::2] = ranks[1::2, ::-1].copy()
    return _four_rotations(ranks, h, w)


ORDERS: dict[str, Callable[[int, int], Tensor]] = {
    "hilbert": hilbert,
    "zorder": zorder,
    "serpentine": serpentine,
}


def make_orders(kind: str, h: int, w: int, directions: int = 4) -> Tensor:
    """The first `directions` rotations of one kind of order.

    Args:
        kind: "hilbert", "zorder" or "serpentine".
        h, w: the map's height and width in positions, both at least 1.
        directions: how many rotations, 1 to 4 (the paper's table VIII has 1, 2 and 4).

    Returns:
        int64 (directions, h*w) on the CPU.

    Raises:
        PammError: an unknown kind, an empty map or another number of directions.
    """
    if kind not in ORDERS:
        raise PammError(unknown("scan order", kind, ORDERS))
    if h < 1 or w < 1:
        raise PammError(f"scan order: got a {h}x{w} map, want at least 1x1")
    if not 1 <= directions <= 4:
        raise PammError(f"directions: got {directions}, want 1 to 4")
    return ORDERS[kind](h, w)[:directions].contiguous()


@torch.compiler.allow_in_graph
def cached_orders(kind: str, h: int, w: int, directions: int, *, like: Tensor) -> Tensor:
    """`make_orders` on the device of another tensor, computed once per map size."""
    return constant(make_orders, kind, h, w, directions, like=like)


def _four_rotations(ranks: np.ndarray, h: int, w: int) -> Tensor:
    """Orders (4, h*w) from the rank of every cell of a square curve."""
    crops = [np.rot90(ranks, turns)[:h, :w].ravel() for turns in range(4)]
    return torch.from_numpy(np.stack([np.argsort(crop, kind="stable") for crop in crops]))


def _covering_power_of_two(h: int, w: int) -> int:
    return 1 << (max(h, w) - 1).bit_length()


def _hilbert_ranks(side: int) -> np.ndarray:
    """Rank of every cell of a side x side Hilbert curve, side = 2^p.

    It starts along the first row for even p and down the first column for odd p, as the published
    code has it.
    """
    ranks = np.zeros((1, 1), np.int64)
    while len(ranks) < side:
        # From top left to top right: down the left half, the quarters turned so the ends meet.
        n = ranks.size
        ranks = np.block(
            [[ranks.T, ranks[::-1, ::-1].T + 3 * n], [ranks + n, ranks + 2 * n]],
        )
    return ranks
