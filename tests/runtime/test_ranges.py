"""Numbers are held to the ranges in their types: built in Python, read from JSON, or typed."""

import dataclasses
import math
import typing
from typing import Annotated, Literal

import numpy as np
import pytest

from pamm.bench.timing import Settings
from pamm.config import Experiment
from pamm.data import DataConfig
from pamm.errors import PammError
from pamm.model import PAMMConfig
from pamm.presets import preset
from pamm.runtime.ranges import Range, check_fields, declarations
from pamm.runtime.strict_json import from_json, to_json
from pamm.tasks import TASK_TYPES
from pamm.training.optim import OptimConfig
from pamm.training.train_config import TrainConfig
from pamm.views.augmentation import TestTimeAugmentation

TINY = preset("synthetic-tiny").experiment
MADE = [TINY.model, TINY.data, TINY.optim, TINY.train, TestTimeAugmentation(), Settings()]
MADE += [kind(channels=3) if name == "semseg" else kind() for name, kind in TASK_TYPES.items()]


def numbers(kind: object) -> list[tuple[type, Range | None]]:
    """The numbers in a type, each with its range."""
    if typing.get_origin(kind) is Annotated:
        ranges = [extra for extra in kind.__metadata__ if isinstance(extra, Range)]
        return [(kind.__origin__, ranges[0] if ranges else None)]
    if kind in (int, float):
        return [(kind, None)]
    return [found for part in typing.get_args(kind) for found in numbers(part)]


@pytest.mark.parametrize("value", MADE, ids=lambda value: type(value).__name__)
def test_every_number_field_has_a_range_and_is_held_to_it(value):
    for name, kind in declarations(type(value)).items():
        if name == "directions" or typing.get_origin(kind) is typing.ClassVar:
            continue
        for number, limits in numbers(kind):
            assert limits is not None, f"{name} has no range"
            for wrong in (math.nan, math.inf, -math.inf, limits.high * 2 + 1, "many", True):
                given = wrong
                current = getattr(value, name)
                if isinstance(current, dict):
                    given = dict.fromkeys(current, wrong)
                elif isinstance(current, tuple):
                    given = (wrong,) * len(current)
                with pytest.raises(PammError, match=f"{name}[^\n]*: got [^\n]*, want [^\n]*"):
                    dataclasses.replace(value, **{name: given})
            assert number in (int, float)


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("optim", "lr", float("nan")),
        ("optim", "lr", 0),
        ("train", "seed", 2**70),
        ("train", "steps", 0),
        ("data", "workers", 1_000_000),
        ("data", "size", [0, 0]),
        ("model", "d_model", 10_000_000),
        ("model", "stages", 5),
        ("model", "tasks", {"depth": 0}),
    ],
)
def test_json_is_held_to_the_ranges_and_the_place_is_named(section, field, value):
    values = to_json(TINY)
    values[section][field] = value
    with pytest.raises(PammError, match=rf"^Experiment.{section}(: |\.){field}[^\n]*: got [^\n]*$"):
        from_json(Experiment, values)


def test_the_ends_of_a_range():
    half = Range(0, 1, open_low=True)
    assert [x in half for x in (0, 1e-9, 1, 1.1)] == [False, True, True, False]
    assert [x in Range(0, 1, open_high=True) for x in (-1, 0, 1)] == [False, True, False]
    assert str(half) == "more than 0, at most 1"
    assert str(Range(0, 1, open_high=True)) == "0 or more, less than 1"
    assert str(Range(1, 10**6)) == "1 to 1,000,000"


def test_numbers_of_numpy_are_numbers():
    assert DataConfig(size=(np.int64(32), 48)).size == (32, 48)
    assert OptimConfig(lr=np.float64(0.1)).lr == 0.1


def test_a_literal_is_held_to_its_values():
    with pytest.raises(PammError, match="precision: got 'bf16', want one of 32-true"):
        TrainConfig(precision="bf16")


def test_a_subclass_with_another_default_keeps_the_range():
    @dataclasses.dataclass
    class Base:
        x: Annotated[int, Range(1, 9)]
        kind: Literal["a"] = "a"

        def __post_init__(self) -> None:
            check_fields(self, "here: ")

    @dataclasses.dataclass
    class Sub(Base):
        x: int = 3

    with pytest.raises(PammError, match="^here: x: got 10, want 1 to 9$"):
        Sub(x=10)


def test_limits_leave_room():
    """The largest that anybody might want passes."""
    TrainConfig(steps=10**8, batch_size=8192, devices=512, seed=2**63 - 1, accumulate=16)
    PAMMConfig(tasks={"semseg": 20_000}, d_model=8192, d_state=256, num_experts=256, top_k=256)
    DataConfig(size=(8192, 8192), workers=256)
    TestTimeAugmentation(scales=(0.25, 4.0))
