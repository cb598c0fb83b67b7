"""Milliseconds of reductions over few channels: torch's own, and those of `pamm.runtime.channels`.

    python benchmarks/channels.py [--rounds 15] [--threads 2]

On maps of 448x576, in turn. Printed: the lower quartile of each, and the ratio.
"""

import argparse
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from pamm.bench.timing import timed
from pamm.runtime.channels import largest, length, unit
from pamm.runtime.memory import keep_freed_memory

SIZE = (448, 576)
Pass = Callable[[], object]


def with_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Pass:
    """Forward and backward."""
    return lambda: torch.autograd.grad(function(x).sum(), x)


def cases() -> dict[str, tuple[Pass, Pass]]:
    """{what: (before, after)}."""
    x = torch.randn(1, 3, *SIZE)
    trained, double = x.clone().requires_grad_(), x.double()
    found: dict[str, tuple[Pass, Pass]] = {
        "unit vectors": (lambda: F.normalize(x, dim=1), lambda: unit(x, shortest=1e-12)),
        "unit vectors and their gradient": (
            with_gradient(lambda v: F.normalize(v, dim=1), trained),
            with_gradient(lambda v: unit(v, shortest=1e-12), trained),
        ),
        "length in float64": (lambda: double.norm(dim=1), lambda: length(double)),
    }
    for channels in (2, 7, 21, 40):
        y = torch.randn(1, channels, *SIZE)
        found[f"the largest of {channels}"] = (
            lambda y=y: y.argmax(dim=1),  # type: ignore[misc]
            lambda y=y: largest(y),  # type: ignore[misc]
        )
    return found


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    for what, passes in cases().items():
        times: tuple[list[float], list[float]] = ([], [])
        for i in range(arguments.rounds + 3):
            for function, samples in zip(passes, times, strict=True):
                seconds, _ = timed(function)
                if i > 2:  # the first calls warm up
                    samples.append(seconds * 1e3)
        before, after = (sorted(samples)[len(samples) // 4] for samples in times)
        print(f"{what}: {before:.2f} and {after:.2f} ms, ratio {before / after:.1f}", flush=True)


if __name__ == "__main__":
    main()
