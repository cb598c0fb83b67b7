"""Sharding (FSDP): each process keeps a share of the weights, gradients and optimiser state.

The weights of a block are gathered when it runs, forward and backward, and dropped after it. What
is computed is what DDP computes. What is read and written is whole: checkpoints are the same
however the training that made them was divided.

Functions that gather or share out are called by all processes, together.
"""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from pamm.errors import PammError
from pamm.model import Model
from pamm.runtime.distributed import is_first


def shard(network: Model, mesh: Any) -> Model:
    """Leave to this process its share of a network; in place.

    Args:
        network: the same weights in all processes.
        mesh: the processes, as Fabric arranges them: a DeviceMesh with an axis "data_parallel".

    Raises:
        PammError: PyTorch is too old.
    """
    try:
        from torch.distributed.fsdp import fully_shard
    except ImportError:
        raise PammError(
            f"strategy: 'fsdp' wants PyTorch 2.6 or newer, this is {torch.__version__}: update it, "
            "or leave --train.strategy ddp"
        ) from None
    # The logits are views, cropped from the padded ones. Nothing here changes them in place, which
    # is what PyTorch warns of at every first step.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    processes = mesh["data_parallel"]
    for block in network.blocks():
        fully_shard(block, mesh=processes)
    fully_shard(network, mesh=processes)  # what is in no block
    return network


@torch.no_grad()
def gather_weights(network: nn.Module, into: nn.Module) -> None:
    """Copy the weights and statistics of a sharded network into a whole one, on any device."""
    for to, parameter in zip(into.parameters(), network.parameters(), strict=True):
        to.copy_(whole(parameter))
    for copied, buffer in zip(into.buffers(), network.buffers(), strict=True):
        copied.copy_(buffer)


def optimizer_state(optimizer: Any) -> dict[str, Any]:
    """The state dict of an optimiser, whole and on the CPU in the first process, if sharded.

    The others take part and get what is of no use: they have nothing to write.
    """
    saved = optimizer.state_dict()
    state: dict[int, dict] = {i: {} for i in saved["state"]}
    for i, values in saved["state"].items():
        for name, value in values.items():
            full = whole(value)  # one at a time: all of them may not fit
            if is_first():
                state[i][name] = full if full is value else full.cpu()
    return {**saved, "state": state}


def load_optimizer_state(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Put what `optimizer_state` gave to the first process in place, sharded or not."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state = {
        i: {name: share(value, parameters[i]) for name, value in values.items()}
        for i, values in saved["state"].items()
    }
    settings = optimizer.state_dict()["param_groups"]  # of the configuration, not of the file
    optimizer.load_state_dict({"state": state, "param_groups": settings})


def whole(tensor: Any) -> Any:
    """All of a sharded tensor; anything else as it is."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def share(tensor: Any, parameter: Any) -> Any:
    """This process's share of what belongs to the elements of a parameter, if that is sharded."""
    if not (hasattr(parameter, "full_tensor") and isinstance(tensor, Tensor)):
        return tensor
    if tensor.shape != parameter.shape:  # such as the number of steps
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements)
