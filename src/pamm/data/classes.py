"""Labels stored as class numbers, or as colours that stand for classes."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pamm.data.encoding import Encoding
from pamm.data.label_files import (
    Array,
    form,
    is_jpeg,
    listed,
    one_channel,
    read_array,
    read_colours,
)
from pamm.errors import PammError, unknown
from pamm.tasks import IGNORE, Task
from pamm.tasks.class_map import ClassMap

MOST_CLASSES = 1 << 16  # pictures have at most 16 bits
IGNORED = "ignored"

Colour = str | tuple[int, int, int]
"""Such as "#804080" or [128, 64, 128]: red, green, blue."""

_FOREIGN = np.iinfo(np.int64).min


@dataclass(frozen=True, kw_only=True)
class Classes(Encoding):
    """A class number a pixel: grey levels or palette indices of a picture, or integers in .npy.

    Numbers that are not in the order of the classes are listed in `numbers`; `colours` lists the
    colours of classes in pictures that are coded by colour.
    """

    type_name: ClassVar[str] = "classes"
    serves: ClassVar[tuple[type[Task], ...]] = (ClassMap,)

    first: int = 0
    """The number that stands for class 0."""
    numbers: dict[str, int | tuple[int, ...]] = field(default_factory=dict)
    """Class name -> its number or numbers, where these are not `first`, `first` + 1, ..."""
    colours: dict[str, Colour | tuple[Colour, ...]] = field(default_factory=dict)
    """Class name -> its colour or colours, where pixels have colours instead of numbers."""
    ignore: tuple[int | Colour, ...] = (IGNORE,)
    """Numbers (with `colours`: colours) that mean "not labelled"."""
    others: str = ""
    """What all other numbers or colours mean: the name of a class, or "ignored": not labelled.
    Without it they are refused."""

    def __post_init__(self) -> None:
        if self.colours and self.numbers:
            raise ValueError("both colours and numbers are given; choose one")
        if (self.colours or self.numbers) and self.first:
            raise ValueError(f"first is {self.first}, but the classes are listed one by one")
        if self.colours and any(isinstance(i, int) for i in self.ignore):
            if self.ignore != (IGNORE,):
                raise ValueError(f"ignore is {self.ignore}; with colours, give colours")
            object.__setattr__(self, "ignore", ())
        if not self.colours and not all(isinstance(i, int) for i in self.ignore):
            raise ValueError(f"ignore is {self.ignore}; without colours, give numbers")
        owners: dict[int, str] = {}
        ignored = self._ignored()
        for name, codes in self._listed().items():
            if not codes:
                raise ValueError(f"{name!r} has no number or colour; give one, or leave it out")
            for code in codes:
                if owners.setdefault(code, name) != name:
                    both = f"{owners[code]!r} and {name!r}"
                    raise ValueError(f"{self._written(code)} stands for two classes, {both}")
                if code in ignored:
                    raise ValueError(f"{self._written(code)} is both {name!r} and ignored")

    def about_task(self) -> dict[str, Any]:
        names = list(self._listed())
        if names and self.others not in ("", IGNORED, *names):
            names = [self.others, *names]
        return {"class_names": names} if names else {}

    def quarrel(self, task: Task) -> str | None:
        names = getattr(task, "class_names", ())
        for name in self._listed():
            if name not in names:
                return unknown("class", name, names)
        if self.others and self.others not in (IGNORED, *names):
            return unknown("class in `others`", self.others, (IGNORED, *names))
        return None

    def read(self, path: Path) -> Array:
        if is_jpeg(path):
            raise PammError(
                f"{str(path)!r} is a JPEG, whose compression changes class numbers; save the "
                "labels as PNG, from where they were made"
            )
        if self.colours:
            return read_colours(path)
        advice = (
            "want one class number a pixel; where colours stand for classes, the encoding says "
            'which: colours = { road = "#804080", sky = "#4682b4" }'
        )
        values = one_channel(read_array(path), path, advice=advice)
        if values.ndim != 2 or values.dtype.kind not in "biu":
            raise PammError(f"{str(path)!r} holds {form(values)}, want class numbers (H, W)")
        if values.size and max(abs(int(values.min())), int(values.max())) > MOST_CLASSES:
            raise PammError(f"{str(path)!r} holds {values.max()}, which is no class number")
        return values.astype(np.uint8) if values.dtype == bool else values

    def target(self, values: Array, task: Task) -> Tensor:
        low, high = int(values.min(initial=0)), int(values.max(initial=0))
        if high - low <= MOST_CLASSES:  # one look-up is faster than anything else
            present = np.arange(low, high + 1)
            places = values.astype(np.intp) - low
        else:
            present = np.unique(values)
            places = np.searchsorted(present, values)
        table = np.full(len(present), self._meaning_of_others(task), np.int64)
        for code, index in self._meanings(task).items():
            place = np.searchsorted(present, code)
            if place < len(present) and present[place] == code:
                table[place] = index
        classes = table.take(places)
        if (table == _FOREIGN).any() and (foreign := classes == _FOREIGN).any():
            raise PammError(self._complaint(int(values[foreign].min()), task))
        return torch.from_numpy(classes).to(task.target_dtype)

    def store(self, target: Array, task: Task, *, picture: bool) -> Array:
        stored = np.full(target.shape, self.ignore[0] if self.ignore else 0, np.int64)
        for code, index in reversed(self._meanings(task).items()):
            if index != task.pad_value:
                stored[target == index] = code
        return stored.astype(np.min_scalar_type(int(stored.max(initial=0))))

    def _listed(self) -> dict[str, tuple[int, ...]]:
        """Class name -> its numbers; colours as 0xRRGGBB."""
        if self.colours:
            return {name: tuple(map(_number, _several(c))) for name, c in self.colours.items()}
        return {n: c if isinstance(c, tuple) else (c,) for n, c in self.numbers.items()}

    def _ignored(self) -> tuple[int, ...]:
        return tuple(i if isinstance(i, int) else _number(i) for i in self.ignore)

    def _meanings(self, task: Task) -> dict[int, int]:
        """Number -> class of the task, or what stands for "not labelled" there."""
        if listed_ := self._listed():
            names = getattr(task, "class_names", ())
            known = {code: names.index(n) for n, codes in listed_.items() for code in codes}
        else:
            known = {self.first + index: index for index in range(task.channels)}
        return known | dict.fromkeys(self._ignored(), int(task.pad_value))

    def _meaning_of_others(self, task: Task) -> int:
        if self.others == IGNORED:
            return int(task.pad_value)
        names = getattr(task, "class_names", ())
        return names.index(self.others) if self.others else _FOREIGN

    def _complaint(self, code: int, task: Task) -> str:
        if not self._listed():
            return (
                f"the class number {code} is neither one of {task.name!r}, {self.first} to "
                f"{self.first + task.channels - 1}, nor ignored ({listed(self._ignored())})"
            )
        what = "colours" if self.colours else "numbers"
        return (
            f"the {what[:-1]} {self._written(code)} is of no class of {task.name!r}; add it to "
            f'`{what}` or `ignore`, or say others = "{IGNORED}"'
        )

    def _written(self, code: int) -> str:
        return f"#{code:06x}" if self.colours else str(code)


def looks_like_a_mask(encoding: Encoding, path: Path) -> bool:
    """Whether class numbers are nothing but 0 and an ignored 255: perhaps all objects are ignored.

    A file that cannot be read says so when its image is loaded.
    """
    if not isinstance(encoding, Classes) or encoding.colours or IGNORE not in encoding.ignore:
        return False
    try:
        values = encoding.read(path)
    except PammError:
        return False
    no, ignored = values == 0, values == IGNORE
    return bool(no.any() and ignored.any() and (no | ignored).all())


def _several(colours: Colour | tuple[Colour, ...]) -> Iterable[Colour]:
    """One colour or several, as several."""
    if isinstance(colours, str) or (colours and all(isinstance(c, int) for c in colours)):
        return (colours,)  # type: ignore[return-value]
    return colours  # type: ignore[return-value]


def _number(colour: Colour) -> int:
    if isinstance(colour, str):
        if not re.fullmatch("#[0-9a-fA-F]{6}", colour):
            raise ValueError(f'the colour {colour!r} is not one such as "#804080"')
        return int(colour[1:], 16)
    if not all(0 <= part <= 255 for part in colour):
        raise ValueError(f"the colour {list(colour)} is not one such as [128, 64, 128]")
    return colour[0] << 16 | colour[1] << 8 | colour[2]
