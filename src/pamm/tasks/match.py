"""A task as a model has it and as a data set labels it: how far they are the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from pamm.tasks.base import Task


@dataclass(frozen=True, kw_only=True)
class Match:
    """A task of a model brought together with that of a data set's labels; see `Task.match`.

    Of classes, those that both have are scored: the prediction of a pixel is the likeliest of them,
    and pixels of other classes do not count.
    """

    task: "Task"
    """What is scored."""
    channels: tuple[int, ...] = ()
    """Of the model's logits, those of the classes scored, in their order; () = all as they are."""
    labels: tuple[int, ...] = ()
    """For each class of the data set the class scored, or `ignored`; () = as they are."""
    ignored: int = -1
    """The label that does not count."""
    classes: Mapping[str, Sequence[str]] | None = None
    """The names of those scored, and of those that only the one or the other has; None: all are."""

    def logits(self, logits: Tensor) -> Tensor:
        """(B, C, H, W) of the model -> those of the task that is scored."""
        return logits[:, list(self.channels)] if self.channels else logits

    def target(self, target: Tensor) -> Tensor:
        """A target of the data set -> one of the task that is scored."""
        if not self.labels:
            return target
        known = (target >= 0) & (target < len(self.labels))
        table = torch.tensor(self.labels, device=target.device)
        return torch.where(known, table[torch.where(known, target, 0)], self.ignored)


def label_difference(old: "Task", new: "Task") -> tuple[str, str] | None:
    """What labels of two tasks differ in, in words of each; None: the same labels mean the same.

    Classes without names can be any.
    """
    if (old.type_name, old.channels) != (new.type_name, new.channels):
        was, now = (f"{task.type_name} (channels: {task.channels})" for task in (old, new))
        return was, now
    if str(old.pad_value) != str(new.pad_value):  # NaN is not equal to itself
        was, now = (f"{task.pad_value} for pixels without a label" for task in (old, new))
        return was, now
    names = [getattr(task, "class_names", ()) for task in (old, new)]
    differ = [i for i, pair in enumerate(zip(*names, strict=False)) if len(set(pair)) > 1]
    if not differ:
        return None
    was, now = (f"{n[differ[0]]!r} as its class {differ[0]}" for n in names)
    return was, now
