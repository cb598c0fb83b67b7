"""Milliseconds of a ViT's linear layers: torch's own, and through oneDNN as `Linear` does it.

    python benchmarks/linear.py [--rounds 9] [--threads 2]

Those of a block of ViT-B and of ViT-L on 28x36 positions, forward and with gradients, in turn.
The package uses oneDNN where the processor is not Intel's; here both are timed on any. Printed: the
lower quartile of each, and the ratio.
"""

import argparse
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from pamm.bench.timing import timed
from pamm.model.layers.linear import mkl_is_slow
from pamm.runtime.memory import keep_freed_memory

POSITIONS = 28 * 36 + 1
Layer = Callable[[Tensor], Tensor]


def through_onednn(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What `pamm.model.layers.linear.Linear` computes where it takes oneDNN."""
    return F.linear(x.to_mkldnn(), weight, bias).to_dense()


def quartiles(passes: tuple[Callable[[], object], ...], rounds: int) -> list[float]:
    """The lower quartile of each in ms, in turn."""
    times: list[list[float]] = [[] for _ in passes]
    for i in range(rounds + 2):
        for function, samples in zip(passes, times, strict=True):
            seconds, _ = timed(function)
            if i > 1:  # the first calls warm up
                samples.append(seconds * 1e3)
    return [sorted(samples)[len(samples) // 4] for samples in times]


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    print(f"the package takes {'oneDNN' if mkl_is_slow() else 'torch'}'s on this processor")
    for width in (768, 1024):
        for inputs, outputs in ((width, 3 * width), (width, 4 * width), (4 * width, width)):
            layer = torch.nn.Linear(inputs, outputs)
            x = torch.randn(1, POSITIONS, inputs, requires_grad=True)
            own: Layer = layer
            onednn: Layer = lambda x, f=layer: through_onednn(x, f.weight, f.bias)  # type: ignore[misc]  # noqa: E731
            wanted = (x, *layer.parameters())
            forward = quartiles((lambda: own(x), lambda: onednn(x)), arguments.rounds)  # noqa: B023
            both = quartiles(
                tuple(
                    lambda f=f: torch.autograd.grad(f(x).sum(), wanted)  # type: ignore[misc]  # noqa: B023
                    for f in (own, onednn)
                ),
                arguments.rounds,
            )
            for what, (before, after) in (("forward", forward), ("with gradients", both)):
                ratio = before / after
                print(
                    f"{inputs} -> {outputs}, {what}: {before:.1f} and {after:.1f} ms, "
                    f"ratio {ratio:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
