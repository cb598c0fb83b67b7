"""Training: the loop, on Lightning Fabric. A run is a pure function of its configuration.

Every random number of step s on process r comes from (seed, s, r), and every batch from (seed, s),
so a run that was killed and resumed ends with the weights of an unbroken one, bit by bit. The
gradient is that of the whole batch, however it is divided among processes.
"""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
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
from pamm.evaluation.evaluate import Scores, evaluate
from pamm.model import Model, ModelConfig
from pamm.predictor import Predictor
from pamm.runtime.distributed import Stop, is_sharded, launch, leave, total_over
from pamm.runtime.files import check_room, write_text
from pamm.runtime.memory import keep_freed_memory
from pamm.runtime.run_folder import newest
from pamm.tasks import Task
from pamm.training.initial import initial_model
from pamm.training.optim import (
    OptimConfig,
    learning_rate,
    make_optimizer,
    set_learning_rate,
    update_average,
)
from pamm.training.resume import restore, training_state
from pamm.training.run_log import RunLog
from pamm.training.sharding import gather_weights, shard
from pamm.training.step import diverged, gradient, reduce_losses, seed_step
from pamm.training.train_config import TrainConfig


def train(
    *,
    model: ModelConfig,
    data: DataConfig,
    optim: OptimConfig,
    settings: TrainConfig,
    run: Path,
    run_files: Mapping[str, Any],
) -> Path:
    """Train a model; start from the newest checkpoint in `run` if there is one.

    Args:
        model, data, optim, settings: what to train, on what, and how.
        run: the run directory: gets last-<step>, best-<step>, metrics.jsonl and tensorboard.
        run_files: {file name: JSON value}, what a new run directory should say about itself;
            written when all is ready for the first step.

    Returns:
        The folder of the final model.

    Raises:
        PammError: the data set lacks a task or has other classes, or the training diverged.
        SystemExit: SIGTERM came; with code 143, after the step and a checkpoint.
    """
    tasks = matching_tasks(model, data)
    keep_freed_memory()
    shards = shard if settings.strategy == "fsdp" else None
    fabric = launch(settings.devices, precision=settings.precision, shard=shards)
    averaged, sharded = settings.ema > 0, is_sharded(fabric)
    begun = newest(run, "last") is not None
    trained = initial_model(
        model, data, tasks, settings,
        processes=fabric.world_size, frozen=optim.backbone == 0, resumed=begun,
    )  # fmt: skip
    network: Any = trained.network
    resumed = restore(run, trained, averaged=averaged, sharded=sharded)
    start, eval_model = resumed.step, resumed.eval_model
    if averaged:
        eval_model.to(fabric.device)
    compiled: Any = torch.compile(network) if settings.compile else network
    wrapped = fabric.setup_module(compiled)
    optimizer: Any = make_optimizer(network, optim, fused=settings.precision != "16-mixed")
    resumed.optimizer(optimizer, fabric)
    optimizer = fabric.setup_optimizers(optimizer)
    batches, validation = loaders(fabric, data, tasks, settings, start=start)
    log = open_log(run, start, network, settings, run_files) if fabric.is_global_zero else None
    validated: Any = fabric.broadcast(log.validations if log else None)

    network.train()
    stopping = False
    with Stop() as stop, closing(log) if log else nullcontext():
        for step in range(start, settings.steps + 1):  # so many are done
            due_validation = due(step, settings.validate_every, settings.steps)
            if due_validation and step not in validated and not stopping:
                with stop.at_once():
                    scores = validate(eval_model, validation, fabric)
                if log:
                    record_validation(log, step, scores, eval_model, data=data, run=run)
            if stopping or step == settings.steps:
                break
            seed_step(settings.seed, step, fabric.global_rank)
            set_learning_rate(optimizer, rate := learning_rate(step, settings.steps, optim))
            mine = gradient(
                fabric, wrapped, batches, tasks, parts=settings.accumulate,
                auxiliary=settings.auxiliary, penalty=settings.penalty,
            )  # fmt: skip
            losses, stopping = reduce_losses(fabric, mine, stop.requested)
            if not all(map(math.isfinite, losses.values())):
                raise diverged(step, losses, run)
            if optim.clip_norm:
                fabric.clip_gradients(wrapped, optimizer, max_norm=optim.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
            if settings.ema:
                update_average(eval_model.network, network, settings.ema)
            if log:
                log.train(step + 1, losses, rate=rate)
            if stopping or due_to_save(step + 1, settings):
                if sharded:
                    gather_weights(network, into=eval_model.network)
                state = training_state(network, optimizer, fabric, averaged=averaged)
                if log:
                    kept: dict[str, Any] = {"training": state, "keep": settings.keep}
                    checkpoint.save(run, "last", step + 1, eval_model, data=data, **kept)
    fabric.barrier()
    if stopping:
        leave(f"stopped after step {step}; go on with --resume")
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
        batch_size=settings.images_at_once(fabric.world_size),
        seed=settings.seed,
        start=start * settings.accumulate,
        **place,
    )
    on_device: Any = fabric.setup_dataloaders(batches, use_distributed_sampler=False)
    validation = evaluation_batches(eval_dataset(data, tasks=tasks), batch_size=8, **place)
    return iter(on_device), validation


def open_log(
    run: Path, start: int, network: Model, settings: TrainConfig, run_files: Mapping[str, Any]
) -> RunLog:
    """The records of the run; a new one also gets its files.

    Raises:
        PammError: there is no room for a checkpoint: its weights and the optimiser's two averages.
    """
    size = 3 * sum(p.numel() * p.element_size() for p in network.parameters())
    check_room(run, size, "a checkpoint", "free some, or choose another --out")
    for name, content in run_files.items() if start == 0 else ():
        write_text(run / name, json.dumps(content, indent=1) + "\n")
    return RunLog(run, start=start, steps=settings.steps, every=settings.log_every)


def validate(model: Predictor, validation: DataLoader, fabric: Fabric) -> Scores:
    """The scores of the whole validation, in every process."""
    model.to(fabric.device)
    scores = evaluate(model, validation, model.tasks, total=total_over(fabric))
    if is_sharded(fabric):
        model.cpu()  # a whole model may not fit beside the training
    return scores


def record_validation(
    log: RunLog, step: int, scores: Scores, model: Predictor, *, data: DataConfig, run: Path
) -> None:
    """After a validation: the model if it is the best so far, and then the record of its scores.

    In this order a record says that nothing of the validation is left to do.
    """
    loss = total_loss(scores, model.tasks)
    if loss < min(log.validations.values(), default=math.inf):
        checkpoint.save(run, "best", step, model, data=data)
    log.validation(step, {"total": {"loss": loss}, **scores})


def total_loss(scores: Scores, tasks: Mapping[str, Task]) -> float:
    """The weighted sum of the losses of those tasks that any image had labels for; else NaN."""
    weighted = [t.loss_weight * scores[n]["loss"] for n, t in tasks.items() if scores[n]["images"]]
    return math.fsum(weighted) if weighted else math.nan


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


def due(done: int, every: int, steps: int) -> bool:
    """Whether something that happens every so many steps, and at the end, happens now."""
    return (done > 0 and done % every == 0) or done == steps


def due_to_save(done: int, settings: TrainConfig) -> bool:
    """Every so often, and before a validation, in which a run may be stopped at once."""
    return any(
        due(done, every, settings.steps)
        for every in (settings.checkpoint_every, settings.validate_every)
    )
