"""Arrays in NumPy's .npy format: what a header says is held against the file's size first."""

import math
from pathlib import Path
from typing import Any, BinaryIO

from numpy.lib import format as npy
from numpy.typing import NDArray

from pamm.errors import PammError
from pamm.runtime.files import check_regular

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npy(path: Path) -> NDArray[Any]:
    """The array in a .npy file; numbers only.

    Raises:
        PammError: the file is missing, no regular one, damaged, or holds something else.
    """
    check_regular(path)
    try:
        with path.open("rb") as file:
            return parse_npy(file, path.stat().st_size)
    except FileNotFoundError:
        raise PammError(f"no file {str(path)!r}") from None
    except OSError as error:
        raise PammError(f"{str(path)!r} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise PammError(f"{str(path)!r} is a damaged or unusual .npy file: {error}") from None


def parse_npy(file: BinaryIO, size: int) -> NDArray[Any]:
    """The array of numbers in `size` bytes of the .npy format.

    Raises:
        ValueError: they are damaged, or hold something else; in one line.
    """
    try:
        version = npy.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"it is of version {version[0]}.{version[1]}")
        shape, _, dtype = _HEADERS[version](file)
    except Exception as error:  # a damaged header is parsed as Python: it raises almost anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"no header that can be read: {reason}") from None
    if dtype.kind not in "biufc":
        raise ValueError(f"it holds {dtype}, want numbers")
    if any(length < 0 for length in shape):
        raise ValueError(f"its header says a shape {shape}")
    there = size - file.tell()
    if math.prod(shape) * dtype.itemsize > there:
        raise ValueError(
            f"its header says {dtype} of shape {shape}, {math.prod(shape) * dtype.itemsize} bytes, "
            f"but {there} follow: it is cut short"
        )
    file.seek(0)
    array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return array
