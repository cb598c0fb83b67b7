"""How labels are stored in files: class numbers, masks, depth and normals, as pictures or arrays.

`encoding.py` says what an encoding is, `classes.py` holds the one of class numbers and colours.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pamm.data.classes import Classes, looks_like_a_mask
from pamm.data.encoding import Encoding
from pamm.data.label_files import Array, form, listed, nearest, one_channel, read_array
from pamm.errors import PammError
from pamm.tasks import Depth, Normals, Task
from pamm.tasks.binary_map import BinaryMap
from pamm.tasks.class_map import ClassMap
from pamm.tasks.continuous_map import ContinuousMap

FARTHEST = 100.0  # metres: half of an image beyond it, and the unit is wrong
NO_NORMAL = 0.1  # shorter than this is the zero vector, which 8 bits can only store nearly
UNIT_TOLERANCE = 0.1  # 8 bits change a unit vector's length by less than 0.01
LENS = 1.15  # the longer side of the image over the focal length: 60 degrees
FACING_TOLERANCE = 0.1
MOST_AWAY = 0.25  # of our rooms none is; with y and z exchanged a third


@dataclass(frozen=True, kw_only=True)
class Mask(Encoding):
    """Yes or no a pixel: 0 is no, and more than half of `yes` is yes.

    For a task of two classes, no is class 0 and yes is class 1.
    """

    type_name: ClassVar[str] = "mask"
    serves: ClassVar[tuple[type[Task], ...]] = (BinaryMap,)

    yes: float = 255
    """The number that means yes: mostly 255 in pictures, 1 in arrays."""
    ignore: int | None = None
    """The number that means "not labelled"."""
    soft: bool = False
    """Whether numbers between 0 and `yes` are expected, such as probabilities."""

    def __post_init__(self) -> None:
        if not 0 < self.yes < math.inf:
            raise ValueError(f"yes is {self.yes}, want positive")

    def about_task(self) -> dict[str, Any]:
        return {"channels": 2}

    def fits(self, task: Task) -> bool:
        return super().fits(task) or (isinstance(task, ClassMap) and task.channels == 2)

    def read(self, path: Path) -> Array:
        advice = "save the mask in grey, the yes pixels white, without transparency"
        values = one_channel(read_array(path), path, advice=advice)
        if values.ndim != 2 or values.dtype.kind not in "biuf":
            raise PammError(f"{str(path)!r} holds {form(values)}, want numbers (H, W)")
        if values.dtype == bool:
            return values * self.yes
        return values

    def complaints(self, values: Array) -> list[str]:
        odd = self._odd(values)
        if self.soft or not odd.size or self._far_from_yes(values):  # `target` refuses the last
            return []
        return [self._unexpected(odd)]

    def target(self, values: Array, task: Task) -> Tensor:
        if self._far_from_yes(values):
            raise PammError(
                f"{self._unexpected(self._odd(values))}, and none near yes = {self.yes:g}; say in "
                f"the encoding which number is yes, such as yes = {values.max():g}"
            )
        target = torch.from_numpy(values > self.yes / 2).to(task.target_dtype)
        if self.ignore is not None:
            target[torch.from_numpy(values == self.ignore)] = int(task.pad_value)
        return target.reshape(*task.target_lead, *values.shape)

    def store(self, target: Array, task: Task, *, picture: bool) -> Array:
        stored = np.where(target == 1, self.yes, 0)
        if self.ignore is not None:
            stored[target == task.pad_value] = self.ignore
        return stored.reshape(target.shape[-2:]).astype(np.uint8 if picture else np.float32)

    def _expected(self) -> list[float]:
        return [0, self.yes] if self.ignore is None else [0, self.yes, self.ignore]

    def _odd(self, values: Array) -> Array:
        return values[~np.isin(values, self._expected())]

    def _unexpected(self, odd: Array) -> str:
        return f"numbers other than {listed(self._expected())}, such as {odd.flat[0]:g}"

    def _far_from_yes(self, values: Array) -> bool:
        """Whether what is not 0 is so small that it must mean yes by another number."""
        if self.soft or not values.size:
            return False
        highest = (
            values.max() if self.ignore is None else values[values != self.ignore].max(initial=0)
        )
        return bool(0 < highest < self.yes / 8)


@dataclass(frozen=True, kw_only=True)
class DepthMap(Encoding):
    """A depth a pixel, along the camera's axis; 0, negative or not finite means "not labelled"."""

    type_name: ClassVar[str] = "depth"
    serves: ClassVar[tuple[type[Task], ...]] = (Depth,)
    about_remarks: ClassVar[str] = (
        "nothing, if that is how the scenes are; else say in what unit they are stored, or set the "
        "task's fields in pamm.toml"
    )
    in_pictures: ClassVar[Mapping[str, Any]] = {"per_metre": 1000.0}  # millimetres, up to 65 m

    per_metre: float = 1.0
    """The number that stands for one metre: 1 for metres, 1000 for millimetres."""

    def __post_init__(self) -> None:
        if not 0 < self.per_metre < math.inf:
            raise ValueError(f"per_metre is {self.per_metre}, want positive")

    def read(self, path: Path) -> Array:
        values = read_array(path)
        if values.ndim != 2 or values.dtype.kind not in "iuf":
            raise PammError(f"{str(path)!r} holds {form(values)}, want depths (H, W)")
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

    def store(self, target: Array, task: Task, *, picture: bool) -> Array:
        stored = target[0].astype(np.float32) * np.float32(self.per_metre)
        return np.rint(stored).astype(np.uint16) if picture else stored


@dataclass(frozen=True, kw_only=True)
class ValueMap(Encoding):
    """A number a pixel, in the task's unit: (stored - zero) / per_unit.

    What is not finite means "not labelled", and the number `ignore`.
    """

    type_name: ClassVar[str] = "values"
    serves: ClassVar[tuple[type[Task], ...]] = (ContinuousMap,)
    in_pictures: ClassVar[Mapping[str, Any]] = {"per_unit": 1000.0, "zero": 32768.0, "ignore": 0.0}

    per_unit: float = 1.0
    """By how much the stored number grows with one unit."""
    zero: float = 0.0
    """The stored number that stands for 0."""
    ignore: float | None = None
    """The stored number that means "not labelled"."""

    def __post_init__(self) -> None:
        if not 0 < abs(self.per_unit) < math.inf:
            raise ValueError(f"per_unit is {self.per_unit}, want a number other than 0")

    def fits(self, task: Task) -> bool:
        has_its_own = isinstance(task, Depth)
        return super().fits(task) and not has_its_own

    def read(self, path: Path) -> Array:
        values = read_array(path)
        if values.ndim != 2 or values.dtype.kind not in "iuf":
            raise PammError(f"{str(path)!r} holds {form(values)}, want numbers (H, W)")
        found: Array = ((values - np.float64(self.zero)) / self.per_unit).astype(np.float32)
        if self.ignore is not None:
            found[values == self.ignore] = np.nan
        return found

    def remarks(self, values: Array, task: Task) -> list[str]:
        known = values[np.isfinite(values)]
        if not known.size or known.min() < known.max():
            return []
        return [f"all numbers are {known[0]:g}"]

    def target(self, values: Array, task: Task) -> Tensor:
        return torch.from_numpy(values)[None].to(task.target_dtype)

    def store(self, target: Array, task: Task, *, picture: bool) -> Array:
        stored = target[0].astype(np.float64) * self.per_unit + self.zero
        if not picture:
            return stored.astype(np.float32)
        whole = np.rint(np.nan_to_num(stored, nan=self.ignore or 0.0))
        return whole.clip(0, np.iinfo(np.uint16).max).astype(np.uint16)


@dataclass(frozen=True, kw_only=True)
class NormalMap(Encoding):
    """A unit vector a pixel: 8-bit red, green, blue, (n + 1) / 2 * 255; or .npy floats.

    The zero vector means "not labelled".
    """

    type_name: ClassVar[str] = "normals"
    serves: ClassVar[tuple[type[Task], ...]] = (Normals,)

    axes: str = "xyz"
    """What the three channels hold, in their order: x to the left, y up, z towards the camera; with
    a minus sign for the opposite direction, such as "-x-y-z" for right, down, away."""

    def __post_init__(self) -> None:
        if len(self._order()) != 3:
            raise ValueError(
                f"axes = {self.axes!r}: want x, y and z once each, in the order of the channels, "
                'with a minus sign where a channel holds the opposite, such as "xzy" or "-x-y-z"'
            )

    def read(self, path: Path) -> Array:
        values = read_array(path)
        if values.ndim != 3 or values.shape[2] < 3 or values.dtype.kind not in "uf":
            raise PammError(f"{str(path)!r} holds {form(values)}, want vectors (H, W, 3)")
        if values.dtype.kind == "u" and values.dtype != np.uint8:
            raise PammError(f"{str(path)!r} holds {form(values)}, want 8 bits or floats")
        # Without transparency; in planes, as targets are, which is several times as fast.
        order = self._order()
        planes = np.stack([values[..., order[axis][0]] for axis in "xyz"])
        floats = _FROM_8_BITS.take(planes) if planes.dtype == np.uint8 else planes
        signs = np.reshape([order[axis][1] for axis in "xyz"], (3, 1, 1))
        return np.multiply(floats, signs, dtype=np.float32).transpose(1, 2, 0)

    def complaints(self, values: Array) -> list[str]:
        length = np.linalg.norm(values, axis=2)
        known = np.isfinite(length) & (length > NO_NORMAL)
        length = length[known]
        if not length.size:
            return []
        if (np.abs(length - 1) < UNIT_TOLERANCE).mean() < 0.5:
            return [f"vectors of length {np.median(length):.2f} (median) instead of 1"]
        away = (_towards_camera(values)[known] < -FACING_TOLERANCE).mean()
        if away < MOST_AWAY:
            return []
        return [
            f"{100 * away:.0f} % of the surfaces look away from the camera: the axes may have "
            "another order or other signs, see `axes`"
        ]

    def store(self, target: Array, task: Task, *, picture: bool) -> Array:
        stored = np.empty((*target.shape[1:], 3), np.float32)
        for plane, axis in zip(target, "xyz", strict=True):
            channel, sign = self._order()[axis]
            stored[..., channel] = sign * plane
        return np.rint((stored + 1) * 127.5).astype(np.uint8) if picture else stored

    def _order(self) -> dict[str, tuple[int, int]]:
        """Axis -> (its channel, its sign); empty if `axes` is none such."""
        found = re.fullmatch(r"([+-]?)([xyz])" * 3, self.axes.replace(" ", ""))
        if not found:
            return {}
        signs, axes = found.groups()[::2], found.groups()[1::2]
        return {
            axis: (channel, -1 if sign == "-" else 1)
            for channel, (sign, axis) in enumerate(zip(signs, axes, strict=True))
        }

    def target(self, values: Array, task: Task) -> Tensor:
        x, y, z = planes = values.transpose(2, 0, 1)
        length = np.sqrt(x * x + y * y + z * z)
        invalid = ~((length > NO_NORMAL) & (length < np.inf))
        length[invalid] = 1
        unit = planes / length
        unit[:, invalid] = 0
        return torch.from_numpy(unit).to(task.target_dtype)


_FROM_8_BITS = (np.arange(256) * (2 / 255) - 1).astype(np.float32)


def _towards_camera(normals: Array) -> Array:
    """The part of normals (H, W, 3) along the ray back to the camera, for a usual lens: (H, W).

    What is seen faces the camera, so it is positive wherever the axes are right.
    """
    height, width = normals.shape[:2]
    left = ((width - 1) / 2 - np.arange(width)) / max(height, width) * LENS
    up = ((height - 1) / 2 - np.arange(height)[:, None]) / max(height, width) * LENS
    x, y, z = normals.transpose(2, 0, 1)
    towards: Array = (z - left * x - up * y) / np.sqrt(1 + left**2 + up**2)
    return towards


ENCODINGS: dict[str, type[Encoding]] = {
    encoding.type_name: encoding for encoding in (Classes, Mask, DepthMap, NormalMap, ValueMap)
}
"""Those that a `pamm.toml` can name."""


def type_for(task: Task) -> str | None:
    """The type of encoding that holds labels of a task, if there is one."""
    return next((name for name, one in ENCODINGS.items() if isinstance(task, one.serves)), None)


def check(encoding: Encoding, task: Task) -> None:
    """Raise unless files of this encoding can hold labels of the task.

    Raises:
        PammError: they cannot; the text says what fits.
    """
    if encoding.fits(task):
        if quarrel := encoding.quarrel(task):
            raise PammError(quarrel)
        return
    fitting = type_for(task)
    wanted = f'want encoding = {{ type = "{fitting}" }}' if fitting else "no type does"
    classes = f" of {task.channels} classes" if isinstance(task, ClassMap) else ""
    raise PammError(
        f'type = "{encoding.type_name}" does not fit a task of type "{task.type_name}"{classes}; '
        f"{wanted}"
    )


__all__ = [
    "ENCODINGS",
    "Array",
    "Classes",
    "DepthMap",
    "Encoding",
    "Mask",
    "NormalMap",
    "ValueMap",
    "check",
    "looks_like_a_mask",
    "nearest",
    "type_for",
]
