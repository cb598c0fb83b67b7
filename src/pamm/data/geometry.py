"""Random scale, random crop, flip and padding of an image with its labels.

What happens to the VALUES of a target is asked of its task (`flip`, `rescale`, `after_crop`,
`pad_value`); this file only moves pixels: bilinear for the image, nearest for labels, both with
pixel centres at .5.
"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from pamm.data.sample import Sample
from pamm.runtime.rgb import IMAGENET_MEAN
from pamm.tasks import Task

CROP_TRIES = 10
CROP_SHARE = 0.75  # the most that one class may take of the labelled pixels of a crop


def horizontal_flip(sample: Sample, tasks: Mapping[str, Task]) -> Sample:
    """Mirror left and right. Each task flips its own target: normals also change sign in x."""
    return {
        **sample,
        "image": sample["image"].flip(-1),
        "targets": {name: tasks[name].flip(t) for name, t in sample["targets"].items()},
    }


def scale_and_crop(
    sample: Sample,
    tasks: Mapping[str, Task],
    generator: np.random.Generator,
    *,
    size: tuple[int, int],
    scale_range: tuple[float, float],
) -> Sample:
    """Enlarge by a random factor, then cut out a random window.

    The factor is uniform in `scale_range`; the window is at most `size`, smaller where the scaled
    image is. Of up to 10 windows the first is taken in which no class of the semseg labels has more
    than 0.75 of the labelled pixels, else the last. Only the window is ever resampled.

    Args:
        sample: raw, image uint8 (3,H,W).
        tasks: name -> Task of the targets.
        generator: source of all choices.
        size: (height, width) of the window.
        scale_range: smallest and largest factor; both 1 = crop only.
    """
    low, high = scale_range
    scale = generator.uniform(low, high) if low < high else low
    height, width = sample["image"].shape[-2:]
    scaled = max(1, round(height * scale)), max(1, round(width * scale))
    if scaled == (height, width) and height <= size[0] and width <= size[1]:
        return sample
    limited = ((tasks[n], t) for n, t in sample["targets"].items() if tasks[n].limits_crops)
    task, classes = next(limited, (None, None))
    for _ in range(CROP_TRIES):
        rows, top = _random_window(generator, scaled[0], size[0], height)
        columns, left = _random_window(generator, scaled[1], size[1], width)
        if task is None or classes is None:
            break
        if _balanced(_gather(classes, rows, columns), task.pad_value):
            break
    ratio = height / scaled[0], width / scaled[1]  # original pixels per scaled pixel
    enlarged = (ratio[0] * ratio[1]) ** -0.5  # the factor, after rounding to whole pixels
    box = (
        left * ratio[1],
        top * ratio[0],
        (left + len(columns)) * ratio[1],
        (top + len(rows)) * ratio[0],
    )
    return {
        **sample,
        "image": _resample(sample["image"], (len(rows), len(columns)), box),
        "targets": {
            name: tasks[name].rescale(_gather(target, rows, columns), enlarged)
            for name, target in sample["targets"].items()
        },
    }


def after_crop(sample: Sample, tasks: Mapping[str, Task]) -> Sample:
    """Let each task look at what is left of its target once the image has been cropped."""
    targets = {name: tasks[name].after_crop(t) for name, t in sample["targets"].items()}
    return {**sample, "targets": targets}


def pad(sample: Sample, tasks: Mapping[str, Task], size: tuple[int, int]) -> Sample:
    """Centre in `size` (height, width), where smaller: around the image ImageNet's mean colour,
    around the targets "no label".

    The image is RGB in 0..1. A model makes of the mean colour exactly or about 0, as of its own
    padding.
    """
    height, width = sample["image"].shape[-2:]
    border = border_to((height, width), size)
    if not any(border):
        return sample
    inside = F.pad(torch.ones(1, height, width, dtype=torch.bool), border)
    colour = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    return {
        **sample,
        "image": torch.where(inside, F.pad(sample["image"], border), colour),
        "targets": {
            name: F.pad(target, border, value=tasks[name].pad_value)
            for name, target in sample["targets"].items()
        },
    }


def border_to(image: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """What `pad` adds to the left, right, top and bottom of an image (height, width)."""
    rows, columns = max(size[0] - image[0], 0), max(size[1] - image[1], 0)
    return columns // 2, columns - columns // 2, rows // 2, rows - rows // 2


def _random_window(
    generator: np.random.Generator, scaled: int, wanted: int, original: int
) -> tuple[Tensor, int]:
    """The original rows (or columns) nearest to those of a random window, and where it starts."""
    length = min(wanted, scaled)
    start = int(generator.integers(0, scaled - length + 1))
    centres = np.arange(start, start + length) + 0.5
    return torch.from_numpy(np.floor(centres * original / scaled).astype(np.int64)), start


def _gather(target: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Rows and columns of a target by number; NumPy is several times as fast as torch at this."""
    kept = target.numpy()[..., rows.numpy(), :]
    return torch.from_numpy(kept.take(columns.numpy(), axis=-1))


def _balanced(classes: Tensor, ignored: float) -> bool:
    labelled = classes[classes != ignored].numpy()
    return bool(labelled.size and np.bincount(labelled).max() <= CROP_SHARE * labelled.size)


def _resample(
    image: Tensor, size: tuple[int, int], box: tuple[float, float, float, float]
) -> Tensor:
    """The part `box` (left, top, right, bottom) of a uint8 image at `size`, bilinear."""
    picture = Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))
    resized = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR, box=box)
    return torch.from_numpy(np.array(resized).transpose(2, 0, 1).copy())
