"""Linear layers through oneDNN.

On x86 processors PyTorch multiplies float32 matrices with MKL, which uses AVX-512 on Intel's
processors only: half of the speed on others that have it. Its convolutions go through oneDNN, which
asks for the instructions and not for the maker. oneDNN has linear layers too, forward and backward;
PyTorch uses them for tensors of the layout `mkldnn`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.dim() > 1
        and torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
    )


def replace_linear_layers(net: nn.Module) -> None:
    """Make every `nn.Linear` in a network a `Linear`; parameters and their names stay."""
    for module in net.modules():
        if type(module) is nn.Linear:
            module.__class__ = Linear
