"""Layers with separate weights per task, as one operation over all tasks.

The features of T tasks travel as one map (B, T*C, h, w): the tasks are groups of channels. A
convolution with T groups is then T separate convolutions, a norm with T times as many groups is T
separate norms, and every weight of a task is a block of rows along the first axis, which is how
`PAMM` cuts a model down to a subset of its tasks.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from pamm.model.layers.batch_norm import count_batch, normalise


def conv(tasks: int, inputs: int, outputs: int, size: int, *, bias: bool = True) -> nn.Conv2d:
    """One size x size convolution per task, inputs -> outputs channels each, same map size."""
    return nn.Conv2d(
        tasks * inputs, tasks * outputs, size, padding=size // 2, groups=tasks, bias=bias
    )


class Pointwise(nn.Conv2d):
    """One 1x1 convolution per task, inputs -> outputs channels each.

    It is one product of matrices per image and task, with the weights of a convolution with groups,
    which takes torch up to twice the time (`benchmarks/pointwise.py`).
    """

    def __init__(self, tasks: int, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(tasks * inputs, tasks * outputs, 1, groups=tasks, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T*inputs, h, w) -> (B, T*outputs, h, w)."""
        if torch.compiler.is_compiling():  # what it takes for the strides of x is not what they are
            return super().forward(x)
        y = torch.matmul(self.matrix(), split(x, self.groups).flatten(3))
        if self.bias is not None:
            y += self.bias.view(self.groups, -1, 1)  # in place, as no gradient needs the product
        return y.flatten(1, 2).unflatten(2, x.shape[-2:])

    def matrix(self) -> Tensor:
        """(T, outputs, inputs): what the channels of each task are multiplied by."""
        return self.weight.view(self.groups, -1, self.weight.shape[1])


def depthwise(tasks: int, channels: int, size: int) -> nn.Conv2d:
    """One size x size filter per task and channel."""
    channels *= tasks
    return nn.Conv2d(channels, channels, size, padding=size // 2, groups=channels)


def group_norm(tasks: int, channels: int) -> nn.GroupNorm:
    """GroupNorm(32) per task; narrow maps get fewer groups, so that each has 4 channels or more."""
    groups = math.gcd(32, channels)
    while groups > 1 and channels // groups < 4:
        groups //= 2
    return nn.GroupNorm(tasks * groups, tasks * channels)


def batch_norm(tasks: int, channels: int) -> nn.BatchNorm2d:
    """BatchNorm per task (the statistics are per channel, so the tasks do not mix)."""
    return nn.BatchNorm2d(tasks * channels)


def batch_norm_of(task: int, norm: Any, x: Tensor) -> Tensor:
    """One task's part of a `batch_norm`, on its features (..., C), channels last."""
    C = x.shape[-1]
    channels = slice(task * C, (task + 1) * C)
    if task == 0:
        count_batch(norm)
    # (1, C, positions, 1), channels last in memory
    y = normalise(norm, x.reshape(1, -1, 1, C).movedim(-1, 1), channels)
    return y.movedim(1, -1).reshape(x.shape)


def split(x: Tensor, tasks: int) -> Tensor:
    """(B, T*C, ...) -> (B, T, C, ...), a view."""
    return x.unflatten(1, (tasks, -1))
