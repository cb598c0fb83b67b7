"""Implementations of the scan measured side by side at one shape.

All results are compared with those of the reference first, so that no time belongs to a wrong
result. Then the implementations take turns, round after round, in one process. The peak of the
memory is found in processes of their own (see `pamm.bench.peak`): what a pass takes beyond its
arguments and its results.
"""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from pamm.bench.implementations import Scan, implementations
from pamm.bench.peak import forbid_more_than_is_free, in_own_process, peak_memory
from pamm.bench.problems import (
    BOTH,
    PARTS,
    SHAPES,
    Shape,
    largest_difference,
    make_problem,
    run_part,
)
from pamm.bench.timing import Result, Settings, interleave, timed

TOLERANCE = 1e-3
"""Largest relative difference from the reference that counts as the same result."""


def measure_shape(
    case: str,
    shape: Shape,
    scans: Mapping[str, Scan],
    settings: Settings,
    report: Callable[[str], None],
) -> list[Result]:
    """Both parts of every scan at one shape; a scan that cannot do it has a problem instead."""
    results = {(p, name): Result(case, p, name) for p in PARTS for name in scans}
    for name in scans:
        report(f"{case}: memory of {name}")
        arguments = (name, shape, settings.device, settings.threads)
        found, problem = in_own_process(
            memory_of_parts, *arguments, seconds=60 + 4 * settings.limit
        )
        memory = dict(found)
        for part in PARTS:
            result = results[part, name]
            result.memory = memory.get(part)
            result.problem = "" if part in memory else problem

    given = make_problem(shape, settings.device)
    reference = implementations(settings.device, ["reference"])["reference"]
    report(f"{case}: reference")
    expected = run_part(BOTH, reference, given)
    for part in PARTS:
        calls, first = {}, {}
        for name, scan in scans.items():
            result = results[part, name]
            if result.problem:
                continue
            report(f"{case}: check of {name}")

            def call(scan: Scan = scan, part: str = part) -> list[Tensor]:
                return run_part(part, scan, given)

            first[name], got = timed(call)
            result.difference = largest_difference(got, expected[: len(got)])
            if not result.difference <= TOLERANCE:  # also where it is NaN
                result.problem = f"differs by {result.difference:.1e}: not timed"
                continue
            calls[name] = call
        samples = interleave(
            calls,
            first,
            rounds=settings.rounds,
            limit=settings.limit,
            report=lambda name: report(f"{case}: {name}"),
        )
        for name, seconds in samples.items():
            results[part, name].seconds = seconds
    return list(results.values())


def memory_of_parts(
    name: str, shape: Shape, device: str, threads: int
) -> Iterator[tuple[str, int | None]]:
    """The peak of each part beyond arguments and results, for a process of its own."""
    torch.set_num_threads(threads)
    scan = implementations(device, [name])[name]
    for part in PARTS:  # loads what is loaded once
        run_part(part, scan, make_problem(SHAPES["tiny"], device))
    problem = make_problem(shape, device)
    if device == "cpu":
        forbid_more_than_is_free()
    for part in PARTS:

        def call(part: str = part) -> list[Tensor]:
            return run_part(part, scan, problem)

        peak, results = peak_memory(call, device)
        own = sum(v.numel() * v.element_size() for v in results)
        yield part, None if peak is None else max(0, peak - own)
