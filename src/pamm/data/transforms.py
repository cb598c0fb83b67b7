"""From a raw sample to what the network sees: geometry and photometric distortion.

Every random choice comes from the generator that the caller passes in, which `draw_generator` makes
from (seed, epoch, index): the same picture comes out whichever process draws it, and whenever.
Arithmetic on pixels is NumPy's, which does not depend on the number of threads.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from pamm.data.camera_effects import camera_effects
from pamm.data.geometry import after_crop, horizontal_flip, pad, scale_and_crop
from pamm.data.sample import Sample
from pamm.tasks import Task

Transform = Callable[[Sample, np.random.Generator], Sample]

BRIGHTNESS = 32.0  # of 255, added
CONTRAST = (0.5, 1.5)  # factor on the image
SATURATION = (0.5, 1.5)  # factor on S of HSV
HUE = 18 / 180  # of the whole colour circle, which OpenCV writes as 180: +-36 degrees


def photometric_distortion(
    image: Tensor, generator: np.random.Generator, *, probability: float = 0.5
) -> Tensor:
    """The colour augmentation of SSD (Liu et al. 2016), as the InvPT line of work uses it.

    In order, each with `probability`: brightness +-32; contrast x 0.5..1.5; saturation x 0.5..1.5;
    hue +-36 degrees (18 of OpenCV's 180); where a fair coin decides whether contrast comes there
    or last. Values are clipped to 0..255 after each step.

    Args:
        image: (3,H,W), 0..255.
        generator: source of all choices.

    Returns:
        float32 (3,H,W), 0..255.
    """
    x = image.numpy().astype(np.float32)
    contrast_first = generator.random() < 0.5
    if generator.random() < probability:
        x = np.clip(x + np.float32(generator.uniform(-BRIGHTNESS, BRIGHTNESS)), 0, 255)
    contrast = 1.0
    if generator.random() < probability:
        contrast = generator.uniform(*CONTRAST)
    if contrast_first:
        x = np.clip(x * np.float32(contrast), 0, 255)
    if generator.random() < probability:
        x = scale_saturation(x, generator.uniform(*SATURATION))
    if generator.random() < probability:
        x = shift_hue(x, generator.uniform(-HUE, HUE))
    if not contrast_first:
        x = np.clip(x * np.float32(contrast), 0, 255)
    return torch.from_numpy(x)


def scale_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Multiply S of HSV by `factor`, at most to S = 1; H and V stay. float32 (3,H,W), 0..255."""
    value = image.max(0)
    spread = value - image.min(0)  # S = spread / value
    limit = value / np.maximum(spread, np.float32(1e-6))  # the factor that takes S to 1
    return value - (value - image) * np.minimum(np.float32(factor), limit)


def shift_hue(image: np.ndarray, turns: float) -> np.ndarray:
    """Turn H of HSV by `turns` of the whole circle; S and V stay. float32 (3,H,W), 0..255."""
    red, green, blue = image
    value = image.max(0)
    spread = value - image.min(0)
    safe = np.maximum(spread, np.float32(1e-6))
    sextant = np.where(
        value == red,
        (green - blue) / safe,
        np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    sextant = sextant + np.float32(6 * turns)
    # channel n of HSV -> RGB is V - spread * clip(min(k, 4 - k), 0, 1), k = (n + H in sextants) % 6
    k = (np.array([5, 3, 1], np.float32)[:, None, None] + sextant) % np.float32(6)
    return value - spread * np.clip(np.minimum(k, 4 - k), 0, 1)


class TrainTransform:
    """Augment, in this order: random scale, random crop, horizontal flip, photometric distortion,
    effects of a camera, values from 0..255 to 0..1, padding to the size.

    Args:
        tasks: name -> Task of the targets; what geometry does to their values is theirs to say.
        size: (height, width) of the result; None = as the image, without scale, crop and padding.
        scale: smallest and largest factor of the random scale; the published recipe is (0.5, 2).
        flip: probability of the horizontal flip.
        photometric: probability of each of the four photometric steps; 0 leaves colours alone.
        camera: probability of each of the six effects of a camera (`camera_effects`).
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        *,
        size: tuple[int, int] | None = None,
        scale: tuple[float, float] = (1.0, 1.0),
        flip: float = 0.5,
        photometric: float = 0.5,
        camera: float = 0.0,
    ) -> None:
        chances = {"flip": flip, "photometric": photometric, "camera": camera}
        for name, value in chances.items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is a probability, 0..1; got {value}")
        if not 0 < scale[0] <= scale[1]:
            raise ValueError(f"scale is a range (low, high), 0 < low <= high; got {scale}")
        if size is None and tuple(scale) != (1.0, 1.0):
            raise ValueError(f"scale {scale} needs a size to crop to; got size None")
        self.tasks = dict(tasks)
        self.size = size
        self.scale = scale
        self.flip = flip
        self.photometric = photometric
        self.camera = camera

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """A raw sample -> an augmented one; a pure function of the sample and the generator."""
        if self.size is not None:
            sample = scale_and_crop(
                sample, self.tasks, generator, size=self.size, scale_range=self.scale
            )
        sample = after_crop(sample, self.tasks)
        if generator.random() < self.flip:
            sample = horizontal_flip(sample, self.tasks)
        image = sample["image"]
        if self.photometric > 0:
            image = photometric_distortion(image, generator, probability=self.photometric)
        if self.camera > 0:
            x = image.numpy().astype(np.float32)
            image = torch.from_numpy(camera_effects(x, generator, probability=self.camera))
        sample = {**sample, "image": image.float() / 255}
        return sample if self.size is None else pad(sample, self.tasks, self.size)


class EvalTransform:
    """Values to 0..1; smaller images come to the middle of `size`, with "no label" around.

    Nothing is random.

    What a network sees of an image in evaluation and, without targets, in prediction.

    Args:
        tasks: name -> Task of the targets.
        size: (height, width) to pad to; larger images stay as they are. None = no padding.
    """

    def __init__(self, tasks: Mapping[str, Task], *, size: tuple[int, int] | None = None) -> None:
        self.tasks = dict(tasks)
        self.size = size

    def __call__(self, sample: Sample, generator: np.random.Generator | None = None) -> Sample:
        """A raw sample -> the same with a float32 image in 0..1."""
        sample = after_crop({**sample, "image": sample["image"].float() / 255}, self.tasks)
        return sample if self.size is None else pad(sample, self.tasks, self.size)
