"""Times taken in turn, so that what disturbs one implementation disturbs the others as well."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from pamm.errors import PammError
from pamm.runtime.ranges import Count, Processes, Seconds, check_fields

T = TypeVar("T")

SAMPLE_SECONDS = 0.05
"""A call that is quicker is repeated for so long, and the mean counts as one sample."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How all cases of a benchmark are measured."""

    device: str = "cpu"
    """cpu or cuda."""
    threads: Processes = 1
    """Threads to use."""
    rounds: Count = 5
    """Turns of each implementation."""
    limit: Seconds = 120.0
    """Seconds for the turns of one implementation; a slow one gets fewer, and at least one."""

    def __post_init__(self) -> None:
        if self.device not in ("cpu", "cuda"):
            raise PammError(f"device: got {self.device!r}, want 'cpu' or 'cuda'")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise PammError("device: got 'cuda', but PyTorch can use no GPU here")
        check_fields(self)


@dataclass
class Result:
    """What was found out about one implementation in one case."""

    case: str
    """The shape or preset."""
    part: str
    """The passes: forward, forward + backward, inference, training step."""
    implementation: str
    seconds: list[float] = field(default_factory=list)
    """Of one call, one entry a round; empty where it was not timed."""
    memory: int | None = None
    """Bytes at the peak, as defined by the benchmark; None where that cannot be told."""
    difference: float | None = None
    """Largest relative difference of an output or gradient from the reference's."""
    problem: str = ""
    """Why it was not timed."""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def timed(call: Callable[[], T], repeat: int = 1) -> tuple[float, T]:
    """Seconds of one call, the mean of `repeat` calls, and what the last one returned."""
    _wait_for_gpu()
    start = time.perf_counter()
    for _ in range(repeat):
        result = call()
    _wait_for_gpu()
    return (time.perf_counter() - start) / repeat, result


def _wait_for_gpu() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def interleave(
    calls: Mapping[str, Callable[[], object]],
    first: Mapping[str, float],
    *,
    rounds: int,
    limit: float,
    report: Callable[[str], None],
) -> dict[str, list[float]]:
    """Seconds of every call, round after round, each round all of them in turn.

    Args:
        calls: what to time, by name.
        first: seconds of a first call of each, which warmed it up.
        rounds: samples of each.
        limit: seconds that one may take in all; one that is slow has fewer rounds, and one whose
            first call took longer is not called again: that call is its sample.
        report: told the name of each call when its turn comes.
    """
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(rounds):
        for name, call in calls.items():
            report(name)
            if first[name] * (i + 1) <= limit:
                repeat = max(1, round(SAMPLE_SECONDS / first[name]))
                samples[name].append(timed(call, repeat)[0])
    return {name: seconds or [first[name]] for name, seconds in samples.items()}
