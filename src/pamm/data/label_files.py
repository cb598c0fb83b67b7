"""Label files as arrays: pictures and .npy, before anything is known of what they mean."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pamm.errors import PammError
from pamm.pictures.images import read_image, read_pixels
from pamm.runtime.arrays import read_npy
from pamm.runtime.files import check_regular

Array = NDArray[Any]

_JPEG = b"\xff\xd8\xff"  # the first bytes of every JPEG, whatever its name


def read_array(path: Path) -> Array:
    """The numbers in a .npy file or a picture; (H, W, 1) and (1, H, W) as (H, W).

    Raises:
        PammError: the file is missing or damaged.
    """
    if path.suffix.lower() != ".npy":
        return read_pixels(path)
    values: Array = read_npy(path)
    if values.ndim == 3 and values.shape[2] == 1:
        return values[..., 0]
    return values[0] if values.ndim == 3 and values.shape[0] == 1 < values.shape[2] != 3 else values


def one_channel(values: Array, path: Path, *, advice: str) -> Array:
    """(H, W) of a grey picture, also of one that was saved in colour, where all channels agree.

    Raises:
        PammError: the channels differ, or a part is transparent: the picture says more than one
            number a pixel. The text ends with the advice.
    """
    if values.ndim != 3 or values.shape[2] not in (2, 3, 4):
        return values
    first, transparent = values[..., 0], values.shape[2] in (2, 4)
    colours = values[..., :-1] if transparent else values
    if not (colours == first[..., None]).all():
        raise PammError(f"{str(path)!r} is drawn in colour, its channels differ; {advice}")
    opacity = values[..., -1]
    if transparent and opacity.min(initial=255) != 255 and not (opacity == first).all():
        raise PammError(f"{str(path)!r} is partly transparent; {advice}")
    return first


def read_colours(path: Path) -> Array:
    """The colour of each pixel as one number, 0xRRGGBB: int32 (H, W).

    Raises:
        PammError: the file is missing or damaged, or an array without colours.
    """
    values: Array = read_array(path) if path.suffix.lower() == ".npy" else read_image(path)
    if values.ndim != 3 or values.shape[2] != 3 or values.dtype != np.uint8:
        raise PammError(f"{str(path)!r} holds {form(values)}, want colours (H, W, 3) of 8 bits")
    red, green, blue = values.astype(np.int32).transpose(2, 0, 1)
    return red << 16 | green << 8 | blue


def is_jpeg(path: Path) -> bool:
    """Whether a file is a JPEG, whose compression changes numbers a little.

    Raises:
        PammError: the file is missing or may not be read.
    """
    check_regular(path)
    try:
        with path.open("rb") as file:
            return file.read(len(_JPEG)) == _JPEG
    except FileNotFoundError:
        raise PammError(f"no file {str(path)!r}") from None
    except OSError as error:
        raise PammError(f"{str(path)!r} cannot be read: {error.strerror or error}") from None


def nearest(values: Array, size: tuple[int, int]) -> Array:
    """A map (H, W, ...) resized to (height, width), each pixel the nearest of the old ones."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for old, new in zip(values.shape, size, strict=False)
    )
    return values[rows[:, None], columns]


def form(values: Array) -> str:
    """What an array is, for messages."""
    return f"{values.dtype} of shape {values.shape}"


def listed(numbers: Any) -> str:
    """Numbers in words, for messages."""
    return ", ".join(f"{number:g}" for number in numbers) or "nothing"
