"""Linear layers through oneDNN, where MKL is slow.

On x86 processors PyTorch multiplies float32 matrices with MKL, which uses AVX-512 on Intel's
processors only: half of the speed on others that have it. Its convolutions go through oneDNN, which
asks for the instructions and not for the maker. oneDNN has linear layers too, forward and backward;
PyTorch uses them for tensors of the layout `mkldnn`. On Intel's processors MKL is the faster one.
"""

import platform
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pamm.ops import is_plain

CPU_INFO = Path("/proc/cpuinfo")
MOST_DIMENSIONS = 5
"""That a tensor of the layout `mkldnn` may have."""


class Linear(nn.Linear):
    """`nn.Linear`, through oneDNN where that can be: float32, on a CPU, not compiled or traced."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        if not use_onednn(x):
            return super().forward(x)
        return F.linear(x.to_mkldnn(), self.weight, self.bias).to_dense()


def use_onednn(x: Tensor) -> bool:
    """Whether a linear layer of x can go through oneDNN."""
    return (
        is_plain(x)
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and 1 < x.dim() <= MOST_DIMENSIONS
        and mkl_is_slow()
        and torch.backends.mkldnn.is_available()
        and not torch.is_autocast_enabled("cpu")
        and not torch.jit.is_tracing()
    )


@cache
def mkl_is_slow() -> bool:
    """Whether PyTorch multiplies with MKL, on a processor that is not Intel's."""
    try:
        processor = CPU_INFO.read_text("utf-8", "replace")
    except OSError:
        processor = platform.processor()
    return torch.backends.mkl.is_available() and "GenuineIntel" not in processor


def replace_linear_layers(net: nn.Module) -> None:
    """Make every `nn.Linear` in a network a `Linear`; parameters and their names stay."""
    for module in net.modules():
        if type(module) is nn.Linear:
            module.__class__ = Linear
