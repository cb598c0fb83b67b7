"""Whether everything works on this machine's GPU, and how much memory it takes: `make gpu-check`.

    python benchmarks/gpu_check.py [--out gpu-check] [--minutes 10]
    python benchmarks/gpu_check.py --device cpu --small      # a rehearsal where there is no GPU

Wants PyTorch with Triton, timm, Lightning Fabric and the package's other dependencies; no compiler,
no network, no data set, no weights. Each part runs in a process of its own, for a limited time, and
leaves what it prints in a file; one that fails costs a row of the table. Exit code 1 if any did.
"""

import argparse
import contextlib
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import util
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import torch
from rich.table import Table

from pamm.bench.peak import in_own_process, peak_memory
from pamm.bench.report import machine, megabytes
from pamm.runtime.files import write_text
from pamm.runtime.terminal import console


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where and how large everything is."""

    device: str
    folder: Path
    small: bool = False

    @property
    def size(self) -> tuple[int, int]:
        return (32, 48) if self.small else (448, 576)

    @property
    def steps(self) -> int:
        return 2 if self.small else 20

    @property
    def data(self) -> Path:
        return self.folder / "NYUDv2"

    @property
    def run(self) -> Path:
        """Of the first training, which is evaluated and predicted with."""
        return self.folder / "run"

    @property
    def model(self) -> list[str]:
        """What makes nyud-vit-b small, and leaves the pretrained weights out."""
        small = ["--model.backbone", "test_vit", "--model.d-model", "16", "--model.d-state", "2"]
        return ["--model.pretrained", "False", *(small if self.small else [])]


@dataclass(frozen=True, kw_only=True)
class Row:
    """What came out of a part."""

    part: str
    ok: bool
    seconds: float
    memory: int | None = None
    """Bytes at the peak of the device (on a CPU: of the process)."""
    result: str = ""
    """One line: what was found, or why it failed."""


def command(*arguments: object) -> None:
    """One command of `pamm`; its mistakes stay exceptions."""
    from pamm.cli import COMMANDS

    name, *rest = map(str, arguments)
    try:
        COMMANDS[name](rest)
    except SystemExit as exit_:
        if exit_.code:
            raise RuntimeError(f"pamm {name} ended with exit code {exit_.code}") from None


# The kernels


def odd_problems(device: str) -> Iterator[tuple[str, list[torch.Tensor], torch.Tensor]]:
    """Sizes at and beside the kernels' borders: blocks of channels, tiles, segments, groups."""
    sizes = (
        *((1, 1, 1, 1, 1, 1), (2, 3, 1, 1, 9, 2), (1, 6, 3, 5, 5, 3), (3, 10, 2, 1, 3, 2)),
        *((1, 70, 1, 3, 67, 2), (1, 129, 3, 17, 515, 4), (2, 64, 2, 16, 64, 4)),
    )
    for batch, channels, groups, state, length, directions in sizes:

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, device=device)

        tensors = [
            *(normal(batch, channels, length), normal(batch, channels, length)),
            -normal(channels, state).exp(),
            *(normal(batch, groups, state, length), normal(batch, groups, state, length)),
            *(normal(channels), normal(channels)),
        ]
        orders = torch.stack([torch.randperm(length) for _ in range(directions)]).to(device)
        name = f"{batch}x{channels}x{length}, {groups} groups, {state} states"
        yield name, tensors, orders


def problems(place: Place) -> Iterator[tuple[str, list[torch.Tensor], torch.Tensor]]:
    from pamm.bench.problems import SHAPES, make_problem

    for name in ("tiny",) if place.small else ("S1", "S2", "S3"):
        problem = make_problem(SHAPES[name], place.device)
        batch_first = [t[:, None] if i in (3, 4) else t for i, t in enumerate(problem.tensors)]
        yield name, batch_first, problem.orders
    yield from odd_problems(place.device)


def check_kernels(dtype: torch.dtype, autocast: bool, tolerance: float, place: Place) -> str:
    """The compiled scan against the reference in float64, forward and every gradient.

    Args:
        dtype: of all tensors; with `autocast` of u and delta alone, as in a network.
        autocast: run under it.
        tolerance: of the largest error of a tensor, relative to its largest number.
        place: where.
    """
    from pamm.ops import multi_directional_scan
    from pamm.ops.scan import COMPILED, backend_problem

    backend = COMPILED[place.device]
    if problem := backend_problem(backend):
        raise RuntimeError(problem)
    torch.manual_seed(0)
    worst, where = 0.0, ""
    for case, tensors, orders in problems(place):
        given = [t.to(dtype) if i < 2 or not autocast else t for i, t in enumerate(tensors)]
        leaves = [t.requires_grad_() for t in given]
        with torch.autocast(place.device, dtype, enabled=autocast):
            y = multi_directional_scan(*leaves, orders=orders, backend=backend)
        weights = torch.randn_like(y)
        results = [y.detach(), *torch.autograd.grad(y, leaves, weights)]
        exact = [t.detach().double().requires_grad_() for t in given]
        y = multi_directional_scan(*exact, orders=orders, backend="reference")
        expected = [y.detach(), *torch.autograd.grad(y, exact, weights.double())]
        names = ("y", *(f"gradient of {name}" for name in ("u", "delta", *"ABCD", "bias")))
        for name, got, wanted in zip(names, results, expected, strict=True):
            size = wanted.abs().max().clamp(min=1e-30)
            error = ((got.double() - wanted).abs().max() / size).item()
            if not error <= tolerance:  # also where it is NaN
                raise RuntimeError(f"{case}: {name} differs by {error:.1e}, want {tolerance:.1e}")
            if error >= worst:
                worst, where = error, f"{case}: {name}"
    return f"largest error {worst:.1e} ({where})"


# Models


def make_data(place: Place) -> str:
    """Rendered rooms in the layout of NYUD-v2, for all that comes after."""
    height, width = place.size
    counts = ("--train", 2, "--val", 1) if place.small else ("--train", 12, "--val", 2)
    command("data", "synthesize", "--out", place.data, "--size", height, width, *counts)
    return f"rooms of {height}x{width} pixels as NYUD-v2"


def train(options: Sequence[str], place: Place, run: Path | None = None) -> str:
    """Some steps of nyud-vit-b, the checkpoint and the validation at the end included."""
    out = run or place.folder / "other-run"
    shutil.rmtree(out, ignore_errors=True)
    batch = ["--train.batch-size", "2"] if place.small else []
    command(
        *("train", "nyud-vit-b", "--out", out, "--data.root", place.data, "--data.size"),
        *(*place.size, "--data.workers", 0 if place.small else 4, "--train.steps", place.steps),
        *("--train.log-every", 1, *place.model, *batch, *options),
    )
    lines = (out / "metrics.jsonl").read_text("utf-8").splitlines()
    records = [r for r in map(json.loads, lines) if r["split"] == "train"]
    if run is None:
        shutil.rmtree(out)
    totals = [sum(v for k, v in r.items() if k.endswith("/loss")) for r in records]
    if len(totals) != place.steps or not all(map(math.isfinite, totals)):
        raise RuntimeError(f"{len(totals)} of {place.steps} steps, losses {totals}")
    times = [r["seconds"] for r in records]
    pace = median(b - a for a, b in pairwise(times))
    return f"{pace:.2f} s/step, losses {totals[0]:.2f} to {totals[-1]:.2f}"


def train_in_a_group(place: Place) -> str:
    """One process in a group of NCCL (gloo on a CPU): DDP's buckets, broadcasts and barriers."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment

    import pamm.training.loop
    from pamm.runtime.distributed import end

    def launch(devices: int, *, precision: Any, **_: Any) -> Fabric:
        fabric = Fabric(
            accelerator=place.device,
            strategy="ddp",
            devices=devices,
            precision=precision,
            plugins=[LightningEnvironment()],
        )
        fabric.launch()
        return fabric

    with mock.patch.object(pamm.training.loop, "launch", launch):
        found = train(["--train.precision", "bf16-mixed"], place)
    backend = torch.distributed.get_backend()
    summed = torch.ones(3, device=place.device)
    torch.distributed.all_reduce(summed)
    end([])
    if summed.tolist() != [1, 1, 1]:
        raise RuntimeError(f"a sum over one process gave {summed.tolist()}")
    return f"{backend}: {found}"


def evaluate(place: Place) -> str:
    command("evaluate", place.run, "--device", place.device, "--batch-size", 2)
    (report,) = place.run.glob("last-*/metrics.json")
    return f"{len(json.loads(report.read_text('utf-8'))['scores'])} tasks scored"


def predict(precision: str, place: Place) -> str:
    out = place.folder / f"predictions-{precision}"
    images = sorted((place.data / "images").iterdir())[:2]
    command(
        *("predict", place.run, *images, "--out", out),
        *("--device", place.device, "--precision", precision),
    )
    return f"{len(list(out.glob('*/overview.png')))} images"


# Speed


def bench_scan(place: Place) -> str:
    """All that runs here but the sequential loop."""
    from pamm.bench.implementations import PEERS, SEQUENTIAL, missing
    from pamm.ops.scan import BACKENDS

    absent = missing(place.device)
    names = [n for n in (*BACKENDS, *PEERS) if n not in absent and n != SEQUENTIAL]
    shapes = ["tiny"] if place.small else ["S1", "S2"]
    out = place.folder / "bench-scan.json"
    command(
        *("bench", "scan", "--device", place.device, "--rounds", 1 if place.small else 5),
        *("--limit", 5, "--shapes", *shapes, "--backends", *names, "--out", out),
    )
    return timings(out, skip="forward")


def bench_model(place: Place) -> str:
    backend = "triton" if place.device == "cuda" else "reference"
    preset = "synthetic-tiny" if place.small else "nyud-vit-b"
    out = place.folder / "bench-model.json"
    command(
        *("bench", "model", "--device", place.device, "--rounds", 1 if place.small else 5),
        *("--presets", preset, "--size", *place.size, "--limit", 10, "--train"),
        *("--backends", backend, "--out", out),
    )
    return timings(out)


def timings(report: Path, skip: str = "") -> str:
    """The medians of a benchmark's report."""
    found = []
    for result in json.loads(report.read_text("utf-8"))["results"]:
        if result["problem"]:
            raise RuntimeError(f"{result['implementation']}: {result['problem']}")
        if result["part"] != skip:
            case = f"{result['case']} {result['part']} {result['implementation']}"
            found.append(f"{case} {1e3 * median(result['seconds']):.3g} ms")
    return ", ".join(found)


Part = Callable[[Place], str]


def parts(place: Place) -> dict[str, tuple[float, Part]]:
    """Seconds that each may take, and what it does; what takes longest comes last."""
    half, bfloat = ["--train.precision", "16-mixed"], ["--train.precision", "bf16-mixed"]
    found: dict[str, tuple[float, Part]] = {
        "kernels, float32": (90, partial(check_kernels, torch.float32, False, 1e-5)),
        "kernels, bfloat16": (60, partial(check_kernels, torch.bfloat16, False, 2**-8)),
        "kernels, float16": (60, partial(check_kernels, torch.float16, False, 2**-10)),
        "kernels, bfloat16 autocast": (60, partial(check_kernels, torch.bfloat16, True, 2**-8)),
        "kernels, float16 autocast": (60, partial(check_kernels, torch.float16, True, 2**-10)),
        "data": (90, make_data),
        "training, float32": (120, partial(train, [], run=place.run)),
        "evaluation": (60, evaluate),
        "prediction, float32": (60, partial(predict, "32-true")),
        "prediction, bfloat16": (60, partial(predict, "bf16-mixed")),
        "training, bfloat16": (90, partial(train, bfloat)),
        "training, float16": (90, partial(train, half)),
        "training, gradient checkpointing": (
            90, partial(train, [*bfloat, "--train.gradient-checkpointing"]),
        ),
        "training, one process in a group": (90, train_in_a_group),
        "bench scan": (120, bench_scan),
        "bench model": (120, bench_model),
        "training, compiled": (240, partial(train, [*bfloat, "--train.compile"])),
    }  # fmt: skip
    if place.device == "cpu":
        del found["training, compiled"]  # wants a C++ compiler there
        del found["training, float16"]  # is for GPUs
    return found


def run_part(part: Part, place: Place, log: Path | None) -> Iterator[tuple[str, int | None]]:
    """Do it; yields its result and the peak of the memory. What is printed goes to `log`."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    with contextlib.ExitStack() as stack:
        if log:  # also of its own processes
            file = stack.enter_context(log.open("w", encoding="utf-8"))
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        memory, result = peak_memory(partial(part, place), place.device)
        yield result, memory


def check(
    listed: dict[str, tuple[float, Part]], place: Place, *, minutes: float, apart: bool
) -> list[Row]:
    """All parts, one after the other, as far as the time goes.

    Args:
        listed: the parts and their seconds.
        place: where.
        minutes: for all of them.
        apart: each in a process of its own, which may crash, hang or run out of memory.
    """
    end, rows = time.monotonic() + 60 * minutes, []
    for name, (limit, part) in listed.items():
        start = time.monotonic()
        seconds = min(limit, end - start)
        found: list[Any] = []
        if seconds < 1:
            problem = f"no time was left of {minutes:g} minutes"
        elif apart:
            log = place.folder / f"{name.replace(', ', '-').replace(' ', '-')}.log"
            found, problem = in_own_process(run_part, part, place, log, seconds=seconds)
        else:
            try:
                found, problem = list(run_part(part, place, None)), ""
            except Exception as error:
                problem = " ".join(f"{type(error).__name__}: {error}".split())
        result, memory = found[0] if found else (problem or "gave no result", None)
        took = round(time.monotonic() - start, 1)
        row = Row(part=name, ok=bool(found), seconds=took, memory=memory, result=result)
        rows.append(row)
        print(f"{'ok' if row.ok else 'FAILED':7}{name} ({took:.0f} s)", flush=True)
    return rows


def report(rows: Sequence[Row], out: Path, place: Place) -> None:
    """Print the table; write it to `out`.txt and the numbers to `out`.json."""
    table = Table()
    for name, justify in (("part", "left"), ("", "left"), ("s", "right"), ("memory", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("result")
    for row in rows:
        state, took = "ok" if row.ok else "FAILED", f"{row.seconds:.0f}"
        table.add_row(row.part, state, took, megabytes(row.memory), row.result)
    about = machine(torch.get_num_threads())
    record = {"machine": about, "device": place.device, "rows": [asdict(row) for row in rows]}
    write_text(out.with_suffix(".json"), json.dumps(record, indent=1) + "\n")
    terminal = console()
    with terminal.capture() as captured:
        terminal.print(table)
    text = captured.get()
    write_text(out.with_suffix(".txt"), text)
    print(text, end="")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("gpu-check"), help="of .json and .txt")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=9.5, help="for everything")
    parser.add_argument("--small", action="store_true", help="tiny models and problems")
    parser.add_argument("--here", action="store_true", help="all parts in this process")
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        print(
            "gpu-check: PyTorch can use no GPU here; to rehearse: --device cpu --small",
            file=sys.stderr,
        )
        return 2
    if given.device == "cuda" and util.find_spec("triton") is None:
        print("gpu-check: Triton is missing; it comes with PyTorch for GPUs", file=sys.stderr)
        return 2
    folder = given.out.with_suffix(".work").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["PAMM_CACHE"] = str(folder / "cache")
    os.environ["HF_HUB_OFFLINE"] = "1"
    place = Place(device=given.device, folder=folder, small=given.small)
    rows = check(parts(place), place, minutes=given.minutes, apart=not given.here)
    report(rows, given.out, place)
    failed = sum(not row.ok for row in rows)
    if failed:
        print(f"{failed} of {len(rows)} parts failed; what they printed is in {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
