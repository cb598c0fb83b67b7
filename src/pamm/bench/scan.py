"""`pamm bench scan`: every implementation of the multi-directional scan on the same problems."""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import torch

from pamm import native
from pamm.bench.compare import TOLERANCE, measure_shape
from pamm.bench.growth import CHANNELS, STATE, draw_growth, growth_tables, measure_growth
from pamm.bench.implementations import SEQUENTIAL, implementations, missing
from pamm.bench.problems import BOTH, FORWARD, PARTS, SHAPES
from pamm.bench.report import (
    Table,
    megabytes,
    milliseconds,
    show,
    significant,
    span,
    write_report,
)
from pamm.bench.timing import Result, Settings
from pamm.errors import PammError, unknown
from pamm.runtime.progress import ProgressLine

VECTOR_OPERATIONS = {FORWARD: 6.0, BOTH: 25.7}
"""Of the fused algorithm, for each channel, state, position and direction."""


def bench_scan(
    settings: Settings,
    *,
    shapes: Sequence[str],
    growth: bool,
    backends: Sequence[str],
    out: Path,
    command: str,
) -> None:
    """Measure, print the tables, and write them: `out` (JSON), and beside it .md and .png.

    Args:
        settings: how to measure.
        shapes: names of `SHAPES`.
        growth: also measure how the cost of a token grows with their number.
        backends: names of implementations, none for all that run here.
        out: the JSON file.
        command: that the report names.

    Raises:
        PammError: an unknown shape, or an implementation that cannot run.
    """
    scans = implementations(settings.device, backends)
    for name in shapes:
        if name not in SHAPES:
            raise PammError(unknown("shape", name, SHAPES))
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(settings.threads)
    line = ProgressLine(None, label="measurement")
    results: list[Result] = []
    tables: list[Table] = []
    rates = [peak_fma_per_second(settings.device)]
    for name in shapes:
        results += measure_shape(name, SHAPES[name], scans, settings, line.step)
        rates.append(peak_fma_per_second(settings.device))
    peak = max(filter(None, rates), default=None)
    total = peak and peak * settings.threads
    for name in shapes:
        tables += shape_tables(name, results, total)
    picture = ""
    if growth:
        found = measure_growth(scans, settings, line.step)
        tables += growth_tables(found)
        floors = {part: 1e9 * n / total for part, n in VECTOR_OPERATIONS.items()} if total else {}
        draw_growth(found, out.with_suffix(".png"), floors)
        picture = f"![Cost of a token against the number of tokens]({out.stem}.png)"
        results += found
    line.close()
    notes = explain(settings, peak, backends, results)
    write_report(
        out,
        title="The multi-directional scan, side by side",
        command=command,
        threads=settings.threads,
        tables=tables,
        notes=notes,
        results=results,
        further={
            "shapes": {name: SHAPES[name]._asdict() | {"directions": 4} for name in shapes},
            "growth": {"channels": CHANNELS, "state": STATE, "directions": 4} if growth else None,
            "peak_fma_per_second": peak,
            "vector_operations": VECTOR_OPERATIONS,
        },
        picture=picture,
    )
    show(tables, notes)
    print(f"written: {out}, {out.with_suffix('.md')}" + (", and the plot" if growth else ""))


def peak_fma_per_second(device: str) -> float | None:
    """Fused multiply-adds of one core in a second, lanes counted; None where that is unknown."""
    function = getattr(native.library(), "pamm_peak_fma_per_second", None)
    if device != "cpu" or function is None:
        return None
    function.restype = ctypes.c_double
    return function()


def part_table(
    title: str, results: Sequence[Result], *, floor: float | None, sequential: float | None
) -> Table:
    """All results of one part at one shape.

    Args:
        title: of the table.
        results: of the implementations.
        floor: the least seconds in which the arithmetic can be done, if that is known.
        sequential: seconds of `SEQUENTIAL`, if it was timed.
    """
    rows = []
    for result in results:
        cells = ["-"] * 5
        if result.seconds:
            cells = [
                milliseconds(result.median),
                span(result.seconds),
                str(len(result.seconds)),
                significant(sequential / result.median) if sequential else "-",
                f"{100 * floor / result.median:.0f} %" if floor else "-",
            ]
        difference = "-" if result.difference is None else f"{result.difference:.0e}"
        rows.append([result.implementation, *cells, megabytes(result.memory), difference])
    columns = ["implementation", "ms", "range", "rounds", "speed-up", "floor", "memory", "error"]
    if not floor:
        columns.remove("floor")
        rows = [[*cells[:5], *cells[6:]] for cells in rows]
    return Table(title, columns, rows)


def shape_tables(name: str, results: Sequence[Result], peak: float | None) -> list[Table]:
    """One table for each part of one shape; `peak` is in multiply-adds per second."""
    shape, tables = SHAPES[name], []
    for part in PARTS:
        found = [r for r in results if (r.case, r.part) == (name, part)]
        floor = VECTOR_OPERATIONS[part] * shape.updates() / peak if peak else None
        limit = f" (floor {milliseconds(floor)} ms)" if floor else ""
        sequential = [r.median for r in found if r.implementation == SEQUENTIAL and r.seconds]
        tables.append(
            part_table(
                f"{name}, {part}{limit}: {shape}",
                found,
                floor=floor,
                sequential=sequential[0] if sequential else None,
            )
        )
    return tables


def explain(
    settings: Settings,
    peak: float | None,
    backends: Sequence[str],
    results: Sequence[Result],
) -> list[str]:
    """What a reader must know about the numbers."""
    notes = [
        f"Medians of up to {settings.rounds} rounds, in which all implementations take turns in "
        f"one process; a round of what is quick is the mean of calls for 0.05 s. One that is slow "
        f"gets the rounds that fit into {settings.limit:g} s, and at least one. The C library "
        "allocates memory as it comes.",
        f"`{SEQUENTIAL}`: the loop over the positions on four permuted copies, the positions taken "
        "apart with `unbind`; with indexing in every step, as is usual, its backward pass would "
        "take time quadratic in the length. mambapy and mamba-ssm run on permuted copies, too.",
        "speed-up: how often the implementation runs while the sequential one runs once.",
        "memory: the peak of one call beyond its arguments and results, in a process of its "
        "own; on a CPU of its resident set, so it is good to about 1 MB.",
        "error: the difference from `reference` in float32, the largest of any output or gradient "
        f"relative to the largest number in it; with more than {TOLERANCE:g} nothing is timed.",
    ]
    if peak is not None:
        notes.append(
            "floor: the least time for the arithmetic, and its share in the time of each. It is "
            f"{VECTOR_OPERATIONS[FORWARD]:g} (forward) and {VECTOR_OPERATIONS[BOTH]:g} (forward + "
            "backward) vector operations for each channel, state, position and direction, at the "
            f"measured {peak / 1e9:.1f} G multiply-adds per second of a core."
        )
    if not backends:
        notes += [f"Not measured: {name}, {why}." for name, why in missing(settings.device).items()]
    notes += [
        f"{result.implementation}, {result.case}, {result.part}: {result.problem}."
        for result in results
        if result.problem
    ]
    return notes
