"""Scoring a model on a data set that it was not trained on: tasks and classes matched by name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pamm.errors import PammError
from pamm.tasks import Protocol, Task
from pamm.tasks.class_map import ClassMap


@dataclass(frozen=True, kw_only=True)
class Match:
    """A task as a model has it and as a data set labels it, brought together.

    Of classes, those that both have are scored: the prediction of a pixel is the likeliest of them,
    and pixels of other classes do not count.
    """

    task: Task
    """What is scored."""
    channels: tuple[int, ...] = ()
    """Of the model's logits, those of the classes scored, in their order; () = all as they are."""
    labels: tuple[int, ...] = ()
    """For each class of the data set the class scored, or the value that does not count."""

    def logits(self, logits: Tensor) -> Tensor:
        """(B, C, H, W) of the model -> those of the task that is scored."""
        return logits[:, list(self.channels)] if self.channels else logits

    def target(self, target: Tensor) -> Tensor:
        """A target of the data set -> one of the task that is scored."""
        if not self.labels:
            return target
        assert isinstance(self.task, ClassMap)
        known = (target >= 0) & (target < len(self.labels))
        table = torch.tensor(self.labels, device=target.device)
        found = table[torch.where(known, target, 0)]
        return torch.where(known, found, self.task.ignore_index)


def match(
    model: Mapping[str, Task], data: Mapping[str, Task], protocol: Protocol
) -> dict[str, Match]:
    """The tasks that a model predicts and a data set labels, by name, in the model's order.

    Args:
        model, data: the tasks of the two.
        protocol: of the scores.

    Raises:
        PammError: there is none, or one of a name is not the same task.
    """
    found = {
        name: match_task(task, data[name].with_protocol(protocol))
        for name, task in model.items()
        if name in data
    }
    if not found:
        raise PammError(
            f"the model predicts {', '.join(model)}, the data set has labels for "
            f"{', '.join(data)}: there is nothing to score"
        )
    return found


def match_task(ours: Task, theirs: Task) -> Match:
    """A task of the model with that of the data set.

    Raises:
        PammError: they are not of one type, or no class of the one is a class of the other.
    """
    where = f"task {ours.name!r}"
    if type(ours) is not type(theirs):
        raise PammError(
            f"{where}: the model's is {ours.type_name}, the data set's {theirs.type_name}; score "
            "the other tasks with --tasks"
        )
    if not isinstance(ours, ClassMap) or not isinstance(theirs, ClassMap):
        if ours.channels != theirs.channels:
            raise PammError(
                f"{where}: the model has {ours.channels} channels, the data set's wants "
                f"{theirs.channels}; score the other tasks with --tasks"
            )
        return Match(task=theirs)
    if not (ours.class_names and theirs.class_names):
        if ours.channels != theirs.channels:
            raise PammError(
                f"{where}: {ours.channels} classes in the model and {theirs.channels} in the data "
                "set, and one of them has no names for them; score the other tasks with --tasks"
            )
        return Match(task=theirs)
    if ours.class_names == theirs.class_names:
        return Match(task=theirs)
    both = tuple(name for name in theirs.class_names if name in ours.class_names)
    if not both:
        raise PammError(
            f"{where}: no class of the data set ({', '.join(theirs.class_names)}) is one of the "
            f"model ({', '.join(ours.class_names)}); score the other tasks with --tasks"
        )
    ignored = theirs.ignore_index if theirs.ignore_index >= len(both) else -1
    return Match(
        task=replace(theirs, channels=len(both), class_names=both, ignore_index=ignored),
        channels=tuple(ours.class_names.index(name) for name in both),
        labels=tuple(both.index(name) if name in both else ignored for name in theirs.class_names),
    )


def described_match(model: Task, data: Task, match: Match) -> dict[str, list[str]] | None:
    """Of a task with classes, which are scored, and which only the one or the other has."""
    if not isinstance(model, ClassMap) or not isinstance(data, ClassMap) or not match.channels:
        return None
    both = match.task.class_names  # type: ignore[attr-defined]  # of classes
    return {
        "scored": list(both),
        "only of the model": [name for name in model.class_names if name not in both],
        "only of the data set": [name for name in data.class_names if name not in both],
    }
