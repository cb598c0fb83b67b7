"""The common part of tasks that give each pixel one of several classes."""

from abc import ABC
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pamm.errors import PammError
from pamm.runtime.channels import largest
from pamm.runtime.ranges import Range
from pamm.tasks.base import (
    FRACTION,
    IGNORE,
    Array,
    Picture,
    Protocol,
    Task,
    at_least_float32,
    mean_over_images,
)
from pamm.tasks.colours import BACKGROUND, INVALID, palette
from pamm.tasks.match import Match

if TYPE_CHECKING:
    from pamm.metrics import MeanIoU


@dataclass(frozen=True, kw_only=True)
class ClassMap(Task, ABC):
    """Cross entropy over the classes, ignoring `ignore_index`.

    Target int64 (B, H, W) (any integer type is taken), prediction int64 (B, H, W), array uint8
    (H, W), int32 with more than 255 classes. Scored by the mean intersection over union.
    """

    higher_is_better: ClassVar[bool] = True
    unit: ClassVar[str] = FRACTION
    target_lead: ClassVar[tuple[int, ...]] = ()
    target_dtype: ClassVar[torch.dtype] = torch.int64

    class_names: tuple[str, ...] = ()
    """One name a class, in order, or none at all: any printable text. A class named "background" is
    drawn dark."""
    ignore_index: Annotated[int, Range(-(2**31), 2**31 - 1)] = IGNORE
    protocol: Protocol = "official"
    """Of the main score: the mean over all classes, one never seen counting 0 (official), or over
    the classes that the labels or the predictions show (plain)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.class_names) not in (0, self.channels):
            raise ValueError(
                f"task {self.name!r}: {len(self.class_names)} class names for {self.channels} "
                "channels; give one name a channel, or ()"
            )
        for class_name in self.class_names:
            if not class_name.isprintable():
                raise PammError(
                    f"task {self.name!r}: class name {class_name!a}: want text in one line "
                    "that can be printed"
                )
        if 0 <= self.ignore_index < self.channels:
            raise ValueError(
                f"task {self.name!r}: ignore_index {self.ignore_index} is also one of the "
                f"{self.channels} classes; choose another value"
            )

    @property
    def pad_value(self) -> int:
        return self.ignore_index

    @property
    def score(self) -> str:  # type: ignore[override]  # here it depends on the protocol
        return {"official": "mIoU", "plain": "mIoU_present"}[self.protocol]

    def with_protocol(self, protocol: Protocol) -> "ClassMap":
        return replace(self, protocol=protocol)

    def metric(self) -> "MeanIoU":
        from pamm.metrics import MeanIoU

        return MeanIoU(self.channels, ignore_index=self.ignore_index)

    def _loss_sums(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        target = target.long()
        total = F.cross_entropy(logits, target, ignore_index=self.ignore_index, reduction="sum")
        return total[None], (target != self.ignore_index).sum()[None]

    def _decode(self, logits: Tensor) -> Tensor:
        return largest(logits)

    def to_mean_space(self, logits: Tensor) -> Tensor:
        return at_least_float32(logits).softmax(dim=1)

    def from_mean_space(self, values: Tensor) -> Tensor:
        return values.clamp(min=torch.finfo(values.dtype).tiny).log()

    def constant_prediction(self, targets: Iterable[Tensor], *, everywhere: bool = False) -> Tensor:
        valid = ((target[None], target[None] != self.ignore_index) for target in targets)
        classes = torch.arange(self.channels).view(-1, 1, 1)
        shares = ((t == classes, v) for t, v in valid)
        return largest(mean_over_images(shares, missing=0, everywhere=everywhere)[None])[0]

    def to_array(self, prediction_or_target: Tensor) -> Array:
        fits = 0 <= self.ignore_index <= 255 and self.channels <= 256
        return prediction_or_target.cpu().numpy().astype(np.uint8 if fits else np.int32)

    def colourise(self, array: Array, value_range: tuple[float, float] | None = None) -> Picture:
        colours = self._colours()
        known = (array >= 0) & (array < self.channels)
        picture: Picture = colours[np.where(known, array, 0).astype(np.int64)]
        picture[~known] = INVALID
        return picture

    def legend(self, array: Array) -> dict[str, tuple[int, int, int]]:
        colours = self._colours()
        present = [int(c) for c in np.unique(array) if 0 <= c < len(self.class_names)]
        return {self.class_names[c]: tuple(map(int, colours[c])) for c in present}  # type: ignore[misc]

    def match(self, labels: Task) -> Match:
        """By the names of the classes, where both have some: those in common are scored."""
        if not isinstance(labels, ClassMap) or type(self) is not type(labels):
            return super().match(labels)
        ours, theirs = self.class_names, labels.class_names
        if not (ours and theirs) and self.channels != labels.channels:
            raise self._unlike(
                f"{self.channels} classes in the model and {labels.channels} in the data set, and "
                "one of them has no names for them"
            )
        if not (ours and theirs) or ours == theirs:
            return super().match(labels)
        both = tuple(name for name in theirs if name in ours)
        if not both:
            raise self._unlike(
                f"no class of the data set ({', '.join(theirs)}) is one of the model "
                f"({', '.join(ours)})"
            )
        ignored = labels.ignore_index if labels.ignore_index >= len(both) else -1
        return Match(
            task=replace(labels, channels=len(both), class_names=both, ignore_index=ignored),
            channels=tuple(ours.index(name) for name in both),
            labels=tuple(both.index(name) if name in both else ignored for name in theirs),
            ignored=ignored,
            classes={
                "scored": both,
                "only of the model": [name for name in ours if name not in both],
                "only of the data set": [name for name in theirs if name not in both],
            },
        )

    def summary(self, array: Array) -> dict[str, Any]:
        """The share of the image that each class has, the largest first."""
        counts = np.bincount(array[array < self.channels].reshape(-1), minlength=self.channels)
        order = np.argsort(-counts, kind="stable")
        names = self.class_names or tuple(map(str, range(self.channels)))
        shares = {names[c]: round(float(counts[c] / array.size), 4) for c in order if counts[c]}
        return {"classes": shares}

    def _colours(self) -> Picture:
        """uint8 (C, 3): the palette, one colour a class."""
        if "background" not in self.class_names:
            return palette(self.channels)
        background = self.class_names.index("background")
        return np.insert(palette(self.channels - 1), background, BACKGROUND, axis=0)
