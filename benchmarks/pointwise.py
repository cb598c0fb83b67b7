"""Seconds of the 1x1 convolutions per task: torch's with groups, and one product of matrices.

    python benchmarks/pointwise.py [--rounds 30] [--threads 2]

The shapes of PAME in the demo (6 tasks, batch of 8, 12x16) and in nyud-vit-b (4 tasks, one image,
28x36), in turn. Printed: the lower quartile of forward and of the gradients, and the ratios.
"""

import argparse
import time

import torch
from torch import Tensor
from torch.nn import functional as F

from pamm.model.layers.per_task import Pointwise
from pamm.runtime.memory import keep_freed_memory

SHAPES = [  # batch, tasks, channels in and out of a task, height, width
    (8, 6, 32, 32, 12, 16),
    (8, 6, 32, 64, 12, 16),
    (8, 6, 64, 32, 12, 16),
    (8, 6, 64, 16, 12, 16),
    (8, 6, 64, 15, 1, 1),
    (1, 4, 768, 768, 28, 36),
    (1, 4, 768, 1536, 28, 36),
    (1, 4, 1536, 384, 28, 36),
]


def convolution(layer: Pointwise, x: Tensor) -> Tensor:
    """What torch makes of it."""
    return F.conv2d(x, layer.weight, layer.bias, groups=layer.groups)


def product(layer: Pointwise, x: Tensor) -> Tensor:
    """What the package makes of it."""
    y: Tensor = layer(x)
    return y


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    for batch, tasks, inputs, outputs, height, width in SHAPES:
        layer = Pointwise(tasks, inputs, outputs)
        x = torch.randn(batch, tasks * inputs, height, width, requires_grad=True)
        grad = torch.randn(batch, tasks * outputs, height, width)
        times: dict[str, list[tuple[float, float]]] = {"convolution": [], "product": []}
        for i in range(arguments.rounds + 3):
            for function in (convolution, product):
                start = time.perf_counter()
                y = function(layer, x)
                middle = time.perf_counter()
                torch.autograd.grad(y, (x, layer.weight, layer.bias), grad)
                end = time.perf_counter()
                if i > 2:  # the first calls warm up
                    times[function.__name__].append((middle - start, end - middle))
        low = {
            name: [sorted(part)[len(part) // 4] * 1e3 for part in zip(*samples, strict=True)]
            for name, samples in times.items()
        }
        before, after = low["convolution"], low["product"]
        print(
            f"{batch} x {tasks} tasks, {inputs} -> {outputs}, {height}x{width}: "
            f"forward {before[0]:.3f} and {after[0]:.3f} ms, ratio {before[0] / after[0]:.2f}; "
            f"gradients {before[1]:.3f} and {after[1]:.3f} ms, ratio {before[1] / after[1]:.2f}"
        )


if __name__ == "__main__":
    main()
