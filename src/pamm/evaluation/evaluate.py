"""Scores of a model on a data set, one metric per task, and the report that says how."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pamm.checkpoint import check_labels, find, load, read_description
from pamm.data import (
    Batch,
    MultiTaskDataset,
    eval_dataset,
    evaluation_batches,
    select_tasks,
)
from pamm.errors import PammError, unknown
from pamm.evaluation.image_list import ImageList, read_image_list
from pamm.evaluation.other_data import data_to_score, match
from pamm.evaluation.report import (
    Lists,
    add_constants,
    departures,
    described,
    keep_report,
    report_folder,
    report_name,
)
from pamm.metrics import InThreads
from pamm.metrics.base import exact_parts
from pamm.runtime.device import torch_device
from pamm.runtime.distributed import is_first, launch, total_over
from pamm.runtime.files import check_file
from pamm.runtime.inference import evaluation_view
from pamm.runtime.precision import Precision
from pamm.runtime.progress import progress
from pamm.runtime.strict_json import to_json
from pamm.tasks import Protocol, Task
from pamm.tasks.match import Match
from pamm.views.augmentation import NO_AUGMENTATION, TestTimeAugmentation, augmented_logits

Scores = dict[str, dict[str, float]]


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    tasks: Mapping[str, Task],
    *,
    total: Callable[[Tensor], Tensor] = lambda state: state,
    lists: Lists | None = None,
    matches: Mapping[str, Match] | None = None,
    augmentation: TestTimeAugmentation = NO_AUGMENTATION,
    precision: Precision = "32-true",
    label: str = "evaluating",
) -> Scores:
    """Run a model over a data set and score every task.

    Args:
        model: image (B, 3, H, W) -> {task: logits}; used in evaluation mode, but not changed.
        batches: this process's share of the data set.
        tasks: those to score, as the model has them.
        total: sums a tensor over all processes; the metrics' states add up.
        lists: {task: the images it is scored on}; other tasks are scored on all.
        matches: how they go with those of the data set, if it is not the one of the training.
        augmentation: at what scales, and whether mirrored too; the mean prediction is scored.
        precision: of the network's arithmetic.
        label: of the progress line.

    Returns:
        {task: {score name: value}}, fractions, degrees and metres. Beside the scores, "loss" is the
        task's loss over the data set as if it were one batch, NaN without any label, and "images"
        the number of images with a label that the score counts.
    """
    pairs = {name: (matches or {}).get(name, Match(task=task)) for name, task in tasks.items()}
    metrics = {name: pair.task.metric() for name, pair in pairs.items()}
    losses = {name: DatasetLoss(pair.task) for name, pair in pairs.items()}
    device, network = next(model.parameters()).device, evaluation_view(model)
    with InThreads() as threads:
        for batch in progress(batches, label=label):
            image = batch["image"].to(device)
            logits = augmented_logits(network, image, tasks, augmentation, precision=precision)
            for name, pair in pairs.items():
                given, target = _listed(logits[name], batch, name, (lists or {}).get(name))
                if len(target):
                    given, target = pair.logits(given), pair.target(target.to(device))
                    threads.update(metrics[name], pair.task.decode(given), target)
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
    data: str | None = None,
    root: str | None = None,
    tasks: Sequence[str] | None = None,
    protocol: Protocol = "official",
    lists: Mapping[str, str | Path] | None = None,
    augmentation: TestTimeAugmentation = NO_AUGMENTATION,
    batch_size: int = 8,
    device: str | torch.device = "cpu",
    devices: int = 1,
    precision: Precision = "32-true",
    trivial: bool = False,
) -> dict[str, Any]:
    """Score a trained model on a data set, and keep the report with it.

    Args:
        source: as of `load`.
        split: "val", "train", or another that the data set has.
        checkpoint: "last" or "best", of a run directory.
        data: name of the data set; None = the one that the model was trained on. On another one
            its tasks that the data set has labels for are scored, and of classes those that both
            have by name (see `Match`); the report says which.
        root: folder of the data set; None = where training found it, or of another one the folder
            in PAMM_DATA.
        tasks: score only these; None = all.
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
        The report, which is also written into the folder of the model (of one that comes with the
        package into runs/box-NAME): metrics.json, or metrics-<data set>-<folder>-<split>.json for
        another data set or a split of another name.

    Raises:
        PammError: no such model, data set or split; a data set with other classes; a list that does
            not fit it; a folder that cannot be written to. All this is known before the work.
        Unfinished: the scores are there, but they could not be written, or the constants not made.
    """
    device, folder = torch_device(device), find(source, checkpoint=checkpoint)
    saved = read_description(folder)
    on = data_to_score(folder, saved, data=data, root=root)
    path = report_folder(folder) / report_name(on.other, split, root)
    check_file(path, "let your user write there, or evaluate a copy of the folder")
    fabric = launch(devices, accelerator=device.type)
    model = load(folder, device=fabric.device if fabric.world_size > 1 else device)
    chosen, config = select_tasks(model.tasks, tasks), on.config
    if on.other is None:
        where = f"{str(folder)!r} was trained"
        check_labels(chosen, select_tasks(on.tasks, chosen), where=where)
        matches = {n: Match(task=t.with_protocol(protocol)) for n, t in chosen.items()}
    else:
        matches = match(chosen, on.tasks, protocol)
    scored = {name: pair.task for name, pair in matches.items()}
    dataset = eval_dataset(config, split, tasks=list(scored))
    train = eval_dataset(config, "train", tasks=list(scored)) if trivial else None
    images = image_lists(dataset, scored, lists or {}, where=f"{config.name} {split}")
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
        {name: chosen[name] for name in matches},
        total=total_over(fabric),
        lists=images,
        matches=matches,
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
        "file": path.name,
        "backbone": saved.model.backbone,
        "step": saved.step,
        "precision": precision,
        "data": {
            "name": on.other or config.name,
            "split": split,
            "images": len(dataset),
            "size": config.size,
        },
        **described(scored, images, counts, how),
        "classes": {name: pair.classes for name, pair in matches.items() if pair.classes},
        "notes": departures(dataset, counts) if split == "val" else [],
        "scores": scores,
    }
    report = to_json(report)
    if is_first():
        keep_report(report, path)
        if train is not None:
            add_constants(report, path, train, dataset, matches, lists=images)
    return report


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
