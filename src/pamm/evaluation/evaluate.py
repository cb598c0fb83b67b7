"""Scores of a model on a data set, one metric per task, and the report that says how."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pamm.checkpoint import CONFIG, check_labels, find, load, read_description
from pamm.data import (
    Batch,
    DataConfig,
    MultiTaskDataset,
    dataset_tasks,
    eval_dataset,
    evaluation_batches,
    select_tasks,
)
from pamm.errors import PammError, unknown
from pamm.evaluation.augmentation import NO_AUGMENTATION, TestTimeAugmentation, augmented_logits
from pamm.evaluation.constants import are_of_one_size, constant_scores
from pamm.evaluation.image_list import ImageList, read_image_list
from pamm.metrics import InThreads
from pamm.metrics.base import exact_parts
from pamm.runtime.device import torch_device
from pamm.runtime.distributed import is_first, launch, total_over
from pamm.runtime.files import check_file, reason, write_text
from pamm.runtime.inference import evaluation_view
from pamm.runtime.precision import Precision
from pamm.runtime.progress import progress
from pamm.runtime.strict_json import from_json, to_json
from pamm.tasks import Protocol, Task

REPORT = "metrics.json"
Scores = dict[str, dict[str, float]]
Lists = Mapping[str, ImageList]


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    tasks: Mapping[str, Task],
    *,
    total: Callable[[Tensor], Tensor] = lambda state: state,
    lists: Lists | None = None,
    augmentation: TestTimeAugmentation = NO_AUGMENTATION,
    precision: Precision = "32-true",
    label: str = "evaluating",
) -> Scores:
    """Run a model over a data set and score every task.

    Args:
        model: image (B, 3, H, W) -> {task: logits}; used in evaluation mode, but not changed.
        batches: this process's share of the data set.
        tasks: those to score.
        total: sums a tensor over all processes; the metrics' states add up.
        lists: {task: the images it is scored on}; other tasks are scored on all.
        augmentation: at what scales, and whether mirrored too; the mean prediction is scored.
        precision: of the network's arithmetic.
        label: of the progress line.

    Returns:
        {task: {score name: value}}, fractions, degrees and metres. Beside the scores, "loss" is the
        task's loss over the data set as if it were one batch, NaN without any label, and "images"
        the number of images with a label that the score counts.
    """
    metrics = {name: task.metric() for name, task in tasks.items()}
    losses = {name: DatasetLoss(task) for name, task in tasks.items()}
    device, network = next(model.parameters()).device, evaluation_view(model)
    with InThreads() as threads:
        for batch in progress(batches, label=label):
            image = batch["image"].to(device)
            logits = augmented_logits(network, image, tasks, augmentation, precision=precision)
            for name, task in tasks.items():
                given, target = _listed(logits[name], batch, name, (lists or {}).get(name))
                if len(target):
                    target = target.to(device)
                    threads.update(metrics[name], task.decode(given), target)
                    losses[name].update(given, target)
    scores = {}
    for name, metric in metrics.items():
        metric.load_state({key: total(value) for key, value in metric.state().items()})
        scores[name] = {**metric.compute(), **losses[name].compute(total)}
    return scores


class DatasetLoss:
    """The loss of a task over a data set, from sums and counts of labelled pixels.

    Each image is summed by itself, and the sums are added exactly (see `exact_parts`), so neither
    the size of the batches nor the number of processes changes it.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        nothing = torch.zeros(1, task.channels, 1, 1), task.missing(1, 1)[None]
        sums, counts = task.loss_sums(*nothing)
        self._sums = exact_parts(sums) * 0
        self._counts = torch.cat([counts * 0, torch.zeros(1, dtype=torch.int64)])

    def update(self, logits: Tensor, target: Tensor) -> None:
        """Add a batch, arguments as of `Task.loss`."""
        images = zip(logits.split(1), target.split(1), strict=True)
        sums, counts = zip(*(self._task.loss_sums(*image) for image in images), strict=True)
        self._sums += exact_parts(torch.stack(sums).cpu()).sum(dim=1)
        self._counts[:-1] += torch.stack(counts).sum(dim=0).cpu()
        self._counts[-1] += self._task.is_scored(target).sum().cpu()

    def compute(self, total: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """ "loss" and "images" of all processes; `total` sums a tensor over them."""
        sums, counts = total(self._sums).sum(dim=0), total(self._counts)
        loss = float(self._task.mean_loss(sums, counts[:-1])) if counts[-2] else math.nan
        return {"loss": loss, "images": int(counts[-1])}


def _listed(
    logits: Tensor, batch: Batch, task: str, images: ImageList | None
) -> tuple[Tensor, Tensor]:
    """The logits and targets of those images of a batch that are on the task's list."""
    target = batch["targets"][task]
    if images is None:
        return logits, target
    kept = [i for i, image in enumerate(batch["id"]) if image in images.ids]
    return (logits, target) if len(kept) == len(target) else (logits[kept], target[kept])


def evaluate_run(
    source: str | Path,
    *,
    split: str = "val",
    checkpoint: str = "last",
    root: str | None = None,
    protocol: Protocol = "official",
    lists: Mapping[str, str | Path] | None = None,
    augmentation: TestTimeAugmentation = NO_AUGMENTATION,
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
        protocol: "official", as published scores are computed, or "plain": saliency with 255
            thresholds on the probability, the main mIoU over the classes present.
        lists: {task: file with the ids of the images it is scored on}, see `read_image_list`.
        augmentation: scales and mirroring at test time; the default is one view, as published.
        batch_size: images at once; does not change the scores.
        device: a torch device.
        devices: processes on this machine that share the work, one GPU each on "cuda"; under
            torchrun: torchrun's. Does not change the scores, but for the rounding of sums in
            another number of threads. All of them return the scores, the first one writes the
            report.
        precision: of the network's arithmetic; the report names it.
        trivial: also score the constant predictor of each task (`constant_scores`).

    Returns:
        The report, which is also written to metrics.json in the folder of the model.

    Raises:
        PammError: no such model, data set or split; a data set with other classes; a list that does
            not fit it; a folder that cannot be written to. All this is known before the work.
        Unfinished: the scores are there, but they could not be written, or the constants not made.
    """
    device, folder = torch_device(device), find(source, checkpoint=checkpoint)
    check_file(folder / REPORT, "let your user write there, or evaluate a copy of the folder")
    fabric = launch(devices, accelerator=device.type)
    model = load(folder, device=fabric.device if fabric.world_size > 1 else device)
    saved = read_description(folder)
    tasks = {name: task.with_protocol(protocol) for name, task in model.tasks.items()}
    config = trained_on(folder, saved.data, model.tasks, root=root)
    dataset = eval_dataset(config, split, tasks=list(tasks))
    train = eval_dataset(config, "train", tasks=list(tasks)) if trivial else None
    chosen = image_lists(dataset, tasks, lists or {}, where=f"{config.name} {split}")
    batches = evaluation_batches(
        dataset,
        batch_size=batch_size,
        rank=fabric.global_rank,
        world=fabric.world_size,
        workers=config.workers,
    )
    scores = evaluate(
        model,
        batches,
        tasks,
        total=total_over(fabric),
        lists=chosen,
        augmentation=augmentation,
        precision=precision,
    )
    counts = {name: int(values.pop("images")) for name, values in scores.items()}
    how = {
        "preset": protocol,
        "scales": augmentation.scales,
        "flip": augmentation.flip,
        "precision": precision,
        "step": saved.step,
    }
    report = {
        "model": str(folder),
        "backbone": saved.model.backbone,
        "step": saved.step,
        "precision": precision,
        "data": {"name": config.name, "split": split, "images": len(dataset), "size": config.size},
        **described(tasks, chosen, counts, how),
        "notes": departures(dataset, counts) if split == "val" else [],
        "scores": scores,
    }
    report = to_json(report)
    if is_first():
        keep_report(report, folder)
        if train is not None:
            add_constants(report, folder, train, dataset, tasks, lists=chosen)
    return report


def trained_on(
    folder: Path, saved: Any, tasks: Mapping[str, Task], *, root: str | None
) -> DataConfig:
    """The data set that a model was trained on, as its folder says.

    Args:
        folder: of the model.
        saved: the configuration of the data set, in JSON.
        tasks: of the model.
        root: the folder of the data set, if not the one in the configuration.

    Raises:
        PammError: there is no such data set, or it has other labels.
    """
    config = from_json(DataConfig, saved, where=f"{str(folder / CONFIG)!r}: data")
    if root is not None:
        config = replace(config, root=root)
    declared = select_tasks(dataset_tasks(config), tasks)
    check_labels(tasks, declared, where=f"{str(folder)!r} was trained")
    return config


def described(
    tasks: Mapping[str, Task], lists: Lists, counts: Mapping[str, int], how: Mapping[str, Any]
) -> dict[str, Any]:
    """What a report says of each task: its main score, and how it was scored.

    Args:
        tasks: those scored.
        lists: the images of each.
        counts: how many of them had a label.
        how: what is the same for all tasks.
    """
    protocol = {
        name: {
            **task.metric().describe(),
            "images": {**lists[name].describe(), "count": counts[name]},
            **how,
        }
        for name, task in tasks.items()
    }
    return {"tasks": {n: main_score(task) for n, task in tasks.items()}, "protocol": protocol}


class Unfinished(PammError):
    """Scores were computed, but what was to be done with them failed; they are in `report`."""

    def __init__(self, why: str, report: dict[str, Any]) -> None:
        super().__init__(why)
        self.report = report


def keep_report(report: dict[str, Any], folder: Path) -> None:
    """Write a report into the folder of its model.

    Raises:
        Unfinished: it cannot be written, for example as the disk is full.
    """
    path = folder / REPORT
    try:
        write_text(path, json.dumps(report, indent=1) + "\n")
    except OSError as error:
        why = f"the scores cannot be written to {str(path)!r}: {reason(error)}"
        raise Unfinished(why, report) from None


def add_constants(
    report: dict[str, Any],
    folder: Path,
    train: MultiTaskDataset,
    test: MultiTaskDataset,
    tasks: Mapping[str, Task],
    *,
    lists: Lists,
) -> None:
    """Add the scores of constants to a report that is in its folder already, and write it again."""
    try:
        everywhere = not are_of_one_size(train, test)
        scores = constant_scores(train, test, tasks, lists=lists, everywhere=everywhere)
    except (ValueError, OSError) as error:  # of a damaged file in the training part, for example
        why = f"no constant predictions to compare with: {error}; the scores are complete"
        raise Unfinished(why, report) from None
    report["trivial"] = to_json(scores)
    report["constant"] = "one for all positions" if everywhere else "per position"
    keep_report(report, folder)


def main_score(task: Task) -> dict[str, Any]:
    """Which number of a task's scores stands for it, its unit and its direction."""
    return {key: getattr(task, key) for key in ("score", "unit", "higher_is_better")}


def image_lists(
    dataset: MultiTaskDataset,
    tasks: Iterable[str],
    files: Mapping[str, str | Path],
    *,
    where: str,
) -> dict[str, ImageList]:
    """The images that each task is scored on: those of its file, or all of the data set.

    Raises:
        PammError: a list for a task that is not there, or that does not fit the data set.
    """
    everything = ImageList(name="all", ids=frozenset(dataset.name(i) for i in range(len(dataset))))
    lists = dict.fromkeys(tasks, everything)
    for task, file in files.items():
        if task not in lists:
            raise PammError(f"list of images {str(file)!r}: {unknown('task', task, lists)}")
        lists[task] = read_image_list(Path(file), everything.ids, where=where)
    return lists


def departures(dataset: MultiTaskDataset, counts: Mapping[str, int]) -> list[str]:
    """One sentence for each task whose published scores are over other images than these.

    Args:
        dataset: knows over how many images the published scores are.
        counts: {task: number of images with a label that were scored}.
    """
    return [
        f"{task}: computed over {counts[task]} {'image' if counts[task] == 1 else 'images'}, the "
        f"published scores over {published}; they cannot be compared to the digit. With the "
        f"published list of images in a file give --lists {task} FILE"
        for task, published in dataset.published_images.items()
        if task in counts and counts[task] != published
    ]
