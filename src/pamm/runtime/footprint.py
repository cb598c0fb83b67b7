"""How much memory a network needs for an image, known without running it on one."""

import weakref
from collections import Counter
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pamm.runtime.inference import evaluation_view, uncompiled

PROBE = (256, 256)
UNKNOWN = 1000.0  # bytes per pixel of a network that cannot be tried: more than those that can
_found: weakref.WeakKeyDictionary[nn.Module, float] = weakref.WeakKeyDictionary()


def bytes_per_pixel(network: nn.Module) -> float:
    """The most memory that a network's intermediate results take at once, for a pixel of the image.

    In evaluation, without a gradient. Tried once, on tensors without memory; it grows with the
    number of pixels, so one size serves. What a library's own work areas take is not in it: up to a
    half more was measured.
    """
    network = uncompiled(network)
    if network not in _found:
        try:
            _found[network] = _tried(evaluation_view(network))
        except Exception:  # somebody's network may do anything that tensors without memory cannot
            _found[network] = UNKNOWN
    return _found[network]


def _tried(network: nn.Module) -> float:
    state = {
        name: tensor.to("meta")
        for name, tensor in chain(network.named_parameters(), network.named_buffers())
    }
    like = next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.float32)
    image = torch.empty(1, 3, *PROBE, device="meta", dtype=like)
    with torch.no_grad(), Alive() as alive:
        functional_call(network, state, image)
    return alive.most / (PROBE[0] * PROBE[1])


class Alive(TorchDispatchMode):
    """Adds up the memory of the tensors that operations within it make, while these are there."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._users: Counter[int] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                key, size = storage._cdata, storage.nbytes()
                if not self._users[key]:
                    self.now += size
                self._users[key] += 1
                weakref.finalize(tensor, self._gone, key, size)
        self.most = max(self.most, self.now)
        return result

    def _gone(self, key: int, size: int) -> None:
        self._users[key] -= 1
        if not self._users[key]:
            self.now -= size
