"""One step of a training: the gradient of a batch, and what the processes agree on after it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from pamm.data import Batch
from pamm.errors import PammError
from pamm.runtime.distributed import is_sharded, mean_over
from pamm.tasks import Task


def seed_step(seed: int, step: int, rank: int) -> None:
    """Make the random numbers of a step a function of (seed, step, rank) alone."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0]))


def gradient(
    fabric: Fabric,
    wrapped: Any,
    batches: Iterator[Batch],
    tasks: Mapping[str, Task],
    *,
    parts: int,
    auxiliary: float,
    penalty: float,
) -> dict[str, Tensor]:
    """Add the gradient of one step's batch, part by part.

    The average of the processes' gradients, which each of them gets, is that of the whole batch,
    since a loss is a sum over labelled pixels divided by their mean number.

    Args:
        fabric: knows the other processes.
        wrapped: the network as Fabric set it up.
        batches: each `next` is a part.
        tasks: the losses, in this order.
        parts: how many are accumulated.
        auxiliary: weight of the losses of the model's auxiliary predictions, if it makes any.
        penalty: weight of the model's penalty, if it has one.

    Returns:
        {task: loss of its prediction}, float32 on the CPU, whose mean over the processes is that of
        the batch.
    """
    losses, reduce_mean = torch.zeros(len(tasks)), mean_over(fabric)
    # Gradients to be added up later are whole, which sharding is there to avoid.
    add_first = not is_sharded(fabric)
    for part in range(parts):
        batch = next(batches)
        with fabric.no_backward_sync(wrapped, enabled=add_first and part + 1 < parts):
            outputs = wrapped(batch["image"])
            values, *earlier = (
                [
                    task.loss(logits[name], batch["targets"][name], reduce_mean=reduce_mean)
                    for name, task in tasks.items()
                ]
                for logits in (outputs.logits, *outputs.auxiliary)
            )
            total = weighted(values, tasks)
            for losses_before in earlier:
                total = total + auxiliary * weighted(losses_before, tasks)
            if penalty and outputs.penalty is not None:
                total = total + penalty * outputs.penalty
            fabric.backward(total / parts)
        losses += torch.stack(values).detach().float().cpu() / parts
    return dict(zip(tasks, losses, strict=True))


def weighted(losses: Sequence[Tensor], tasks: Mapping[str, Task]) -> Tensor:
    """The sum of the tasks' losses, each times its weight."""
    return torch.stack(
        [task.loss_weight * loss for task, loss in zip(tasks.values(), losses, strict=True)]
    ).sum()


def reduce_losses(fabric: Fabric, losses: Mapping[str, Tensor], stop: bool) -> tuple[dict, bool]:
    """{task: loss of the whole batch}, and whether any process was asked to stop; all get both."""
    mine = torch.stack([*losses.values(), torch.tensor(float(stop))])
    *means, stopping = mean_over(fabric)(mine).tolist()
    return dict(zip(losses, means, strict=True)), stopping > 0


def diverged(step: int, losses: Mapping[str, float], run: Path) -> PammError:
    """The error of a loss that is no number any more."""
    bad = ", ".join(name for name, loss in losses.items() if not math.isfinite(loss))
    return PammError(
        f"the loss of {bad} is not finite at step {step}: the training diverged. Lower --optim.lr "
        f"or use --train.precision 32-true; the last checkpoint in {str(run)!r} is untouched"
    )
