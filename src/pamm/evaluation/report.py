"""The report of an evaluation: what it says beside the scores, and where it is kept."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pamm.box import BOX, is_in_box
from pamm.data import MultiTaskDataset
from pamm.errors import PammError
from pamm.evaluation.constants import are_of_one_size, constant_scores
from pamm.evaluation.image_list import ImageList
from pamm.runtime.files import reason, write_text
from pamm.runtime.strict_json import to_json
from pamm.tasks import Task
from pamm.tasks.match import Match

Lists = Mapping[str, ImageList]


def report_name(data: str | None, split: str, folder: str | None = None) -> str:
    """The file of a report: of the training's data set, and of another data set or split.

    Args:
        data: the name of another data set than the training's.
        split: of the data set.
        folder: of the other data set, if it was named.

    >>> report_name(None, "val"), report_name("folder", "val", "a/mine"), report_name(None, "light")
    ('metrics.json', 'metrics-folder-mine-val.json', 'metrics-light.json')
    """
    others = [] if data is None else [data]
    others += [re.sub(r"[^\w.-]+", "_", Path(folder).name)] if others and folder else []
    others += [split] if others or split not in ("val", "train") else []
    return "-".join(["metrics", *others]) + ".json"


def report_folder(model: Path) -> Path:
    """Where the reports of a model are kept: its folder, or of one of the package runs/box-NAME."""
    return Path("runs") / f"{BOX}-{model.name}" if is_in_box(model) else model


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


def keep_report(report: dict[str, Any], path: Path) -> None:
    """Write a report.

    Raises:
        Unfinished: it cannot be written, for example as the disk is full.
    """
    try:
        write_text(path, json.dumps(report, indent=1) + "\n")
    except OSError as error:
        why = f"the scores cannot be written to {str(path)!r}: {reason(error)}"
        raise Unfinished(why, report) from None


def add_constants(
    report: dict[str, Any],
    path: Path,
    train: MultiTaskDataset,
    test: MultiTaskDataset,
    matches: Mapping[str, Match],
    *,
    lists: Lists,
) -> None:
    """Add the scores of constants to a report that is written already, and write it again."""
    try:
        everywhere = not are_of_one_size(train, test)
        scores = constant_scores(train, test, matches, lists=lists, everywhere=everywhere)
    except (ValueError, OSError) as error:  # of a damaged file in the training part, for example
        why = f"no constant predictions to compare with: {error}; the scores are complete"
        raise Unfinished(why, report) from None
    report["trivial"] = to_json(scores)
    report["constant"] = "one for all positions" if everywhere else "per position"
    keep_report(report, path)


def main_score(task: Task) -> dict[str, Any]:
    """Which number of a task's scores stands for it, its unit and its direction."""
    return {key: getattr(task, key) for key in ("score", "unit", "higher_is_better")}


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
