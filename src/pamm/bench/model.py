"""`pamm bench model`: seconds for an image and for a training step, with each scan backend.

The weights are random, and nothing is fetched: the time does not depend on them. The model is the
same for all backends, which take turns.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from pamm.bench.implementations import missing
from pamm.bench.peak import forbid_more_than_is_free, in_own_process, peak_memory
from pamm.bench.report import Table, megabytes, milliseconds, show, significant, span, write_report
from pamm.bench.timing import Result, Settings, interleave, timed
from pamm.errors import PammError, unknown
from pamm.model import ModelConfig, build_model
from pamm.model.pamm import pame as pame_module
from pamm.ops import multi_directional_scan
from pamm.ops.scan import BACKENDS
from pamm.runtime.memory import keep_freed_memory
from pamm.runtime.precision import Precision, arithmetic, forward
from pamm.runtime.progress import ProgressLine
from pamm.tasks import default_task

INFERENCE, TRAINING = "inference", "training step"
Model = tuple[ModelConfig, tuple[int, int]]
"""A model and the height and width of its images."""


def bench_model(
    settings: Settings,
    *,
    models: Mapping[str, Model],
    train: bool,
    precision: Precision,
    backends: Sequence[str],
    out: Path,
    command: str,
) -> None:
    """Measure, print the tables, and write them: `out` (JSON), and beside it .md.

    Args:
        settings: how to measure.
        models: by the name of their preset.
        train: also measure training steps.
        precision: of the networks' arithmetic.
        backends: of the scan, none for all that run here.
        out: the JSON file.
        command: that the report names.

    Raises:
        PammError: a backend that is unknown or cannot run.
    """
    names = scan_backends(settings.device, backends)
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(settings.threads)
    line = ProgressLine(None, label="measurement")
    results: list[Result] = []
    keep_freed_memory()
    for part in (INFERENCE, TRAINING) if train else (INFERENCE,):
        for name, model in models.items():
            results += measure_model(name, model, part, precision, names, settings, line.step)
    line.close()
    tables = [
        model_table(name, model, [r for r in results if r.case == name])
        for name, model in models.items()
    ]
    notes = [
        f"Medians of up to {settings.rounds} rounds, in which the backends of the scan take turns "
        f"in one process, with {settings.threads} threads, in precision {precision}. One that is "
        f"slow gets the rounds that fit into {settings.limit:g} s, and at least one. The C library "
        "keeps freed memory, as in `pamm train`, `pamm evaluate` and `pamm predict`.",
        "One image at a time. The weights are random: pretrained ones are not fetched, and do not "
        "change the time. A training step is forward, losses, backward and Adam.",
        "speed-up: over the slowest backend.",
        "memory: the peak of the process from before the model was made, weights included.",
        *(f"{r.case}, {r.part}, {r.implementation}: {r.problem}." for r in results if r.problem),
    ]
    write_report(
        out,
        title="Whole models",
        command=command,
        threads=settings.threads,
        tables=tables,
        notes=notes,
        results=results,
        further={
            "sizes": {name: size for name, (_, size) in models.items()},
            "precision": precision,
        },
    )
    show(tables, notes)
    print(f"written: {out}, {out.with_suffix('.md')}")


def scan_backends(device: str, names: Sequence[str]) -> list[str]:
    """The backends to measure on a device, best first."""
    absent = missing(device)
    for name in names:
        if name not in BACKENDS:
            raise PammError(unknown("scan backend", name, BACKENDS))
        if name in absent:
            raise PammError(f"scan backend {name!r} cannot be measured: {absent[name]}")
    return list(names or (name for name in BACKENDS if name not in absent))


@contextmanager
def scan_with(backend: str) -> Iterator[None]:
    """Models scan with this backend meanwhile."""
    pame_module.multi_directional_scan = partial(multi_directional_scan, backend=backend)
    try:
        yield
    finally:
        pame_module.multi_directional_scan = multi_directional_scan


def make_call(model: Model, part: str, precision: Precision, device: str) -> Callable[[], Tensor]:
    """A model with random weights, and what is measured of it: one prediction or training step."""
    config, (height, width) = model
    network = build_model(replace(config, pretrained=False)).to(device)
    image = torch.rand(1, 3, height, width, device=device)
    if part == INFERENCE:
        network.eval()

        @torch.inference_mode()
        def predict() -> Tensor:
            return torch.stack([v.sum() for v in forward(network, image, precision).values()])

        return predict

    tasks = {name: default_task(name, channels) for name, channels in config.tasks.items()}
    targets = {
        name: torch.ones(
            1, *task.target_lead, height, width, dtype=task.target_dtype, device=device
        )
        for name, task in tasks.items()
    }
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-5)

    def train() -> Tensor:
        with arithmetic(precision, image.device.type):
            outputs = network(image)
        losses = [
            task.loss_weight * task.loss(logits[name], targets[name])
            for logits in (outputs.logits, *outputs.auxiliary)
            for name, task in tasks.items()
        ]
        loss = torch.stack(losses).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return train


def memory_of_model(
    model: Model, part: str, precision: Precision, backend: str, settings: Settings
) -> Iterator[int | None]:
    """The peak from before the model is made to after two calls, for a process of its own."""
    torch.set_num_threads(settings.threads)
    if settings.device == "cpu":
        forbid_more_than_is_free()
    keep_freed_memory()

    def everything() -> None:
        call = make_call(model, part, precision, settings.device)
        call()
        call()  # the first step of the optimiser makes its state

    with scan_with(backend):
        yield peak_memory(everything, settings.device)[0]


def measure_model(
    case: str,
    model: Model,
    part: str,
    precision: Precision,
    backends: Sequence[str],
    settings: Settings,
    report: Callable[[str], None],
) -> list[Result]:
    """One part of one model with every backend, which may have a problem instead of times."""
    results = {name: Result(case, part, name) for name in backends}
    for name, result in results.items():
        report(f"{case}, {part}: memory with {name}")
        arguments = (model, part, precision, name, settings)
        found, result.problem = in_own_process(
            memory_of_model, *arguments, seconds=600 + 4 * settings.limit
        )
        result.memory = found[0] if found else None
    able = [name for name in backends if not results[name].problem]
    if not able:
        return list(results.values())

    report(f"{case}, {part}: first calls")
    run = make_call(model, part, precision, settings.device)

    def with_backend(name: str) -> Callable[[], Tensor]:
        def call() -> Tensor:
            with scan_with(name):
                return run()

        return call

    calls = {name: with_backend(name) for name in able}
    samples = interleave(
        calls,
        {name: timed(call)[0] for name, call in calls.items()},
        rounds=settings.rounds,
        limit=settings.limit,
        report=lambda name: report(f"{case}, {part}: {name}"),
    )
    for name, seconds in samples.items():
        results[name].seconds = seconds
    return list(results.values())


def model_table(name: str, model: Model, results: Sequence[Result]) -> Table:
    """All results of one model."""
    slowest = {
        part: max((r.median for r in results if r.part == part and r.seconds), default=0.0)
        for part in (INFERENCE, TRAINING)
    }
    rows = []
    for result in results:
        timed_cells = (
            [
                milliseconds(result.median),
                span(result.seconds),
                str(len(result.seconds)),
                significant(slowest[result.part] / result.median),
            ]
            if result.seconds
            else ["-"] * 4
        )
        rows.append([result.implementation, result.part, *timed_cells, megabytes(result.memory)])
    height, width = model[1]
    return Table(
        f"{name}: one image of {height}x{width}",
        ["scan", "what", "ms", "range", "rounds", "speed-up", "memory"],
        rows,
    )
