"""Weights in fewer bits, to be shipped: 16, or 8 with a scale for each row of a matrix.

What is read back is 32 bits again, so nothing else knows of it.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Bits = Literal[8, 16]
SCALE = ".scale"
"""Behind the name of a tensor of 8 bits: the tensor of its rows' scales."""
LEVELS = 127
ROWS = 8
"""Matrices of fewer rows are too few scales for 8 bits, and have 16."""
_HALF_ENDS = 65_504.0  # the largest number of 16 bits


def pack(tensors: Mapping[str, Tensor], bits: Bits) -> dict[str, Tensor]:
    """Matrices, kernels and embeddings in fewer bits; vectors, such as biases and norms, stay.

    With 8 bits a row w (all that belongs to one output channel) is round(w / s) with s = max|w| /
    127, so that no weight changes by more than s / 2.
    """
    packed = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or tensor.ndim < 2:
            packed[name] = tensor
        elif bits == 16 or tensor.shape[0] < ROWS:
            fits = float(tensor.abs().max()) < _HALF_ENDS
            packed[name] = tensor.half() if fits else tensor
        else:
            rows = tensor.detach().float().flatten(1)
            scale = rows.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / LEVELS
            packed[name] = (rows / scale[:, None]).round().to(torch.int8).reshape(tensor.shape)
            packed[name + SCALE] = scale
    return packed


def unpack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `pack` was given, but for what the fewer bits do not hold; other tensors as they are."""
    whole = {}
    for name, tensor in tensors.items():
        scale = tensors.get(name + SCALE)
        if tensor.dtype == torch.int8 and scale is not None and scale.shape == tensor.shape[:1]:
            whole[name] = tensor.float() * scale.view(-1, *[1] * (tensor.ndim - 1))
        elif tensor.dtype == torch.float16:
            whole[name] = tensor.float()
        elif not (name.endswith(SCALE) and name.removesuffix(SCALE) in tensors):
            whole[name] = tensor
    return whole
