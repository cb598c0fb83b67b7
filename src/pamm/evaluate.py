"""Scores of a model on a data set, one metric per task, and the report that says how."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pamm.checkpoint import CONFIG, find, load
from pamm.data import (
    Batch,
    DataConfig,
    MultiTaskDataset,
    eval_dataset,
    evaluation_batches,
)
from pamm.distributed import is_first, launch, total_over
from pamm.files import write_text
from pamm.metrics import Metric
from pamm.metrics.base import exact_parts
from pamm.precision import Precision, forward
from pamm.progress import progress
from pamm.strict_json import from_json, read_json, to_json
from pamm.tasks import Task

Scores = dict[str, dict[str, float]]


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    tasks: Mapping[str, Task],
    *,
    total: Callable[[Tensor], Tensor] = lambda state: state,
    precision: Precision = "32-true",
    label: str = "evaluating",
) -> Scores:
    """Run a model over a data set and score every task.

    Args:
        model: image (B, 3, H, W) -> {task: logits}; put in evaluation mode and back.
        batches: this process's share of the data set.
        tasks: those to score.
        total: sums a tensor over all processes; the metrics' states add up.
        precision: of the network's arithmetic.
        label: of the progress line.

    Returns:
        {task: {score name: value}}, fractions, degrees and metres, with the task's mean validation
        loss per image as "loss".
    """
    metrics = {name: task.metric() for name, task in tasks.items()}
    # The sum in exact parts (see `exact_parts`), and the number of images.
    losses = {name: torch.zeros(4, dtype=torch.float64) for name in tasks}
    device, training = next(model.parameters()).device, model.training
    model.eval()
    for batch in progress(batches, label=label):
        images = len(batch["image"])
        logits = forward(model, batch["image"].to(device), precision)
        for name, task in tasks.items():
            target = batch["targets"][name].to(device)
            metrics[name].update(task.decode(logits[name]), target)
            loss = task.loss(logits[name], target).cpu()
            losses[name][:3] += exact_parts(loss * images)
            losses[name][3] += images
    model.train(training)
    scores = {}
    for name, metric in metrics.items():
        metric.load_state({key: total(value) for key, value in metric.state().items()})
        *parts, images = total(losses[name]).tolist()
        scores[name] = {**metric.compute(), "loss": sum(parts) / max(images, 1)}
    return scores


def evaluate_run(
    source: str | Path,
    *,
    split: str = "val",
    checkpoint: str = "last",
    root: str | None = None,
    batch_size: int = 8,
    device: str | torch.device = "cpu",
    devices: int = 1,
    precision: Precision = "32-true",
    trivial: bool = False,
) -> dict[str, Any]:
    """Score a trained model on the data set it was trained on, and keep the report with it.

    Args:
        source: a run directory, model folder or hub id.
        split: "val" or "train".
        checkpoint: "last" or "best", of a run directory.
        root: folder of the data set; None = where training found it.
        batch_size: images at once; does not change the scores.
        device: a torch device.
        devices: processes on this machine that share the work, one GPU each on "cuda"; under
            torchrun: torchrun's. Does not change the scores. All of them return the scores, the
            first one writes the report.
        precision: of the network's arithmetic; the report names it.
        trivial: also score the constant predictor of each task (`Task.constant_prediction`).

    Returns:
        The report, which is also written to metrics.json in the folder of the model.

    Raises:
        PammError: no such model, data set or split.
    """
    folder = find(source, checkpoint=checkpoint)
    fabric = launch(devices, accelerator=torch.device(device).type)
    model = load(folder, device=fabric.device if fabric.world_size > 1 else device)
    saved = read_json(folder / CONFIG)
    config = from_json(DataConfig, saved["data"], where="data")
    if root is not None:
        config = replace(config, root=root)
    dataset = eval_dataset(config, split, tasks=list(model.tasks))
    batches = evaluation_batches(
        dataset,
        batch_size=batch_size,
        rank=fabric.global_rank,
        world=fabric.world_size,
        workers=config.workers,
    )
    report = {
        "model": str(folder),
        "step": saved["step"],
        "precision": precision,
        "data": {"name": config.name, "split": split, "images": len(dataset), "size": config.size},
        "tasks": {
            name: {k: getattr(task, k) for k in ("score", "unit", "higher_is_better")}
            for name, task in model.tasks.items()
        },
        "protocol": {name: task.metric().describe() for name, task in model.tasks.items()},
        "scores": evaluate(
            model, batches, model.tasks, total=total_over(fabric), precision=precision
        ),
    }
    if trivial and is_first():
        train = eval_dataset(config, "train", tasks=list(model.tasks))
        report["trivial"] = constant_scores(train, dataset, model.tasks)
    report = to_json(report)
    if is_first():
        write_text(folder / "metrics.json", json.dumps(report, indent=1) + "\n")
    return report


def constant_scores(
    train: MultiTaskDataset, test: MultiTaskDataset, tasks: Mapping[str, Task]
) -> Scores:
    """What a predictor reaches that knows the training labels and never looks at the image."""
    scores = {}
    for name, task in tasks.items():
        labels = (train[i]["targets"][name] for i in range(len(train)))
        prediction = task.constant_prediction(labels)[None]
        metric: Metric = task.metric()
        for i in progress(range(len(test)), label=f"constant {task.title}"):
            metric.update(prediction, test[i]["targets"][name][None])
        scores[name] = metric.compute()
    return scores
