"""Image files: reading whatever a user brings as 8-bit RGB, and writing results whole."""

import io
import os
import stat
import struct
import threading
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from pamm.errors import PammError
from pamm.runtime.files import check_regular, replacing

FORMATS: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jfif"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "PPM": (".pbm", ".pgm", ".ppm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2",),
    "TGA": (".tga",),
}
"""Every format that is opened, as Pillow calls it, and the endings of its files. Which one a file
has shows its content; but TGA, which content does not show, is opened under its own endings only.
Pictures of pixels only: what others hold may be programs, which Pillow has other programs run."""

SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
"""What counts as an image when a folder is searched; a file given by name may have any suffix."""
PHOTOGRAPHS_NOT_READ = frozenset({".heic", ".heif"})
"""Found in a folder as well, so that somebody says why they are left out."""

MAX_PIXELS = 2**27
"""The most that an image may have, 134 million; more than any camera of a telephone but a few."""
STRIP = 2**20
"""Pixels that are worked on at once where intermediate results take more memory than the image."""

# What Pillow's readers raise on damaged files, each format in its own way.
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, TypeError, IndexError, KeyError, OverflowError),
    *(struct.error, zlib.error),
)
# How files begin that are pictures for a user, but nothing that is opened here.
_FOREIGN = {
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript program",
    b"\xc5\xd0\xd3\xc6": "a PostScript program",
    b"8BPS": "a Photoshop document",
}
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# Stored pixels (H, W, ...) -> as the EXIF orientation wants them seen.
_UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """An image file in one of `FORMATS`, as uint8 RGB (H, W, 3).

    Turned upright by its EXIF orientation. Grey and palette images become RGB, transparent parts
    show white. 16-bit values are divided by 257; floating point is taken as 0..1, or as 0..255 if
    anything exceeds 1. CMYK by the plain formula, without colour profiles. Of an animation the
    first picture counts.

    Raises:
        PammError: one line for a missing, empty, damaged or foreign file, a folder, or an image of
            more than `MAX_PIXELS`.
    """
    with _opened(Path(path)) as image:
        return rgb_array(image)


def is_turned(path: str | Path) -> bool:
    """Whether an image is turned or mirrored by its EXIF orientation, which `read_image` undoes.

    Raises:
        PammError: as of `read_image`.
    """
    with _opened(Path(path)) as image:
        return _orientation(image) in _UPRIGHT


def read_pixels(path: str | Path) -> NDArray[Any]:
    """The numbers in an image file as they are stored: (H, W), or (H, W, channels).

    Grey levels of 8 or 16 bits, bool of 1 bit, palette indices instead of their colours; the EXIF
    orientation is not looked at. For label maps.

    Raises:
        PammError: as of `read_image`.
    """
    with _opened(Path(path)) as image:
        return np.asarray(image)


def read_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of what `read_image` returns, from the beginning of the file alone.

    Raises:
        PammError: as of `read_image`, as far as the beginning shows it.
    """
    with _opened(Path(path)) as image:
        turned = image.format != "PNG" and _orientation(image) > 4  # a PNG's may be at its end
        return (image.width, image.height) if turned else (image.height, image.width)


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
    name = repr(str(path))
    too_many = f"more than {MAX_PIXELS / 1e6:.0f} million pixels, the most that is read; shrink it"
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise PammError(f"{name} is a folder; give an image file")
        check_regular(path)
        if about.st_size == 0:
            raise PammError(f"{name} is empty (0 bytes); give an image file")
        with _without_remarks, Image.open(path, formats=_formats(path.suffix)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise PammError(f"{name} has {image.width}x{image.height} pixels: {too_many}")
            yield image
    except PammError:
        raise
    except FileNotFoundError:
        raise PammError(f"no image at {name}: there is no such file") from None
    except PermissionError:
        raise PammError(f"{name} may not be read: permission denied") from None
    except UnidentifiedImageError:
        raise PammError(f"{name} {_foreign(path)}") from None
    except Image.DecompressionBombError:  # by Pillow's own limit, twice as high unless changed
        raise PammError(f"{name} has {too_many}") from None
    except MemoryError:
        raise PammError(f"{name} is larger than the memory that is left; shrink it") from None
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno:  # of the system, not of the format
            raise PammError(f"{name} cannot be read: {error.strerror}") from None
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PammError(f"{name} is a damaged or unusual image: {reason}") from None


@lru_cache
def _formats(suffix: str) -> list[str]:
    """Those of `FORMATS` that this Pillow has, for a file of this suffix."""
    Image.init()
    by_content = [name for name in FORMATS if name in Image.OPEN and name != "TGA"]
    return [*by_content, "TGA"] if suffix.lower() in FORMATS["TGA"] else by_content


def _foreign(path: Path) -> str:
    """What is to be said of a file in none of the formats."""
    with path.open("rb") as file:
        start = file.read(12)
    if start[4:8] == b"ftyp" and start[8:12] in _HEIC:
        return "is a HEIC photograph, which is not read here; save it as JPEG or PNG"
    for mark, kind in _FOREIGN.items():
        if start.startswith(mark):
            return f"is {kind}, whatever its name says; give an image of {', '.join(FORMATS)}"
    return (
        "is not an image in a format that can be read, whatever its name says: give one of "
        f"{', '.join(FORMATS)}"
    )


def rgb_array(image: Image.Image) -> NDArray[np.uint8]:
    """A Pillow image of any mode as uint8 RGB (H, W, 3); see `read_image` for the rules."""
    image.load()
    scale = _scale(image)
    pixels = np.empty((image.height, image.width, 3), dtype=np.uint8)
    for rows in strips(image.height, image.width):
        part = image.crop((0, rows.start, image.width, rows.stop))
        pixels[rows] = np.asarray(_rgb(part, scale))
    turn = _UPRIGHT.get(_orientation(image))
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def strips(height: int, width: int, pixels: int = STRIP) -> Iterator[slice]:
    """The rows of an image in slices of about so many pixels, at least one row each."""
    step = max(1, pixels // width)
    return (slice(start, min(start + step, height)) for start in range(0, height, step))


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(ExifTags.Base.Orientation)
    return value if isinstance(value, int) else 1


def _rgb(image: Image.Image, scale: float | None) -> Image.Image:
    if scale is not None:
        values = _numbers(image) * scale
        image = Image.fromarray(np.rint(np.clip(values, 0, 255)).astype(np.uint8))
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("RGB")


def _scale(image: Image.Image) -> float | None:
    """The factor that takes the numbers of an image to 0..255; None: they are 8-bit."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return None
    rows = strips(image.height, image.width)
    parts = (image.crop((0, r.start, image.width, r.stop)) for r in rows)
    highest = max(_numbers(part).max(initial=0) for part in parts)
    if image.mode == "F":
        return 255.0 if highest <= 1 else 1.0
    # 8-bit values may come in a wider mode; anything else is 16-bit.
    return 1.0 if highest <= 255 and image.mode == "I" else 1 / 257


def _numbers(image: Image.Image) -> NDArray[np.float64]:
    values = np.asarray(image).astype(np.float64)
    return np.nan_to_num(values) if image.mode == "F" else values


def through_jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """What a JPEG file of a quality, 1 to 95, leaves of a picture (H, W, 3)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", quality=quality)
    with Image.open(file) as decoded:
        return np.asarray(decoded)


def list_images(paths: Iterable[str | Path]) -> list[Path]:
    """The files among `paths`, and for each folder the image files directly inside, by name.

    A file comes once, however often it is named. Whether it can be read shows on reading it.

    Raises:
        PammError: a folder that cannot be read or is without an image file; an empty name.
    """
    found: dict[Path, None] = {}
    for given in paths:
        if given == "":
            raise PammError("'' names no image; give an image file, or a folder ('.' is this one)")
        path = Path(given)
        if os.path.isdir(path):  # pathlib's raises where a name is too long or odd
            found.update(dict.fromkeys(_inside(path)))
        else:
            found[path] = None
    return list(found)


def _inside(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise PammError(f"the folder {str(folder)!r} cannot be read: {error.strerror}") from None
    images = [
        entry
        for entry in entries
        if entry.suffix.lower() in SUFFIXES | PHOTOGRAPHS_NOT_READ
        and not entry.name.startswith(".")
        and not os.path.isdir(entry)
    ]
    if not images:
        raise PammError(
            f"the folder {str(folder)!r} holds no image file ({' '.join(sorted(SUFFIXES))})"
        )
    return images


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write uint8 (H, W, 3) or (H, W) as PNG, whole or not at all; makes missing folders.

    Raises:
        PammError: the place cannot be written to.
    """
    with writing(path) as place:
        Image.fromarray(picture).save(place, format="PNG")


def write_npy(path: Path, array: NDArray[Any]) -> None:
    """Write an array in NumPy's format, whole or not at all; makes missing folders.

    Raises:
        PammError: the place cannot be written to.
    """
    with writing(path) as place:
        np.save(place, array)


@contextmanager
def writing_npz(path: Path) -> Iterator[Callable[[str, NDArray[Any]], None]]:
    """A compressed .npz that arrays are added to by name, whole at the end or not there at all.

    Raises:
        PammError: the place cannot be written to.
    """
    # The fastest compression: on maps of numbers a slower one gains two per cent.
    how: Any = {"compression": zipfile.ZIP_DEFLATED, "compresslevel": 1}
    with writing(path) as place, zipfile.ZipFile(place, "w", **how) as archive:

        def add(name: str, array: NDArray[Any]) -> None:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)

        yield add


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Where to write a file that then appears whole, or not at all; makes missing folders.

    Raises:
        PammError: the place cannot be written to.
    """
    try:
        with replacing(path) as place:
            yield place
    except OSError as error:
        reason = error.strerror or str(error)
        raise PammError(f"cannot write {str(path)!r}: {reason}") from None
