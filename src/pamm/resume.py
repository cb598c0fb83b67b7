"""What a resumed training needs beside the model: reading it from a checkpoint, and making it."""

import copy
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from pamm import checkpoint
from pamm.model import PAMM
from pamm.sharding import load_optimizer_state, optimizer_state


def restore(run: Path, network: PAMM, *, apart: bool) -> tuple[int, PAMM, dict[str, Any]]:
    """Put the weights of a run's newest checkpoint in place, if there is one.

    Args:
        run: the run directory.
        network: the one that is trained; neither sharded nor moved to a device yet.
        apart: whether another one is validated and saved: an average, or a whole one.

    Returns:
        The steps done; the network that is validated and saved; what `restore_optimizer` needs.
    """
    folder, state = checkpoint.newest(run, "last"), {}
    if folder:
        checkpoint.load_weights(network, folder)
        state = checkpoint.load_training(folder)
    judged = copy.deepcopy(network) if apart else network
    if "weights" in state:  # the model is their average
        network.load_state_dict(state.pop("weights"))
    return checkpoint.step_of(folder) if folder else 0, judged, state


def restore_optimizer(state: dict[str, Any], optimizer: Any, fabric: Fabric) -> None:
    """The rest of `restore`, when the optimiser is made."""
    if state:
        load_optimizer_state(optimizer, state["optimizer"])
    if state.get("precision"):  # the scale of the gradients in 16-mixed
        fabric.strategy.precision.load_state_dict(state["precision"])


def training_state(
    network: PAMM, optimizer: Any, fabric: Fabric, *, averaged: bool
) -> dict[str, Any]:
    """What `restore` needs beside the model: the weights too, where the model is their average."""
    state = {
        "optimizer": optimizer_state(optimizer),
        "precision": fabric.strategy.precision.state_dict(),
    }
    return {**state, "weights": network.state_dict()} if averaged else state
