"""The problems of the benchmark of the scan: shapes, arguments, and both passes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pamm.bench.implementations import Scan
from pamm.model.scan_order import make_orders

FORWARD, BOTH = PARTS = ("forward", "forward + backward")


class Shape(NamedTuple):
    """Of a problem; each has four Hilbert directions."""

    batch: int
    channels: int
    height: int
    width: int
    state: int

    def updates(self) -> int:
        """Of the state: channels x states x positions x directions of all samples."""
        return self.batch * self.channels * self.height * self.width * self.state * 4

    def __str__(self) -> str:
        return (
            f"batch {self.batch}, {self.channels} channels, {self.height}x{self.width} positions, "
            f"{self.state} states, 4 directions"
        )


SHAPES = {
    "S1": Shape(1, 1536, 28, 36, 16),
    "S2": Shape(1, 2048, 32, 32, 64),
    "S3": Shape(4, 192, 8, 8, 8),
    "tiny": Shape(1, 8, 3, 4, 2),
}


@dataclass(frozen=True)
class Problem:
    """Arguments as a model in training has them, and a gradient of the output."""

    tensors: tuple[Tensor, ...]
    orders: Tensor
    grad_y: Tensor


def make_problem(shape: Shape, device: str) -> Problem:
    """Always the same of a shape."""
    generator = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    batch, channels, height, width, state = shape
    length = height * width
    u, delta, grad_y = (normal(batch, channels, length) for _ in range(3))
    A = -torch.arange(1.0, state + 1) * torch.exp(0.1 * normal(channels, state))
    B, C = (normal(batch, state, length) for _ in range(2))
    D = 1 + 0.1 * normal(channels)
    step = 10 ** (-3 + 2 * torch.rand(channels, generator=generator))  # 0.001 to 0.1
    bias = step + torch.log(-torch.expm1(-step))  # the inverse of softplus
    tensors = tuple(v.to(device) for v in (u, 0.5 * delta, A, B, C, D, bias))
    orders = make_orders("hilbert", height, width).to(device)
    return Problem(tensors, orders, grad_y.to(device))


def run_part(part: str, scan: Scan, problem: Problem) -> list[Tensor]:
    """y; with the backward pass, y and the gradients in all seven tensors."""
    if part == FORWARD:
        with torch.no_grad():
            return [scan(*problem.tensors, problem.orders)]
    leaves = [v.detach().requires_grad_() for v in problem.tensors]
    y = scan(*leaves, problem.orders)
    return [y.detach(), *torch.autograd.grad(y, leaves, problem.grad_y)]


def largest_difference(results: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Over the tensors, the largest difference relative to the largest number expected."""
    pairs = zip(results, expected, strict=True)
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)
