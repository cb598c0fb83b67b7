"""Nested frozen dataclasses to and from JSON, refusing whatever does not fit exactly."""

import dataclasses
import json
import math
import reprlib
import sys
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from pamm.errors import PammError, unknown
from pamm.runtime.files import reason

T = TypeVar("T")
_shown = reprlib.Repr()  # for messages: what was given may be long, or nested deeply
_shown.maxstring = _shown.maxother = 100


def to_json(value: Any) -> Any:
    """Dataclasses to dicts, tuples to lists, NaN and infinity (which JSON lacks) to None.

    A dataclass that is one of several, with a class method `variant` that finds it, has its `name`.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        values = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        named = {"name": getattr(value, "name", None)} if hasattr(value, "variant") else {}
        return {**named, **values}
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
    """The contents of a JSON file, with or without a byte order mark.

    Raises:
        PammError: the file is missing, unreadable or not JSON: also where Python would take it, as
            it takes NaN, or a key that comes twice.
    """
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise PammError(f"no file {str(path)!r}") from None
    except OSError as error:
        raise PammError(f"{str(path)!r} cannot be read: {reason(error)}") from None
    except UnicodeDecodeError as error:
        raise PammError(f"{str(path)!r} cannot be read as JSON: {error}") from None
    return parse_json(text, str(path))


def parse_json(text: str, source: str) -> Any:
    """The value of a JSON text; `source` is named in messages.

    Raises:
        PammError: see `read_json`.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except RecursionError:
        why = "it is nested too deeply"
    except ValueError as error:  # of JSON, and of whole numbers with thousands of digits
        why = str(error)
    raise PammError(f"{source!r} cannot be read as JSON: {why}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} comes more than once in an object")
    return values


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _convert(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where)
    if origin in (typing.Union, types.UnionType):
        return _union(arguments, value, where)
    if origin is dict and isinstance(value, dict):
        inside = {k: f"{where}.{k if str(k).isprintable() else repr(k)}" for k in value}
        return {str(k): _convert(arguments[1], v, inside[k]) for k, v in value.items()}
    if origin is tuple and isinstance(value, list | tuple):
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) == len(value):
            pairs = zip(kinds, value, strict=True)
            return tuple(_convert(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(pairs))
    if kind is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return float(value)
    if origin is typing.Literal and any(type(a) is type(value) and a == value for a in arguments):
        return value
    # Exactly: True is no int here. A float that is left is no finite one.
    if isinstance(kind, type) and type(value) is kind and kind is not float:
        return value
    wanted = _in_words(kind)
    if isinstance(value, float) and not math.isfinite(value):
        wanted = wanted.replace("a ", "a finite ", 1)
    raise PammError(f"{where}: got {_given(value)}, want {wanted}")


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise PammError(f"{where}: got {_given(value)}, want the fields of {kind.__name__}")
    if hasattr(kind, "variant"):  # of several dataclasses; a name in the value says which
        try:
            kind = kind.variant(value)
            value = {key: given for key, given in value.items() if key != "name"}
        except PammError as error:
            raise PammError(f"{where}: {error}") from None
    declared = typing.get_type_hints(kind)  # of its class variables, too
    hints = {field.name: declared[field.name] for field in dataclasses.fields(kind)}
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
    except (ValueError, TypeError) as error:  # of its own checks: a PammError, too, is one
        raise PammError(f"{where}: {error}") from None


def _union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    for kind in kinds:
        try:
            return (
                None if kind is types.NoneType and value is None else _convert(kind, value, where)
            )
        except PammError:
            continue
    wanted = " or ".join(map(_in_words, kinds))
    raise PammError(f"{where}: got {_given(value)}, want {wanted}")


_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    types.NoneType: "null",
}


def _in_words(kind: Any) -> str:
    """A type as the files call it."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return " or ".join(map(repr, arguments))
    if origin is tuple:
        return "a list" if arguments[-1] is Ellipsis else f"a list of {len(arguments)}"
    return "{name: value, ...}" if origin is dict else _WORDS.get(kind, str(kind))


def _given(value: Any) -> str:
    """A value as JSON has it, cut where it is long."""
    return json.dumps(value) if value is None or isinstance(value, bool) else _shown.repr(value)
