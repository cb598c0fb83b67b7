"""What a number may be, declared in its type, and checked in one place.

```python
Share = Annotated[float, Range(0, 1)]

@dataclass(frozen=True)
class Settings:
    flip: Share = 0.5
    size: tuple[Side, Side] = (128, 160)

    def __post_init__(self) -> None:
        check_fields(self)
```

`check_fields` holds for what is built in Python and what is read from JSON, which is built in the
same way; the command line holds the arguments of its functions to the same declarations.
"""

import dataclasses
import math
import numbers
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any

from pamm.errors import PammError


@dataclasses.dataclass(frozen=True)
class Range:
    """The finite numbers from `low` to `high`.

    Args:
        low, high: the least and the greatest; an upper limit keeps a slip of the finger from
            starting work that never ends, and is far above whatever makes sense.
        open_low, open_high: whether this one itself is left out.
    """

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        low, high = (f"{x:,}" if x == int(x) else f"{x:g}" for x in (self.low, self.high))
        if not self.open_low and not self.open_high:
            return f"{low} to {high}"
        first = f"more than {low}" if self.open_low else f"{low} or more"
        return f"{first}, " + (f"less than {high}" if self.open_high else f"at most {high}")


MANY = 10**9
Count = Annotated[int, Range(1, MANY)]
"""How many of something there are to be, or between two of something."""
CountOrZero = Annotated[int, Range(0, MANY)]
Processes = Annotated[int, Range(1, 1024)]
Workers = Annotated[int, Range(0, 1024)]
BatchSize = Annotated[int, Range(1, 2**20)]
Channels = Annotated[int, Range(1, 2**16)]
Width = Annotated[int, Range(1, 2**15)]
"""Channels of a layer."""
Side = Annotated[int, Range(1, 2**15)]
"""Height or width of an image in pixels."""
Share = Annotated[float, Range(0, 1)]
MatchDistance = Annotated[float, Range(0, 0.25)]
"""Of a predicted boundary from a true one, as a share of the diagonal of the image."""
Seconds = Annotated[float, Range(0, 10**6, open_low=True)]
Metres = Annotated[float, Range(0, 10**6, open_low=True)]
Decay = Annotated[float, Range(0, 1, open_high=True)]
Weight = Annotated[float, Range(0, 10**9)]
Factor = Annotated[float, Range(0, 16, open_low=True)]
"""By which an image is enlarged."""
FieldOfView = Annotated[float, Range(0, 180, open_low=True, open_high=True)]
"""Degrees."""
Seed = Annotated[int, Range(0, 2**63 - 1)]


def check_fields(value: Any, before: str = "") -> None:
    """Hold the fields of a dataclass to their declarations; to be called in `__post_init__`.

    Args:
        value: the instance.
        before: what to put before the name of the field in the message.

    Raises:
        PammError: a number that is not in its range, or no number; a value that is not among those
            of its Literal; another kind of value where there is to be text, True or False, several
            values or names with values.
    """
    values = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    kind: Any = type(value)
    check_values(declarations(kind), values, lambda name: before + name)


def check_values(
    kinds: Mapping[str, Any], values: Mapping[str, Any], say: Callable[[str], str]
) -> None:
    """Hold {name: value} to {name: type}; `say` makes of a name what the message calls it."""
    for name, value in values.items():
        _check(kinds[name], value, say(name))


@cache
def declarations(of: Any) -> dict[str, Any]:
    """The types of a dataclass's fields or of a function's arguments, with their ranges.

    A field that a subclass declares again, for another default, keeps its range if none is given.
    """
    kinds: dict[str, Any] = {}
    for one in reversed(of.__mro__) if isinstance(of, type) else (of,):
        own = getattr(one, "__annotations__", {})
        for name, kind in typing.get_type_hints(one, include_extras=True).items():
            before = kinds.get(name)
            if name in own and not (
                typing.get_origin(before) is Annotated and typing.get_args(before)[0] is kind
            ):
                kinds[name] = kind
    return kinds


_PLAIN = {bool: "True or False", str: "text"}
"""Types without a range, in words."""


def _check(kind: Any, value: Any, name: str) -> None:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        for limits in (extra for extra in arguments[1:] if isinstance(extra, Range)):
            _check_number(arguments[0], limits, value, name)
        _check(arguments[0], value, name)
    elif origin in (typing.Union, types.UnionType):
        others = [a for a in arguments if a is not types.NoneType]
        if value is None and types.NoneType in arguments:
            return
        if len(others) == 1:
            _check(others[0], value, name)
        elif set(others) <= set(_PLAIN) and type(value) not in others:
            wanted = " or ".join(_PLAIN[other] for other in others)
            raise PammError(f"{name}: got {value!r}, want {wanted}")
    elif kind in _PLAIN and not isinstance(value, kind):
        raise PammError(f"{name}: got {value!r}, want {_PLAIN[kind]}")
    elif origin is typing.Literal and value not in arguments:
        known = ", ".join(str(argument) for argument in arguments)
        raise PammError(f"{name}: got {value!r}, want one of {known}")
    elif origin in (tuple, list):
        if not isinstance(value, tuple | list):
            raise PammError(f"{name}: got {value!r}, want several values")
        kinds = arguments[:1] * len(value) if origin is list or arguments[-1] is ... else arguments
        if len(kinds) != len(value):
            raise PammError(f"{name}: got {value!r}, want {len(kinds)} values")
        for one, item in zip(kinds, value, strict=True):
            _check(one, item, name)
    elif origin is dict:
        if not isinstance(value, Mapping):
            raise PammError(f"{name}: got {value!r}, want {{name: value, ...}}")
        for key, item in value.items():
            _check(arguments[1], item, f"{name}.{key}")


def _check_number(kind: type, limits: Range, value: Any, name: str) -> None:
    whole = "a whole number, " if kind is int else ""
    number = isinstance(value, numbers.Integral if kind is int else numbers.Real)
    if not number or isinstance(value, bool) or value not in limits:
        raise PammError(f"{name}: got {value!r}, want {whole if not number else ''}{limits}")
