"""Whether a tensor holds numbers, and is not what a mode of PyTorch passes around in its place."""

import torch
from torch import Tensor


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor has memory of its own, whose numbers can be read and kept.

    Not those that compiling, torch.export, FakeTensorMode, the device "meta" and the transforms of
    torch.func make: they have a shape only, or end with their mode.
    """
    if torch.compiler.is_compiling() or type(tensor) not in (Tensor, torch.nn.Parameter):
        return False
    if tensor.is_meta:
        return False
    try:
        return tensor.data_ptr() != 0 or tensor.numel() == 0
    except RuntimeError:  # a wrapper of another tensor has no memory
        return False
