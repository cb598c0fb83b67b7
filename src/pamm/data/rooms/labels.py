"""Rules that turn what is seen into boundary, saliency and part labels."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from pamm.data.rooms.geometry import Array
from pamm.data.rooms.items import CLASSES, FLAT

Labels = NDArray[np.uint8]

NEVER_SALIENT = ("wall", "floor", "ceiling", *FLAT)
_IGNORE = 255


def boundary(instance: NDArray[np.int32]) -> Labels:
    """Where instances meet, 1 on lines one pixel wide, else 0; instance (h, w) -> (h, w).

    A boundary belongs to the instance with the larger number (things before the room, near before
    far): its pixels with a 4-neighbour of a smaller number are marked, and the marks are then
    thinned, which matters only for things two pixels wide and where three instances meet.
    """
    marked = np.zeros(instance.shape, bool)
    marked[:, 1:] |= instance[:, 1:] > instance[:, :-1]
    marked[:, :-1] |= instance[:, :-1] > instance[:, 1:]
    marked[1:] |= instance[1:] > instance[:-1]
    marked[:-1] |= instance[:-1] > instance[1:]
    return _thin(marked).astype(np.uint8)


@cache
def _removable() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """For each pattern of eight neighbours, whether each pass of Guo and Hall's thinning
    (Communications of the ACM 32, 1989) deletes the pixel. Bit 0 is north, then clockwise."""
    codes = np.arange(256)
    n = [(codes >> bit & 1).astype(bool) for bit in range(8)]
    pairs = [(n[i], n[(i + 1) % 8], n[(i + 2) % 8]) for i in (0, 2, 4, 6)]
    crossings = sum((~side & (corner | after)).astype(int) for side, corner, after in pairs)
    first = sum((n[i - 1] | n[i]).astype(int) for i in (0, 2, 4, 6))
    second = sum((n[i] | n[i + 1]).astype(int) for i in (0, 2, 4, 6))
    neighbours = np.minimum(first, second)
    common = (crossings == 1) & (neighbours >= 2) & (neighbours <= 3)
    north, east, south, west = n[0], n[2], n[4], n[6]
    north_east, south_east, south_west, north_west = n[1], n[3], n[5], n[7]
    odd = ~((north | north_east | ~south_east) & east)
    even = ~((south | south_west | ~north_west) & west)
    return common & odd, common & even


def _thin(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Thin a mask to lines one pixel wide, keeping its connections and line ends."""
    h, w = marked.shape
    padded = np.zeros((h + 2, w + 2), np.uint8)
    padded[1:-1, 1:-1] = marked
    inner = padded[1:-1, 1:-1]
    shifts = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))
    while True:
        before = int(inner.sum())
        for table in _removable():
            code = np.zeros((h, w), np.uint8)
            for bit, (y, x) in enumerate(shifts):
                code |= padded[y : y + h, x : x + w] << np.uint8(bit)
            inner[table[code]] = 0
        if int(inner.sum()) == before:
            return inner.astype(bool)


def saliency(instance: NDArray[np.int32], semseg: Labels, depth: Array) -> Labels:
    """1 on the one or two most prominent objects, else 0; all (h, w).

    Every visible object that is not part of the room (``NEVER_SALIENT``) scores
    ``c * sqrt(min(a, 0.15) / d)``, times 2.5 for a person, where a is its share of the image, d its
    median depth in metres and c the mean over its pixels of a Gaussian around the image's middle
    with deviations of 0.25 widths and 0.28 heights. The best object is salient, and the second as
    well if it scores at least 0.6 as much. Without any object nothing is salient.
    """
    h, w = instance.shape
    y = ((np.arange(h) + 0.5) / h - 0.5) / 0.28
    x = ((np.arange(w) + 0.5) / w - 0.5) / 0.25
    centred = np.exp(-0.5 * (y[:, None] ** 2 + x[None] ** 2))
    excluded = [CLASSES.index(name) for name in NEVER_SALIENT]
    scores = []
    for number in np.unique(instance[~np.isin(semseg, excluded)]):
        mask = instance == number
        prominence = centred[mask].mean() * np.sqrt(
            min(mask.mean(), 0.15) / float(np.median(depth[mask]))
        )
        person = CLASSES[int(semseg[mask][0])] == "person"
        scores.append((float(prominence) * (2.5 if person else 1.0), int(number)))
    scores.sort(reverse=True)
    chosen = [number for score, number in scores[:2] if score >= 0.6 * scores[0][0]]
    return np.isin(instance, chosen).astype(np.uint8)


def human_parts(part: Labels, semseg: Labels) -> Labels:
    """Body parts 1..6 on 0; 255 (ignore) everywhere when nobody is visible."""
    if not (semseg == CLASSES.index("person")).any():
        return np.full_like(part, _IGNORE)
    return part
