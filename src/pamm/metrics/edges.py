"""From a map of boundary probabilities to thin lines: smoothing, non-maximum suppression, thinning.

Constants and formulas are those of the published evaluation code of structured forests (P. Dollar
and C. L. Zitnick, "Fast edge detection using structured forests", 2015), which the boundary scores
of the multi-task literature go through. Arrays are (H,W), rows first.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Words = NDArray[Any]  # uint64, one binary map a bit

# Row and column steps to the eight neighbours: east first, then counter-clockwise (Guo and Hall).
_NEIGHBOURS = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))


def triangle_smooth(image: Floats, radius: int) -> Floats:
    """Convolve both ways with the normalised triangle (1, 2 .. radius+1 .. 2, 1), ends mirrored."""
    from scipy import ndimage  # here, as predicting does not need it

    rise = np.arange(1, radius + 2, dtype=np.float64)
    kernel = np.concatenate([rise, rise[-2::-1]]) / (radius + 1) ** 2
    rows = ndimage.correlate1d(image, kernel, axis=0, mode="reflect")
    smooth: Floats = ndimage.correlate1d(rows, kernel, axis=1, mode="reflect")
    return smooth


def normal(edges: Floats, radius: int = 4) -> tuple[Floats, Floats]:
    """Unit vectors across the boundary: how far they go down and to the right, which is never < 0.

    From the second derivatives of the map smoothed with a triangle of that radius: the tangent of
    the angle from right towards down is Oyy sign(-Oxy) / (Oxx + 1e-5). Where Oxy is exactly 0 the
    published code takes 0 for the sign, and so calls the normal of a perfectly horizontal line
    horizontal; here the sign is then 1.
    """
    smooth = triangle_smooth(edges, radius)
    gradient_down, gradient_right = _gradient(smooth, 0), _gradient(smooth, 1)
    xx, yy = _gradient(gradient_right, 1), _gradient(gradient_down, 0)
    xy = _gradient(gradient_down, 1)
    below = xx + 1e-5
    tangent = yy * np.where(xy > 0, -1.0, 1.0) / np.where(below == 0, 1e-30, below)
    right = 1 / np.sqrt(1 + tangent * tangent)
    return right * tangent, right


def suppress_non_maxima(
    edges: Floats, down: Floats, right: Floats, *, border: int = 5, multiplier: float = 1.01
) -> Floats:
    """Set to 0 what is weaker than its neighbours along the normal; fade out at the image border.

    A value survives if multiplier times it is at least the (bilinearly interpolated) values at
    (down, right) from it, a step of length 1, and as far the other way. Then the outer `border`
    pixels are scaled by (distance from the border) / border, 0 on the outermost.
    """
    survives = edges > 0
    rows, columns = np.nonzero(survives)
    down, right = down[rows, columns], right[rows, columns]
    keep = np.ones(len(rows), dtype=bool)
    for step in (-1, 1):
        neighbour = _interpolate(edges, rows + step * down, columns + step * right)
        keep &= edges[rows, columns] * multiplier >= neighbour
    survives[rows, columns] = keep
    height, width = edges.shape
    border = min(border, height // 2, width // 2)
    fade = np.outer(_ramp(height, border), _ramp(width, border))
    return np.where(survives, edges * fade, 0.0)


def edge_nms(probability: Floats, *, smoothing: int) -> Floats:
    """Boundary probabilities (H,W) in 0..1 -> the same, and 0 off the ridges.

    Triangle filter of radius `smoothing` (0 = none) on the map itself, of radius 4 more for its
    orientation, then suppression over a step of 1, with border 5 and multiplier 1.01.
    """
    edges = np.asarray(probability, dtype=np.float64)
    if smoothing:
        edges = triangle_smooth(edges, smoothing)
    return suppress_non_maxima(edges, *normal(edges))


def outlines(labels: NDArray[Any]) -> Bools:
    """Where the labels of a map (H,W) change, as lines one pixel wide: the truth of `seism`.

    A pixel is taken that differs from its right, lower or lower right neighbour; in the last row
    only the right one counts, in the last column only the lower one, so never the last corner.
    What is taken is thinned. A line of labels that is one pixel wide comes back as one line, of
    which each pixel may be a step up or to the left; a wider one as the two lines of its sides.
    """
    lines = np.zeros(labels.shape, dtype=bool)
    lines[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    lines[:-1] |= labels[:-1] != labels[1:]
    lines[:-1, :-1] |= labels[:-1, :-1] != labels[1:, 1:]
    return thin(lines)


def thin(lines: Bools) -> Bools:
    """One binary map (H,W), thinned until nothing changes; see `thin_nested`."""
    rows, columns = np.nonzero(lines)
    kept = thin_nested(rows, columns, np.ones((len(rows), 1), dtype=bool), lines.shape)[:, 0]
    thinned = np.zeros_like(lines)
    thinned[rows[kept], columns[kept]] = True
    return thinned


def thin_nested(
    rows: NDArray[np.intp], columns: NDArray[np.intp], members: Bools, shape: tuple[int, int]
) -> Bools:
    """Thin many binary maps at once, morphologically, until nothing changes.

    rows, columns: (P,) the pixels that are set in at least one map, no pixel twice; members: (P,K),
    which of the K maps of size shape each is set in. Returns (P,K): what is left of each map, the
    same as bwmorph(map, 'thin', Inf) and skimage.morphology.thin (Z. Guo and R. W. Hall, 1989).
    The K maps are the bits of machine words, so that they are thinned together.
    """
    pixels, maps = members.shape
    padded = np.zeros((pixels + 1, -(-maps // 64) * 64), dtype=bool)  # last row: off the pixels
    padded[:pixels, :maps] = members
    words = np.packbits(padded, axis=1).view(np.uint64)
    index = np.full((shape[0] + 2, shape[1] + 2), pixels)
    index[rows + 1, columns + 1] = np.arange(pixels)
    around = np.stack([index[rows + 1 + dr, columns + 1 + dc] for dr, dc in _NEIGHBOURS])
    changed = True
    while changed:
        changed = False
        for second in (False, True):
            deleted = _deletable(words[around], second=second) & words[:-1]
            changed |= bool(deleted.any())
            words[:-1] &= ~deleted
    return np.unpackbits(words.view(np.uint8), axis=1, count=maps)[:pixels].astype(bool)


def _deletable(x: Words, *, second: bool) -> Words:
    """The bits that one sub-iteration of Guo and Hall may delete; x: (8,P,W) neighbours."""
    crossings = [~x[i] & (x[i + 1] | x[(i + 2) % 8]) for i in (0, 2, 4, 6)]
    some, several, _ = _tally(crossings)
    _, two_first, four_first = _tally([x[i] | x[i + 1] for i in (0, 2, 4, 6)])
    _, two_second, four_second = _tally([x[i + 1] | x[(i + 2) % 8] for i in (0, 2, 4, 6)])
    one_side = some & ~several
    two_or_three = two_first & two_second & ~(four_first & four_second)
    a, b, c, d = (5, 6, 3, 4) if second else (1, 2, 7, 0)
    deletable: Words = one_side & two_or_three & ~((x[a] | x[b] | ~x[c]) & x[d])
    return deletable


def _tally(
    bits: list[Words],
) -> tuple[Words, Words, Words]:
    """Of four words, bit by bit: is at least one set, are at least two, are all four."""
    a, b, c, d = bits
    either, other = a | b, c | d
    return either | other, (a & b) | (c & d) | (either & other), a & b & c & d


def _gradient(image: Floats, axis: int) -> Floats:
    """Central differences, one-sided at the ends; 0 along an axis of length 1."""
    if image.shape[axis] < 2:
        return np.zeros_like(image)
    result: Floats = np.gradient(image, axis=axis)
    return result


def _interpolate(image: Floats, y: Floats, x: Floats) -> Floats:
    """Bilinear values at (y, x), clamped to the image."""
    height, width = image.shape
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    top, left = y.astype(np.intp), x.astype(np.intp)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    y, x = y - top, x - left
    upper = image[top, left] * (1 - x) + image[top, right] * x
    lower = image[bottom, left] * (1 - x) + image[bottom, right] * x
    values: Floats = upper * (1 - y) + lower * y
    return values


def _ramp(length: int, border: int) -> Floats:
    """1 in the middle, falling linearly to 0 over `border` pixels at both ends."""
    position = np.arange(length, dtype=np.float64)
    distance = np.minimum(position, position[::-1])
    return np.minimum(distance / border, 1.0) if border else np.ones(length)
