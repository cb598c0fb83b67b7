"""Rules that turn what is seen into boundary, saliency and part labels."""

import numpy as np
from numpy.typing import NDArray

from pamm.data.rooms.geometry import Array
from pamm.data.rooms.items import CLASSES, FLAT, NO_CLASS
from pamm.metrics.edges import thin_nested

Labels = NDArray[np.uint8]

NEVER_SALIENT = ("wall", "floor", "ceiling", *FLAT)


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


def _thin(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Thin a mask to lines one pixel wide, keeping its connections and line ends."""
    rows, columns = np.nonzero(marked)
    thinned = np.zeros_like(marked)
    thinned[rows, columns] = thin_nested(
        rows, columns, np.ones((len(rows), 1), dtype=bool), marked.shape
    )[:, 0]
    return thinned


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
        person = int(semseg[mask][0]) == CLASSES.index("person")
        scores.append((float(prominence) * (2.5 if person else 1.0), int(number)))
    scores.sort(reverse=True)
    chosen = [number for score, number in scores[:2] if score >= 0.6 * scores[0][0]]
    return np.isin(instance, chosen).astype(np.uint8)


def human_parts(part: Labels, semseg: Labels) -> Labels:
    """Body parts 1..6 on 0; 255 (ignore) everywhere when nobody is visible."""
    if not (semseg == CLASSES.index("person")).any():
        return np.full_like(part, NO_CLASS)
    return part
