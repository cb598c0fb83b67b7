"""How labels are stored in files: class numbers, masks, depth and normals, as pictures or arrays.

An encoding reads a file into the numbers of its task (`read`), says what looks wrong with them
(`complaints`), and puts them into the shape and type of a target (`target`).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pamm.arrays import read_npy
from pamm.errors import PammError
from pamm.images import read_pixels
from pamm.tasks import IGNORE, Task

Array = NDArray[Any]

MOST_CLASSES = 1 << 16  # pictures have at most 16 bits
FARTHEST = 100.0  # metres: half of an image beyond it, and the unit is wrong
NO_NORMAL = 0.1  # shorter than this is the zero vector, which 8 bits can only store nearly
UNIT_TOLERANCE = 0.1  # 8 bits change a unit vector's length by less than 0.01


@dataclass(frozen=True, kw_only=True)
class Encoding(ABC):
    """One way to store the labels of one image in one file."""

    resize: bool = False
    """Whether a map of another size shows the same view, and is resized to its image by the nearest
    pixel. Otherwise another size is an error: the map may show a part of the image only."""

    @abstractmethod
    def read(self, path: Path) -> Array:
        """The numbers in a file, in the units of the task: (H, W), or (H, W, 3) for vectors.

        Raises:
            PammError: the file is damaged, or holds something else.
        """

    def complaints(self, values: Array) -> list[str]:
        """What looks wrong with what `read` gave, a phrase each; empty if all is well."""
        return []

    def remarks(self, values: Array, task: Task) -> list[str]:
        """What is odd in what `read` gave, but may be meant; a phrase each."""
        return []

    @abstractmethod
    def target(self, values: Array, task: Task) -> Tensor:
        """What `read` gave as a target (*lead, H, W) of the task.

        Raises:
            PammError: values that the task cannot have.
        """


@dataclass(frozen=True, kw_only=True)
class Classes(Encoding):
    """A class number a pixel: grey levels or palette indices of a picture, or integers in .npy."""

    first: int = 0
    """The number that stands for class 0."""
    ignore: tuple[int, ...] = (IGNORE,)
    """Numbers that mean "not labelled"."""

    def read(self, path: Path) -> Array:
        values = read_array(path)
        if values.ndim != 2 or values.dtype.kind not in "biu":
            raise PammError(f"{str(path)!r} holds {_form(values)}, want class numbers (H, W)")
        if values.size and max(abs(int(values.min())), int(values.max())) > MOST_CLASSES:
            raise PammError(f"{str(path)!r} holds {values.max()}, which is no class number")
        return values.astype(np.uint8) if values.dtype == bool else values

    def target(self, values: Array, task: Task) -> Tensor:
        # One look-up is faster than shifting and comparing 64-bit numbers.
        known = np.arange(int(values.min(initial=0)), int(values.max(initial=0)) + 1)
        table = known - self.first
        foreign = ~np.isin(known, self.ignore) & ((table < 0) | (table >= task.channels))
        table[np.isin(known, self.ignore)] = task.pad_value
        if foreign.any():
            wrong = np.intersect1d(known[foreign], values)
            if wrong.size:
                raise PammError(
                    f"the class number {wrong[0]} is neither one of {task.name!r}, {self.first} to "
                    f"{self.first + task.channels - 1}, nor ignored ({_listed(self.ignore)})"
                )
        classes = table.take(values.astype(np.intp) - known[0])
        return torch.from_numpy(classes).to(task.target_dtype)


@dataclass(frozen=True, kw_only=True)
class Mask(Encoding):
    """Yes or no a pixel: 0 is no, and more than half of `yes` is yes."""

    yes: float = 255
    """The number that means yes: mostly 255 in pictures, 1 in arrays."""
    ignore: int | None = None
    """The number that means "not labelled"."""
    soft: bool = False
    """Whether numbers between 0 and `yes` are expected, such as probabilities."""

    def read(self, path: Path) -> Array:
        values = read_array(path)
        if values.ndim == 3:
            values = values[..., 0]  # a grey picture that was saved in colour
        if values.ndim != 2 or values.dtype.kind not in "biuf":
            raise PammError(f"{str(path)!r} holds {_form(values)}, want numbers (H, W)")
        if values.dtype == bool:
            return values * self.yes
        return values

    def complaints(self, values: Array) -> list[str]:
        if self.soft:
            return []
        expected = [0, self.yes] if self.ignore is None else [0, self.yes, self.ignore]
        odd = values[~np.isin(values, expected)]
        if not odd.size:
            return []
        return [f"numbers other than {_listed(expected)}, such as {odd.flat[0]:g}"]

    def target(self, values: Array, task: Task) -> Tensor:
        target = torch.from_numpy(values > self.yes / 2).to(task.target_dtype)
        if self.ignore is not None:
            target[torch.from_numpy(values == self.ignore)] = int(task.pad_value)
        return target[None]


@dataclass(frozen=True, kw_only=True)
class DepthMap(Encoding):
    """A depth a pixel, along the camera's axis; 0, negative or not finite means "not labelled"."""

    per_metre: float = 1.0
    """The number that stands for one metre: 1 for metres, 1000 for millimetres."""

    def __post_init__(self) -> None:
        if not self.per_metre > 0:
            raise ValueError(f"per_metre is {self.per_metre}, must be positive")

    def read(self, path: Path) -> Array:
        values = read_array(path)
        if values.ndim != 2 or values.dtype.kind not in "iuf":
            raise PammError(f"{str(path)!r} holds {_form(values)}, want depths (H, W)")
        depth: Array = values.astype(np.float32) / np.float32(self.per_metre)
        return depth

    def complaints(self, values: Array) -> list[str]:
        known = values[np.isfinite(values) & (values > 0)]
        middle = float(np.median(known)) if known.size else 0.0
        if middle > 10 * FARTHEST:
            return [f"a median depth of {middle:.0f} m: these look like millimetres"]
        return []

    def remarks(self, values: Array, task: Task) -> list[str]:
        known = values[np.isfinite(values) & (values > 0)]
        if not known.size:
            return []
        remarks, middle = [], float(np.median(known))
        if FARTHEST < middle <= 10 * FARTHEST:
            remarks.append(f"a median depth of {middle:.0f} m: are these centimetres?")
        if known.max() <= 1:
            remarks.append(f"no depth above {known.max():.2f} m: are these scaled to 0..1?")
        farthest = getattr(task, "max_depth", np.inf)
        if known.min() >= farthest:
            remarks.append(f"no depth below the task's max_depth, {farthest:g} m: none is scored")
        return remarks

    def target(self, values: Array, task: Task) -> Tensor:
        valid = np.isfinite(values) & (values > 0)
        return torch.from_numpy(np.where(valid, values, np.float32(0)))[None].to(task.target_dtype)


@dataclass(frozen=True, kw_only=True)
class NormalMap(Encoding):
    """A unit vector a pixel: 8-bit x, y, z as red, green, blue, (n + 1) / 2 * 255; or .npy floats.

    The zero vector means "not labelled".
    """

    signs: tuple[int, int, int] = (1, 1, 1)
    """What the stored x, y, z are multiplied with to get +x left, +y up, +z towards the camera."""

    def __post_init__(self) -> None:
        if not set(self.signs) <= {-1, 1}:
            raise ValueError(f"signs are {self.signs}, must be 1 or -1 each")

    def read(self, path: Path) -> Array:
        values = read_array(path)
        if values.ndim != 3 or values.shape[2] < 3 or values.dtype.kind not in "uf":
            raise PammError(f"{str(path)!r} holds {_form(values)}, want vectors (H, W, 3)")
        if values.dtype.kind == "u" and values.dtype != np.uint8:
            raise PammError(f"{str(path)!r} holds {_form(values)}, want 8 bits or floats")
        # Without transparency; in planes, as targets are, which is several times as fast.
        planes = np.ascontiguousarray(values[..., :3].transpose(2, 0, 1))
        floats = _FROM_8_BITS.take(planes) if planes.dtype == np.uint8 else planes
        signed = np.multiply(floats, np.reshape(self.signs, (3, 1, 1)), dtype=np.float32)
        return signed.transpose(1, 2, 0)

    def complaints(self, values: Array) -> list[str]:
        length = np.linalg.norm(values, axis=2)
        length = length[np.isfinite(length) & (length > NO_NORMAL)]
        if not length.size or (np.abs(length - 1) < UNIT_TOLERANCE).mean() >= 0.5:
            return []
        return [f"vectors of length {np.median(length):.2f} (median) instead of 1"]

    def target(self, values: Array, task: Task) -> Tensor:
        x, y, z = planes = values.transpose(2, 0, 1)
        length = np.sqrt(x * x + y * y + z * z)
        invalid = ~((length > NO_NORMAL) & (length < np.inf))
        length[invalid] = 1
        unit = planes / length
        unit[:, invalid] = 0
        return torch.from_numpy(unit).to(task.target_dtype)


_FROM_8_BITS = (np.arange(256) * (2 / 255) - 1).astype(np.float32)

ENCODINGS: dict[str, type[Encoding]] = {
    "classes": Classes,
    "mask": Mask,
    "depth": DepthMap,
    "normals": NormalMap,
}
"""Those that a `pamm.toml` can name."""


def read_array(path: Path) -> Array:
    """The numbers in a .npy file or a picture; (H, W, 1) and (1, H, W) as (H, W).

    Raises:
        PammError: the file is missing or damaged.
    """
    if path.suffix != ".npy":
        return read_pixels(path)
    values = read_npy(path)
    if values.ndim == 3 and values.shape[2] == 1:
        return values[..., 0]
    return values[0] if values.ndim == 3 and values.shape[0] == 1 < values.shape[2] != 3 else values


def nearest(values: Array, size: tuple[int, int]) -> Array:
    """A map (H, W, ...) resized to (height, width), each pixel the nearest of the old ones."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for old, new in zip(values.shape, size, strict=False)
    )
    return values[rows[:, None], columns]


def _form(values: Array) -> str:
    return f"{values.dtype} of shape {values.shape}"


def _listed(numbers: Any) -> str:
    return ", ".join(f"{number:g}" for number in numbers) or "nothing"
