"""A large image in overlapping tiles, whose predictions fade into each other.

Tiles begin where the network's own grids begin, so that what is computed of a tile is what would be
computed of the whole image, but for what is out of its sight.
"""

from collections.abc import Mapping
from itertools import product

import torch
from torch import Tensor, nn

from pamm.pictures.images import strips
from pamm.runtime.precision import Precision
from pamm.tasks import Task
from pamm.views.augmentation import NO_AUGMENTATION, TestTimeAugmentation, augmented_logits

OVERLAP = 4
"""Neighbours share one part in so many of a tile's side."""


def tiled_logits(
    model: nn.Module,
    image: Tensor,
    tasks: Mapping[str, Task],
    augmentation: TestTimeAugmentation = NO_AUGMENTATION,
    *,
    tile: int,
    multiple: int = 1,
    precision: Precision = "32-true",
) -> dict[str, Tensor]:
    """The logits of an image, tile by tile; of one that is no larger than a tile, as a whole.

    Where tiles overlap, their predictions are averaged in the space of `Task.to_mean_space`, with
    weights that fall linearly to the edge of a tile, so that there is no seam.

    Args:
        model: maps (1, 3, H, W) to {task: logits (1, C, H, W)}.
        image: (1, 3, H, W), RGB in 0..1, where the model is.
        tasks: those wanted.
        augmentation: scales and mirroring, of each tile.
        tile: side in pixels, at least 1; it is rounded up to a multiple of `multiple`.
        multiple: tiles begin at multiples of so many pixels: what the network pads images to.
        precision: of the network's arithmetic.

    Returns:
        {task: (1, C, H, W)}, in float32.
    """
    height, width = image.shape[-2:]
    side = tile + -tile % multiple
    rows, columns = (tile_starts(length, side, multiple) for length in (height, width))
    if len(rows) == len(columns) == 1:
        return augmented_logits(model, image, tasks, augmentation, precision=precision)
    sums: dict[str, Tensor] = {}
    weights = torch.zeros(height, width)
    for top, left in product(rows, columns):
        place = (slice(top, min(top + side, height)), slice(left, min(left + side, width)))
        seen = image[..., place[0], place[1]]
        logits = augmented_logits(model, seen, tasks, augmentation, precision=precision)
        down, across = (
            fading(part, length, side) for part, length in zip(place, (height, width), strict=True)
        )
        weight = down[:, None] * across
        weights[place] += weight
        for name, task in tasks.items():
            values = task.to_mean_space(logits[name]).float()
            if name not in sums:
                sums[name] = values.new_zeros(1, values.shape[1], height, width)
            sums[name][..., place[0], place[1]] += values * weight.to(values.device)
    return {name: as_logits(task, sums.pop(name), weights) for name, task in tasks.items()}


def as_logits(task: Task, sums: Tensor, weights: Tensor) -> Tensor:
    """What decodes to the weighted mean of a task's values; in the memory of the sums, if it fits.

    Args:
        task: whose values they are.
        sums: (1, C, H, W), of what `Task.to_mean_space` gave, times its weight.
        weights: (H, W), of all that was added.
    """
    result = sums
    for i, rows in enumerate(strips(*weights.shape)):
        part = task.from_mean_space(sums[..., rows, :] / weights[rows].to(sums.device))
        if i == 0 and part.shape[1] != sums.shape[1]:
            result = part.new_empty(1, part.shape[1], *weights.shape)
        result[..., rows, :] = part
    return result


def tile_starts(length: int, side: int, multiple: int = 1) -> list[int]:
    """Where tiles of a side begin along a length: multiples, evenly apart, the last one at the end.

    >>> tile_starts(100, 40, 4), tile_starts(30, 40)
    ([0, 28, 60], [0])
    """
    padded = length + -length % multiple
    if padded <= side:
        return [0]
    count = 1 + -(-(padded - side) // (side - side // OVERLAP))
    return [(padded - side) * i // (count - 1) // multiple * multiple for i in range(count)]


def fading(part: slice, length: int, side: int) -> Tensor:
    """The weight of each pixel of a tile along an axis: 1, falling to 0 where others go on.

    Args:
        part: the tile's pixels.
        length: of the image.
        side: of the tile, which may reach beyond the image.
    """
    reach = max(1, side // OVERLAP)
    place = torch.arange(part.start, part.stop, dtype=torch.float32) + 0.5
    weight = torch.ones_like(place)
    if part.start > 0:
        weight = torch.minimum(weight, (place - part.start) / reach)
    if part.stop < length:
        weight = torch.minimum(weight, (part.stop - place) / reach)
    return weight
