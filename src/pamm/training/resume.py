"""What a resumed training needs beside the model: reading it from a checkpoint, and making it."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from pamm import checkpoint
from pamm.checkpoint import TRAINING, check_labels, read_description
from pamm.errors import PammError
from pamm.predictor import Predictor
from pamm.runtime.run_folder import newest, step_of
from pamm.runtime.tensor_files import alike, check_tensors, damaged_training, read_training
from pamm.training.sharding import load_optimizer_state, optimizer_state


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """A run's newest checkpoint, put in place but for the optimiser, which is made later."""

    step: int
    """The steps done; 0 where there was no checkpoint."""
    eval_model: Predictor
    """What is validated and saved."""
    state: Mapping[str, Any]
    """The rest of what `training_state` gave; empty where there was no checkpoint."""
    file: Path
    """Where it was read from."""

    def optimizer(self, optimizer: Any, fabric: Fabric) -> None:
        """Put the state of the optimiser in place, and the scale of the gradients in 16-mixed.

        Raises:
            PammError: they are of another optimiser or precision.
        """
        if not self.step:
            return
        precision = fabric.strategy.precision
        check_optimizer_state(self.state["optimizer"], optimizer, self.file)
        check_numbers(self.state["precision"], precision.state_dict(), self.file)
        load_optimizer_state(optimizer, self.state["optimizer"])
        if self.state["precision"]:
            precision.load_state_dict(dict(self.state["precision"]))


def restore(run: Path, trained: Predictor, *, averaged: bool, sharded: bool) -> Resumed:
    """Put the weights of a run's newest checkpoint in place, if there is one.

    Args:
        run: the run directory.
        trained: the network that is trained, with its tasks; neither sharded nor moved to a device
            yet.
        averaged: whether an average of the weights is validated and saved.
        sharded: whether the network will be, so that a whole one beside it is validated and saved.

    Raises:
        PammError: the checkpoint is damaged, or of another model, data set or training.
    """
    folder, state = newest(run, "last"), {}
    network: Any = trained.network
    if folder:
        saved = read_description(folder)
        if saved.format != checkpoint.FORMAT:
            raise PammError(
                f"{str(folder)!r} has format {saved.format}, of an older version: it evaluates and "
                "predicts, but its training cannot go on here; choose another --out"
            )
        config = replace(network.config, pretrained=False)
        if saved.model != config or list(saved.model.tasks) != list(config.tasks):
            raise PammError(f"{str(folder)!r} holds another model than the one that is trained")
        check_labels(saved.tasks, trained.tasks, where=f"{str(folder)!r} was trained")
        checkpoint.load_weights(network, folder)
        state = read_training(folder / TRAINING)
        if state.keys() != {"optimizer", "precision", *(["weights"] if averaged else [])}:
            raise damaged_training(folder / TRAINING, "the state in it is that of another training")
    file = (folder or run) / TRAINING
    eval_model = copy.deepcopy(trained) if averaged or sharded else trained
    if "weights" in state:  # the model is their average
        check_tensors(state["weights"], network.state_dict(), file)
        network.load_state_dict(state.pop("weights"))
    return Resumed(
        step=step_of(folder) if folder else 0,
        eval_model=eval_model,
        state=state,
        file=file,
    )


def check_optimizer_state(saved: Any, optimizer: Any, file: Path) -> None:
    """Raise unless a file's state is one of this optimiser: a wrong shape would crash its step."""
    groups: list[dict[str, Any]] = optimizer.param_groups
    parameters = [p for group in groups for p in group["params"]]
    ours = [(len(g["params"]), g["weight_decay"], g["lr_scale"]) for g in groups]
    try:
        theirs = [
            (len(g["params"]), g["weight_decay"], g["lr_scale"]) for g in saved["param_groups"]
        ]
        numbers = [i for group in saved["param_groups"] for i in group["params"]]
        fits = theirs == ours and numbers == list(range(len(parameters)))
        for i, values in saved["state"].items():
            fits = fits and 0 <= i < len(parameters) and is_state(values, parameters[i])
    except (KeyError, TypeError, AttributeError, IndexError):
        fits = False
    if not fits:
        raise damaged_training(file, "the state in it is that of another optimiser")


def is_state(values: Mapping[str, Any], parameter: Tensor) -> bool:
    """Whether these are the averages that Adam keeps of a parameter, and its number of steps."""
    return (
        values.keys() == {"step", "exp_avg", "exp_avg_sq"}
        and alike(values["step"], torch.zeros(()))
        and all(
            alike(values[name], parameter) and values[name].dtype == parameter.dtype
            for name in ("exp_avg", "exp_avg_sq")
        )
    )


def check_numbers(given: Any, wanted: Mapping[str, Any], file: Path) -> None:
    """Raise unless a file's state of the precision has these keys, and finite numbers."""
    if not (
        isinstance(given, dict)
        and given.keys() == wanted.keys()
        and all(isinstance(v, int | float) and math.isfinite(v) for v in given.values())
    ):
        raise damaged_training(file, "the state in it is that of another precision")


def training_state(
    network: nn.Module, optimizer: Any, fabric: Fabric, *, averaged: bool
) -> dict[str, Any]:
    """What `restore` needs beside the model: the weights too, where the model is their average."""
    state = {
        "optimizer": optimizer_state(optimizer),
        "precision": fabric.strategy.precision.state_dict(),
    }
    return {**state, "weights": network.state_dict()} if averaged else state
