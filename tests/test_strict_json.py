"""Dataclasses survive JSON, and JSON that does not fit is refused with the place named."""

import json
from dataclasses import dataclass, field
from typing import Literal

import pytest

from pamm.config import Experiment
from pamm.errors import PammError
from pamm.presets import PRESETS
from pamm.strict_json import from_json, read_json, to_json


@dataclass(frozen=True)
class Inner:
    size: tuple[int, int] = (1, 2)
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outer:
    rate: float
    weights: bool | str = False
    stride: int | None = None
    kind: Literal["a", "b"] = "a"
    inner: Inner = field(default_factory=Inner)
    tasks: dict[str, int] = field(default_factory=dict)


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
        ({"rate": "fast"}, "Outer.rate: got 'fast', want float"),
        ({"rate": True}, "Outer.rate: got True, want float"),
        ({"rate": 1, "weights": 3}, "Outer.weights: got 3, want bool or str"),
        ({"rate": 1, "stride": 1.5}, "Outer.stride: got 1.5, want int or NoneType"),
        ({"rate": 1, "kind": "c"}, "Outer.kind: got 'c'"),
        ({"rate": 1, "inner": {"size": [1]}}, r"Outer.inner.size: got \[1\]"),
        ({"rate": 1, "inner": {"size": [1, "2"]}}, r"Outer.inner.size\[1\]: got '2', want int"),
        ({"rate": 1, "tasks": {"depth": None}}, "Outer.tasks.depth: got None, want int"),
        ([], "Outer: got .*, want the fields of Outer"),
    ],
)
def test_what_does_not_fit(value, message):
    with pytest.raises(PammError, match=message):
        from_json(Outer, value)


def test_files_that_are_not_json(tmp_path):
    with pytest.raises(PammError, match="no file"):
        read_json(tmp_path / "missing.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(PammError, match="cannot be read as JSON"):
        read_json(tmp_path / "deep.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(PammError, match="cannot be read as JSON"):
        read_json(tmp_path / "broken.json")
