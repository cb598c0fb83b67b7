"""Reductions over the channels of maps (B, C, ...): axis 1, short, its numbers far apart in memory.

torch's own take 4 to 50 times as long on a CPU, since they go along that axis for every pixel
(`benchmarks/channels.py`).
"""

from torch import Tensor


def length(x: Tensor) -> Tensor:
    """The Euclidean norm of the channels: (B, C, ...) -> (B, ...)."""
    return _square(x).sqrt()


def unit(x: Tensor, *, shortest: float) -> Tensor:
    """Over the Euclidean norm of the channels, a shorter one counting as `shortest`; same shape.

    As `torch.nn.functional.normalize`, with its gradient.
    """
    return x / _square(x).clamp_min(shortest**2).sqrt()[:, None]


def largest(x: Tensor) -> Tensor:
    """Which channel is the largest, the first of equal ones: (B, C, ...) -> int64 (B, ...)."""
    return x.max(dim=1).indices


def _square(x: Tensor) -> Tensor:
    return x.square().sum(dim=1)
