"""One-to-one matching of predicted and true boundary pixels, and its counts at many thresholds.

D. R. Martin, C. C. Fowlkes and J. Malik, "Learning to detect natural image boundaries using local
brightness, color, and texture cues", 2004. Their code looks for the cheapest assignment, where a
pair costs its distance and leaving a pixel alone costs a hundred times the largest distance: the
largest matching, and among the largest one of the shortest in sum. With one ground truth only the
number of pairs counts, which all largest matchings share, so any of them is taken; with several,
it counts which pixels have a partner, and the cheapest is taken.

This is the plain form; `pamm.metrics.boundary_native` is the fast one. SciPy, which takes half
a second to import, is imported where it is used: predicting does not.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pamm.metrics.edges import Bools, Floats, edge_nms, thin_nested

__all__ = ["Counts", "Ints", "boundary_counts", "edge_nms"]  # the last: as of boundary_native

Ints = NDArray[np.int64]


class Counts(NamedTuple):
    """Boundary pixels of one image at each threshold, int64 (K,) each."""

    matched: Ints
    """Of the prediction, that have a partner in at least one ground truth."""
    predicted: Ints
    """Of the prediction."""
    recalled: Ints
    """Of all ground truths, that have a partner; with one ground truth the same as `matched`."""


def boundary_counts(
    edges: Floats, truths: Bools, *, thresholds: Floats, max_distance: float
) -> Counts:
    """Threshold, thin and match a map of boundary strength (H,W) at each of the thresholds (K,).

    The map is cut strictly above the thresholds, which ascend. Each of the ground truths (A,H,W) is
    used as given, neither thinned nor thickened, and matched by itself. Pairs are at most
    max_distance pixels apart, that included.
    """
    rows, columns = np.nonzero(edges > thresholds[0])
    strength = edges[rows, columns]
    # The maps are nested, so two with as many pixels are the same map: it is treated once.
    above = len(strength) - np.searchsorted(np.sort(strength), thresholds, side="right")
    _, first, which = np.unique(above, return_index=True, return_inverse=True)
    lines = thin_nested(rows, columns, strength[:, None] > thresholds[first], edges.shape)
    partnered = np.zeros_like(lines)  # in any ground truth
    recalled = np.zeros(len(first), dtype=np.int64)
    for truth in truths:
        candidates = _candidates(rows, columns, truth, max_distance)
        for k, line in enumerate(lines.T):
            if len(truths) == 1:
                done = _match(candidates[line], int(np.count_nonzero(truth)))
            else:
                done = _match_cheaply(rows[line], columns[line], candidates[line], truth)
            partnered[line, k] |= done
            recalled[k] += np.count_nonzero(done)
    return Counts(
        partnered.sum(0, dtype=np.int64)[which],
        lines.sum(0, dtype=np.int64)[which],
        recalled[which],
    )


def _candidates(
    rows: NDArray[np.intp], columns: NDArray[np.intp], target: Bools, max_distance: float
) -> NDArray[np.int32]:
    """The target pixels near each pixel, nearest first: (P,M) row-major numbers, or -1.

    Column j holds one step (dr, dc) for all pixels, so no target stands twice in a column.
    """
    reach = int(max_distance)
    number = np.full((target.shape[0] + 2 * reach, target.shape[1] + 2 * reach), -1, dtype=np.int32)
    inside = number[reach : reach + target.shape[0], reach : reach + target.shape[1]]
    inside[target] = np.arange(np.count_nonzero(target), dtype=np.int32)
    dr, dc = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    squared = dr**2 + dc**2
    order = np.argsort(squared, kind="stable")
    order = order[np.sqrt(squared[order]) <= max_distance]
    near: NDArray[np.int32] = number[
        rows[:, None] + reach + dr[order], columns[:, None] + reach + dc[order]
    ]
    return near


def _match(candidates: NDArray[np.int32], targets: int) -> Bools:
    """A largest one-to-one matching: which of the pixels (P,) it covers.

    A greedy matching, nearest pairs first, is completed by a maximum flow along alternating paths.
    (scipy's maximum_bipartite_matching is not used: on some full-size boundary maps its search
    does not end in useful time; see scipy issue 26147.)
    """
    partner = _match_greedily(candidates, targets)
    pixel_done = partner >= 0
    target_done = np.zeros(targets, dtype=bool)
    target_done[partner[pixel_done]] = True
    pixel, column = np.nonzero(candidates >= 0)
    target = candidates[pixel, column].astype(np.intp)
    useful = _improvable(pixel, target, pixel_done, target_done)
    pixel, target = pixel[useful], target[useful]
    if not len(pixel):
        return pixel_done
    # Nodes: pixels, targets, source, sink. Pairs run from pixel to target, those in use backwards.
    pixels = len(partner)
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_flow

    source, sink = pixels + targets, pixels + targets + 1
    used = partner[pixel] == target
    free_pixels = np.unique(pixel[~pixel_done[pixel]])
    free_targets = np.unique(target[~target_done[target]])
    tails = (np.where(used, pixels + target, pixel), np.full_like(free_pixels, source))
    heads = (np.where(used, pixel, pixels + target), free_pixels)
    tail = np.concatenate([*tails, pixels + free_targets])
    head = np.concatenate([*heads, np.full_like(free_targets, sink)])
    graph = csr_array((np.ones(len(tail), dtype=np.int32), (tail, head)), (sink + 1, sink + 1))
    flow = maximum_flow(graph, source, sink, method="dinic").flow
    pixel_done |= flow[[source], :].toarray()[0, :pixels] > 0
    return pixel_done


def _match_cheaply(
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    candidates: NDArray[np.int32],
    truth: Bools,
) -> Bools:
    """A shortest in sum of the largest one-to-one matchings: which of the pixels (P,) it covers.

    Distances count in hundredths of a pixel, as in the published code.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    pixels = len(rows)
    where = np.argwhere(truth)
    pixel, column = np.nonzero(candidates >= 0)
    target = candidates[pixel, column].astype(np.intp)
    steps = where[target] - np.stack([rows[pixel], columns[pixel]], axis=1)
    cost = np.rint(100 * np.sqrt((steps**2).sum(1))) + 1  # 0 would mean "no pair" in a sparse array
    alone = 2 + cost.max(initial=0) * (1 + min(pixels, len(where)))
    everyone = np.arange(pixels)
    # A column of its own for each pixel that stays alone makes every matching a full one.
    graph = csr_array(
        (
            np.concatenate([cost, np.full(pixels, alone)]),
            (np.concatenate([pixel, everyone]), np.concatenate([target, len(where) + everyone])),
        ),
        (pixels, len(where) + pixels),
    )
    done = np.zeros(pixels, dtype=bool)
    if pixels:
        matched, partner = min_weight_full_bipartite_matching(graph)
        done[matched] = partner < len(where)
    return done


def _match_greedily(candidates: NDArray[np.int32], targets: int) -> NDArray[np.intp]:
    """A one-to-one matching to which no pair can be added: (P,) each pixel's target, or -1."""
    partner = np.full(len(candidates), -1, dtype=np.intp)
    free = np.ones(targets + 1, dtype=bool)
    free[-1] = False  # stands for "no target here", number -1
    left = np.flatnonzero((candidates >= 0).any(1))
    for column in candidates.T:
        chosen = column[left]
        takes = free[chosen]
        partner[left[takes]] = chosen[takes]
        free[chosen[takes]] = False
        left = left[~takes]
    return partner


def _improvable(
    pixel: NDArray[np.intp], target: NDArray[np.intp], pixel_done: Bools, target_done: Bools
) -> Bools:
    """Which of the pairs (E,) lie in a connected part with both a free pixel and a free target."""
    if pixel_done[pixel].all() or target_done[target].all():
        return np.zeros(len(pixel), dtype=bool)
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    pixels, nodes = len(pixel_done), len(pixel_done) + len(target_done)
    ones = np.ones(len(pixel), dtype=bool)
    graph = csr_array((ones, (pixel, pixels + target)), (nodes, nodes))
    parts, part = connected_components(graph, directed=False)
    has_pixel, has_target = np.zeros(parts, dtype=bool), np.zeros(parts, dtype=bool)
    has_pixel[part[:pixels][~pixel_done]] = True
    has_target[part[pixels:][~target_done]] = True
    result: Bools = (has_pixel & has_target)[part[pixel]]
    return result
