"""Tensors that are a function of plain values, such as a map's size, made once for each device.

They are kept between calls. So nothing may be kept that a mode of PyTorch has a hand in: a fake
tensor of torch.export would break every later call.
"""

from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pamm.ops import is_plain

Make = Callable[..., Tensor]


def constant(make: Make, *arguments: Hashable, like: Tensor) -> Tensor:
    """`make(*arguments)`, for calculations with the tensor `like`.

    On the device of `like`, floats also in its dtype. The same object in every call where `like` is
    plain; where it is not, a new one that belongs to the mode.
    """
    if is_plain(like):
        return _kept(make, arguments, like.device, like.dtype)
    return _for(torch.from_numpy(_array(make, arguments)), like.device, like.dtype)


@lru_cache(maxsize=256)
def _kept(make: Make, arguments: tuple, device: torch.device, dtype: torch.dtype) -> Tensor:
    return _without_modes(lambda: _for(make(*arguments), device, dtype))


@lru_cache(maxsize=256)
def _array(make: Make, arguments: tuple) -> np.ndarray:
    return _without_modes(lambda: make(*arguments).numpy())


def _without_modes(make: Callable[[], Any]) -> Any:
    """In a thread of its own, since modes belong to the thread that enters them."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(make).result()


def _for(tensor: Tensor, device: torch.device, dtype: torch.dtype | None) -> Tensor:
    return tensor.to(device, dtype if tensor.is_floating_point() else None)
