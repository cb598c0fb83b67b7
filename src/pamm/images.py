"""Image files: reading whatever a user brings as 8-bit RGB, and writing results whole."""

import struct
import threading
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pamm.errors import PammError
from pamm.files import check_regular, replacing

SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tga"}
    | {".tif", ".tiff", ".webp"}
)
"""What counts as an image when a folder is searched; a file given by name may have any suffix."""

# What Pillow's readers raise on damaged files, each format in its own way.
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, TypeError, IndexError, KeyError, OverflowError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """An image file in any format that Pillow reads, as uint8 RGB (H, W, 3).

    Turned upright by its EXIF orientation. Grey and palette images become RGB, transparent parts
    show white. 16-bit values are divided by 257; floating point is taken as 0..1, or as 0..255 if
    anything exceeds 1. CMYK by the plain formula, without colour profiles. Of an animation the
    first picture counts.

    Raises:
        PammError: one line for a missing, empty, damaged or foreign file, or a folder.
    """
    with _opened(Path(path)) as image:
        return np.asarray(to_rgb(ImageOps.exif_transpose(image)))


def read_pixels(path: str | Path) -> NDArray[Any]:
    """The numbers in an image file as they are stored: (H, W), or (H, W, channels).

    Grey levels of 8 or 16 bits, bool of 1 bit, palette indices instead of their colours; the EXIF
    orientation is not looked at. For label maps.

    Raises:
        PammError: as of `read_image`.
    """
    with _opened(Path(path)) as image:
        return np.asarray(image)


class _WithoutRemarks:
    """No warnings, such as Pillow's on odd but readable files: broken EXIF, very many pixels.

    Filters of warnings are shared by all threads; so the first that reads an image changes them,
    and the last one puts them back.
    """

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0
        self.filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.filters = warnings.catch_warnings()
                self.filters.__enter__()
                warnings.simplefilter("ignore")
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.filters.__exit__(None, None, None)


_without_remarks = _WithoutRemarks()


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image in a file; whatever goes wrong with it in the block is a `PammError`."""
    if path.is_dir():
        raise PammError(f"{str(path)!r} is a folder; give an image file")
    check_regular(path)
    try:
        if path.stat().st_size == 0:
            raise PammError(f"{str(path)!r} is empty (0 bytes); give an image file")
        with _without_remarks, Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise PammError(f"no image at {str(path)!r}: there is no such file") from None
    except PermissionError:
        raise PammError(f"{str(path)!r} may not be read: permission denied") from None
    except UnidentifiedImageError:
        raise PammError(
            f"{str(path)!r} is not an image in a format that can be read, whatever its name says"
        ) from None
    except PammError:
        raise
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PammError(f"{str(path)!r} is a damaged or unusual image: {reason}") from None


def to_rgb(image: Image.Image) -> Image.Image:
    """A Pillow image of any mode as RGB; see `read_image` for the rules."""
    if image.mode == "F" or image.mode.startswith("I"):
        image = _to_8_bit(image)
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("RGB")


def list_images(paths: Iterable[str | Path]) -> list[Path]:
    """The files among `paths`, and for each folder the image files directly inside, by name.

    A file comes once, however often it is named. Whether it can be read shows on reading it.

    Raises:
        PammError: a folder without an image file.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if not path.is_dir():
            found[path] = None
            continue
        inside = sorted(
            entry
            for entry in path.iterdir()
            if entry.suffix.lower() in SUFFIXES
            and not entry.name.startswith(".")
            and entry.is_file()
        )
        if not inside:
            raise PammError(f"the folder {str(path)!r} holds no image file ({_suffixes()})")
        found.update(dict.fromkeys(inside))
    return list(found)


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write uint8 (H, W, 3) or (H, W) as PNG, whole or not at all; makes missing folders.

    Raises:
        PammError: the place cannot be written to.
    """
    _write(path, lambda place: Image.fromarray(picture).save(place, format="PNG"))


def write_npy(path: Path, array: NDArray[Any]) -> None:
    """Write an array in NumPy's format, whole or not at all; makes missing folders.

    Raises:
        PammError: the place cannot be written to.
    """
    _write(path, lambda place: np.save(place, array))


def _write(path: Path, save: Any) -> None:
    try:
        with replacing(path) as place:
            save(place)
    except OSError as error:
        reason = error.strerror or str(error)
        raise PammError(f"cannot write {str(path)!r}: {reason}") from None


def _to_8_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    if image.mode == "F":
        values = np.nan_to_num(values)
        scale = 255.0 if values.max(initial=0) <= 1 else 1.0
    else:
        # 8-bit values may come in a wider mode; anything else is 16-bit.
        scale = 1.0 if values.max(initial=0) <= 255 and image.mode == "I" else 1 / 257
    return Image.fromarray(np.rint(np.clip(values * scale, 0, 255)).astype(np.uint8))


def _suffixes() -> str:
    return " ".join(sorted(SUFFIXES))
