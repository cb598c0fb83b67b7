"""An image on its way into a network: looked at, normalised, padded."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pamm.errors import PammError
from pamm.model.layers.constants import constant
from pamm.runtime.notes import note
from pamm.runtime.rgb import Colour

ROUNDING = 0.01
"""How far outside 0..1 an image may be, as one in 16 bits or resized with a sharp filter is."""


def check_image(image: Any) -> None:
    """Raise unless it is (B, 3, H, W) floating point, and the network is not being traced."""
    if torch.jit.is_tracing():
        raise PammError(
            "torch.jit.trace would fix the size of the image and the order of the scan in "
            "silence: use torch.export.export"
        )
    if not isinstance(image, Tensor):
        raise TypeError(f"image: got {type(image).__name__}, want a tensor (B, 3, H, W)")
    fits = image.dim() == 4 and image.shape[1] == 3 and image.is_floating_point()
    if not fits or 0 in image.shape:
        raise ValueError(
            f"image: got {tuple(image.shape)} {image.dtype}, want (B, 3, H, W) floating point"
        )


def note_range(image: Tensor) -> None:
    """Say so on standard error if the values of an image are not in 0..1."""
    low, high = (float(value) for value in image.detach().aminmax())
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # nor where they are NaN
        note(
            f"the network was given an image with values from {low:g} to {high:g}, want RGB in "
            "0..1, such as bytes / 255: it normalises by itself"
        )


def normalised(image: Tensor, mean: Colour, std: Colour) -> Tensor:
    """(image - mean) / std, for each of the three colours (B, 3, H, W).

    In units of 8 bits, in which the values of an image file are whole numbers, so that nothing is
    rounded before the division.
    """
    mean_255, std_255 = (cached_colour(*colour, like=image) for colour in (mean, std))
    return (image * 255 - mean_255) / std_255


@torch.compiler.allow_in_graph
def cached_colour(*colour: float, like: Tensor) -> Tensor:
    """`eight_bits` on the device and in the dtype of another tensor."""
    return constant(eight_bits, *colour, like=like)


def eight_bits(*colour: float) -> Tensor:
    """R, G and B in 0..1 as (3, 1, 1), in 0..255."""
    return torch.tensor(colour).view(-1, 1, 1) * 255


def number(size: int) -> int:
    """A side of the image as a number, where the compiler has put a symbol in its place.

    The orders of the scan are of one size: for another one the network is compiled again.
    """
    return len(range(size)) if torch.compiler.is_dynamo_compiling() else size


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Zeros (the mean colour) to the right and below, until both sides are multiples."""
    height, width = image.shape[-2:]
    down, right = -height % multiple, -width % multiple
    return F.pad(image, (0, right, 0, down)) if down or right else image
