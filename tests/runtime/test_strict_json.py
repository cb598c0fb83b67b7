"""Dataclasses survive JSON, and JSON that does not fit is refused with the place named."""

import json
from dataclasses import dataclass, field
from typing import Literal

import pytest

from pamm.config import Experiment
from pamm.errors import PammError
from pamm.presets import PRESETS
from pamm.runtime.strict_json import from_json, read_json, to_json


@dataclass(frozen=True)
class Inner:
    size: tuple[int, int] = (1, 2)
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picky:
    x: int = 0

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("x must not be negative")


@dataclass(frozen=True)
class Outer:
    rate: float
    weights: bool | str = False
    stride: int | None = None
    kind: Literal["a", "b"] = "a"
    inner: Inner = field(default_factory=Inner)
    tasks: dict[str, int] = field(default_factory=dict)
    picky: Picky = field(default_factory=Picky)


def test_round_trip():
    value = Outer(rate=1.5, weights="x.pth", inner=Inner(names=("p", "q")), tasks={"depth": 1})
    assert from_json(Outer, json.loads(json.dumps(to_json(value)))) == value


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_round_trips(name):
    experiment = PRESETS[name].experiment
    assert from_json(Experiment, json.loads(json.dumps(to_json(experiment)))) == experiment


def test_json_has_no_nan():
    assert to_json({"a": [float("nan"), 1.0, float("inf")]}) == {"a": [None, 1.0, None]}


def test_defaults_fill_what_is_left_out_and_whole_numbers_are_numbers():
    assert from_json(Outer, {"rate": 2}) == Outer(rate=2.0)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "Outer: the field 'rate' is missing"),
        ({"rate": 1, "ratee": 2}, "Outer: unknown field 'ratee': did you mean 'rate'"),
        ({"rate": "fast"}, "Outer.rate: got 'fast', want a number"),
        ({"rate": True}, "Outer.rate: got true, want a number"),
        ({"rate": 1, "weights": 3}, "Outer.weights: got 3, want true or false or text"),
        ({"rate": 1, "stride": 1.5}, "Outer.stride: got 1.5, want a whole number or null"),
        ({"rate": 1, "kind": "c"}, "Outer.kind: got 'c'"),
        ({"rate": 1, "inner": {"size": [1]}}, r"Outer.inner.size: got \[1\], want a list of 2"),
        (
            {"rate": 1, "inner": {"size": [1, "2"]}},
            r"Outer.inner.size\[1\]: got '2', want a whole number",
        ),
        ({"rate": 1, "tasks": {"depth": None}}, "Outer.tasks.depth: got null, want a whole number"),
        ([], "Outer: got .*, want the fields of Outer"),
        ({"rate": float("nan")}, "Outer.rate: got nan, want a finite number"),
        ({"rate": float("inf")}, "Outer.rate: got inf, want a finite number"),
        ({"rate": 10**400}, "Outer.rate: got 1000.*000, want a number"),
        ({"rate": None}, "Outer.rate: got null, want a number"),
        ({"rate": [[[[[[[[[1]]]]]]]]]}, r"Outer.rate: got \[.*\.\.\..*\], want a number"),
        ({"rate": "x" * 10_000}, "^.{,200}$"),
        ({"rate": 1, "kind": True}, "Outer.kind: got true, want 'a' or 'b'"),
        ({"rate": 1, "kind": ["a"]}, r"Outer.kind: got \['a'\]"),
        ({"rate": 1, "stride": True}, "Outer.stride: got true, want a whole number or null"),
        ({"rate": 1, "inner": None}, "Outer.inner: got null, want the fields of Inner"),
        ({"rate": 1, "inner": {"names": "ab"}}, "Outer.inner.names: got 'ab', want a list"),
        ({"rate": 1, "tasks": {"a\nb": "c"}}, r"Outer.tasks.'a\\nb': got 'c', want a whole number"),
        ({"rate": 1, "tasks": [1]}, r"Outer.tasks: got \[1\], want {name: value"),
        ({"rate": 1, "picky": {"x": -1}}, "^Outer.picky: x must not be negative$"),
        ({"rate": 1, "": 2}, "Outer: unknown field ''"),
    ],
)
def test_what_does_not_fit(value, message):
    with pytest.raises(PammError, match=message) as error:
        from_json(Outer, value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "Expecting property name"),
        (b"", "Expecting value"),
        (b'{"a": 1} x', "Extra data"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'{"a":' * 100_000, "it is nested too deeply"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' comes more than once"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"9" * 5000, "limit"),
        (b"\xff\xfe{}", "can't decode byte"),
        (b'{"a": "\n"}', "Invalid control character"),
    ],
)
def test_files_that_are_not_json(tmp_path, content, message):
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(PammError, match=f"broken.json' cannot be read as JSON: .*{message}") as e:
        read_json(path)
    assert "\n" not in str(e.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(PammError, match="no file"):
        read_json(tmp_path / "missing.json")
    with pytest.raises(PammError, match="cannot be read: Is a directory"):
        read_json(tmp_path)


def test_a_byte_order_mark_is_none_of_the_content(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')  # as Windows' editors write it
    assert read_json(tmp_path / "a.json") == {"a": 1}
