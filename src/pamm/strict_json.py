"""Nested frozen dataclasses to and from JSON, refusing whatever does not fit exactly."""

import dataclasses
import json
import math
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from pamm.errors import PammError, unknown

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """Dataclasses to dicts, tuples to lists, NaN and infinity (which JSON lacks) to None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def from_json(kind: type[T], value: Any, *, where: str = "") -> T:
    """The inverse of `to_json` for the type `kind`; fields left out get their defaults.

    Raises:
        PammError: an unknown field, or a value of another type; the message says where.
    """
    return typing.cast(T, _convert(kind, value, where or kind.__name__))


def read_json(path: Path) -> Any:
    """The contents of a JSON file.

    Raises:
        PammError: the file is missing, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise PammError(f"no file {str(path)!r}") from None
    except RecursionError:
        raise PammError(f"{str(path)!r} cannot be read as JSON: it is nested too deeply") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise PammError(f"{str(path)!r} cannot be read as JSON: {error}") from None


def _convert(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where)
    if origin in (typing.Union, types.UnionType):
        return _union(arguments, value, where)
    if origin is dict and isinstance(value, dict):
        return {str(k): _convert(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    if origin is tuple and isinstance(value, list | tuple):
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) == len(value):
            pairs = zip(kinds, value, strict=True)
            return tuple(_convert(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(pairs))
    if kind is float and type(value) in (int, float):
        return float(value)
    if origin is typing.Literal and value in arguments:
        return value
    if isinstance(kind, type) and type(value) is kind:  # exactly: True is no int here
        return value
    raise PammError(f"{where}: got {value!r}, want {getattr(kind, '__name__', kind)}")


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise PammError(f"{where}: got {value!r}, want the fields of {kind.__name__}")
    hints = typing.get_type_hints(kind)
    for key in value:
        if key not in hints:
            raise PammError(f"{where}: {unknown('field', key, hints)}")
    for field in dataclasses.fields(kind):
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and field.name not in value:
            raise PammError(f"{where}: the field {field.name!r} is missing")
    values = {k: _convert(hints[k], v, f"{where}.{k}") for k, v in value.items()}
    try:
        return kind(**values)
    except PammError as error:  # of a number that is not in its range, for one
        raise PammError(f"{where}: {error}") from None


def _union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    for kind in kinds:
        try:
            return (
                None if kind is types.NoneType and value is None else _convert(kind, value, where)
            )
        except PammError:
            continue
    names = " or ".join(getattr(k, "__name__", str(k)) for k in kinds)
    raise PammError(f"{where}: got {value!r}, want {names}")
