"""Seconds of the decoder's enlarged 3x3 convolution, as two plain operations and at the small size.

    python benchmarks/head.py [--rounds 5] [--threads 2]

One task's map of NYUD-v2 with ViT-B (768 channels, 28x36) and a batch of the demo's (32 channels,
12x16, 8 images); forward alone and with its gradients, in turn. Printed: medians and ratios.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from pamm.model.layers.upsampled_conv import upsampled_conv3x3
from pamm.runtime.memory import keep_freed_memory


def plain(x: Tensor, weight: Tensor) -> Tensor:
    """Enlarge, then convolve."""
    enlarged = F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)
    return F.conv2d(enlarged, weight, padding=1)


def seconds(function: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor) -> float:
    """Of one call; with gradients if the arguments want them."""
    start = time.perf_counter()
    y = function(x, weight)
    if y.requires_grad:
        torch.autograd.grad(y, (x, weight), torch.ones_like(y))
    return time.perf_counter() - start


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    for shape in ((1, 768, 28, 36), (8, 32, 12, 16)):
        for gradients in (False, True):
            x = torch.randn(shape, requires_grad=gradients)
            weight = torch.randn(shape[1], shape[1], 3, 3, requires_grad=gradients)
            times: dict[Callable, list[float]] = {plain: [], upsampled_conv3x3: []}
            for i in range(arguments.rounds + 1):
                for function, samples in times.items():
                    taken = seconds(function, x, weight)
                    if i:  # the first call of each warms it up
                        samples.append(taken)
            before, after = (statistics.median(samples) for samples in times.values())
            part = "forward + backward" if gradients else "forward"
            print(f"{shape} {part}: {before:.4f} s and {after:.4f} s, ratio {before / after:.2f}")


if __name__ == "__main__":
    main()
