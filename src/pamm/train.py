"""Training: the loop, on Lightning Fabric. A run is a pure function of its configuration.

Every random number of step s on process r comes from (seed, s, r), and every batch from (seed, s),
so a run that was killed and resumed ends with the weights of an unbroken one, bit by bit.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader

from pamm import checkpoint
from pamm.data import (
    Batch,
    DataConfig,
    dataset_tasks,
    eval_dataset,
    evaluation_batches,
    select_tasks,
    train_dataset,
    training_batches,
)
from pamm.errors import PammError
from pamm.evaluate import evaluate
from pamm.files import write_text
from pamm.memory import keep_freed_memory
from pamm.model import PAMM, ModelConfig
from pamm.optim import OptimConfig, learning_rate, make_optimizer, set_learning_rate
from pamm.precision import Precision
from pamm.run_log import RunLog
from pamm.tasks import Task


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long, in what batches and with what precision; the defaults are the paper's."""

    steps: int = 40_000
    """Optimiser steps."""
    batch_size: int = 6
    """Images per step, over all processes and accumulated parts."""
    accumulate: int = 1
    """Parts that the batch of a process is computed in, one after the other, to save memory."""
    precision: Precision = "32-true"
    """Of the arithmetic; the weights stay in float32."""
    devices: int = 1
    """Processes on this machine, one GPU each where there are GPUs."""
    seed: int = 0
    """Of the initial weights, the order of the images, augmentation, drop path and router noise."""
    load_balancing: float = 0.0
    """Weight of the routers' load-balancing loss; 0 = off, as in the paper presets."""
    log_every: int = 50
    """Steps between two training records."""
    validate_every: int = 5_000
    """Steps between two validations; there is always one at the end."""
    checkpoint_every: int = 1_000
    """Steps between two checkpoints to resume from; there is always one at the end."""

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "batch_size",
            "accumulate",
            "devices",
            "log_every",
            "validate_every",
            "checkpoint_every",
        ):
            if getattr(self, name) < 1:
                raise PammError(f"{name}: got {getattr(self, name)}, want at least 1")
        if self.seed < 0:
            raise PammError(f"seed: got {self.seed}, want 0 or more")
        if self.batch_size % (self.accumulate * self.devices):
            raise PammError(
                f"batch_size: {self.batch_size} images do not divide into {self.devices} devices x "
                f"{self.accumulate} accumulated parts"
            )


def train(
    *,
    model: ModelConfig,
    data: DataConfig,
    optim: OptimConfig,
    settings: TrainConfig,
    run: Path,
    papers: Mapping[str, Any],
) -> Path:
    """Train a model; start from the newest checkpoint in `run` if there is one.

    Args:
        model, data, optim, settings: what to train, on what, and how.
        run: the run directory: gets last-<step>, best-<step>, metrics.jsonl and tensorboard.
        papers: {file name: JSON value}, what a new run directory should say about itself; written
            when all is ready for the first step.

    Returns:
        The folder of the final model.

    Raises:
        PammError: the data set lacks a task or has other classes, or the training diverged.
    """
    tasks = matching_tasks(model, data)
    keep_freed_memory()
    fabric = Fabric(devices=settings.devices, precision=settings.precision)
    fabric.launch()
    torch.manual_seed(settings.seed)
    network = PAMM(model)
    network.tasks, network.image_size = dict(tasks), data.size
    network.start_outputs_at({name: task.initial_output for name, task in tasks.items()})
    optimizer = make_optimizer(network, optim, fused=settings.precision != "16-mixed")
    start, best = restore(run, network, optimizer)
    wrapped, optimizer = fabric.setup(network, optimizer)
    batches, validation = loaders(fabric, data, tasks, settings, start=start)
    log = None
    if fabric.is_global_zero:
        log = RunLog(run, start=start, steps=settings.steps, every=settings.log_every)
        for name, content in papers.items() if start == 0 else ():
            write_text(run / name, json.dumps(content, indent=1) + "\n")

    wrapped.train()
    for step in range(start, settings.steps):
        seed_step(settings.seed, step, fabric.global_rank)
        rate = learning_rate(step, settings.steps, optim)
        set_learning_rate(optimizer, rate)
        losses = gradient(fabric, wrapped, batches, tasks, settings)
        if not all(map(math.isfinite, losses.values())):
            raise diverged(step, losses, run)
        if optim.clip_norm:
            fabric.clip_gradients(wrapped, optimizer, max_norm=optim.clip_norm)
        optimizer.step()
        optimizer.zero_grad()

        done = step + 1
        if log:
            log.train(done, losses, rate=rate)
        if due(done, settings.validate_every, settings.steps):
            share_buffers(fabric, network)
            scores = evaluate(network, validation, tasks, total=fabric_sum(fabric))
            loss = sum(task.loss_weight * scores[name]["loss"] for name, task in tasks.items())
            if log:
                log.validation(done, {"total": {"loss": loss}, **scores})
                if loss < best:
                    checkpoint.save(run, "best", done, network, data=data)
            best = min(best, loss)
        if log and due(done, settings.checkpoint_every, settings.steps):
            state = {"optimizer": optimizer.state_dict(), "best": best}
            checkpoint.save(run, "last", done, network, data=data, training=state)
    if log:
        log.close()
    fabric.barrier()
    return checkpoint.find(run)


def loaders(
    fabric: Fabric,
    data: DataConfig,
    tasks: Mapping[str, Task],
    settings: TrainConfig,
    *,
    start: int,
) -> tuple[Iterator[Batch], DataLoader]:
    """The training batches of this process from step `start` on, and its validation share."""
    place = {"rank": fabric.global_rank, "world": fabric.world_size, "workers": data.workers}
    batches = training_batches(
        train_dataset(data, tasks=tasks),
        batch_size=settings.batch_size // (settings.accumulate * fabric.world_size),
        seed=settings.seed,
        start=start * settings.accumulate,
        **place,
    )
    on_device: Any = fabric.setup_dataloaders(batches, use_distributed_sampler=False)
    validation = evaluation_batches(eval_dataset(data, tasks=tasks), batch_size=8, **place)
    return iter(on_device), validation


def gradient(
    fabric: Fabric,
    model: Any,
    batches: Iterator[Batch],
    tasks: Mapping[str, Task],
    settings: TrainConfig,
) -> dict[str, float]:
    """Add the gradient of one step's batch, part by part; gives the mean loss of each task."""
    losses = torch.zeros(len(tasks))
    for part in range(settings.accumulate):
        batch = next(batches)
        with fabric.no_backward_sync(model, enabled=part + 1 < settings.accumulate):
            logits = model(batch["image"])
            values = [task.loss(logits[n], batch["targets"][n]) for n, task in tasks.items()]
            weighted = [t.loss_weight * v for t, v in zip(tasks.values(), values, strict=True)]
            total = torch.stack(weighted).sum()
            if settings.load_balancing:
                total = total + settings.load_balancing * model.module.balance_loss()
            fabric.backward(total / settings.accumulate)
        losses += torch.stack(values).detach().float().cpu() / settings.accumulate
    return dict(zip(tasks, losses.tolist(), strict=True))


def matching_tasks(model: ModelConfig, data: DataConfig) -> dict[str, Task]:
    """The data set's tasks that the model predicts, in the model's order.

    Raises:
        PammError: the data set does not have a task, or has it with other channels.
    """
    tasks = select_tasks(dataset_tasks(data), model.tasks)
    for name, task in tasks.items():
        if task.channels != model.tasks[name]:
            raise PammError(
                f"task {name!r}: the model has {model.tasks[name]} channels, the data set "
                f"{data.name!r} wants {task.channels}"
            )
    return tasks


def restore(run: Path, network: PAMM, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    """Put the newest checkpoint of a run in place, if there is one: (steps done, best loss)."""
    folder = checkpoint.newest(run, "last")
    if folder is None:
        return 0, math.inf
    checkpoint.load_weights(network, folder)
    state = checkpoint.load_training(folder)
    optimizer.load_state_dict(state["optimizer"])
    return checkpoint.step_of(folder), state["best"]


def seed_step(seed: int, step: int, rank: int) -> None:
    """Make the random numbers of a step a function of (seed, step, rank) alone."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0]))


def due(done: int, every: int, steps: int) -> bool:
    """Whether something that happens every so many steps, and at the end, happens now."""
    return done % every == 0 or done == steps


def share_buffers(fabric: Fabric, network: PAMM) -> None:
    """Give all processes the batch-norm statistics of the first, which is the one that saves."""
    shared = fabric.broadcast([buffer.cpu() for buffer in network.buffers()])
    for buffer, value in zip(network.buffers(), shared, strict=True):
        buffer.copy_(value)


def fabric_sum(fabric: Fabric) -> Callable[[Tensor], Tensor]:
    """Sums a tensor over all processes of a run, wherever the tensor lives."""

    def total(tensor: Tensor) -> Tensor:
        summed: Any = fabric.all_reduce(tensor.to(fabric.device), reduce_op="sum")
        return summed.to(tensor.device)

    return total


def diverged(step: int, losses: Mapping[str, float], run: Path) -> PammError:
    """The error of a loss that is no number any more."""
    bad = ", ".join(name for name, loss in losses.items() if not math.isfinite(loss))
    return PammError(
        f"the loss of {bad} is not finite at step {step}: the training diverged. Lower --optim.lr "
        f"or use --train.precision 32-true; the last checkpoint in {str(run)!r} is untouched"
    )
