"""The common part of tasks that answer yes or no for each pixel, as a probability."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pamm.tasks.base import (
    FRACTION,
    IGNORE,
    Array,
    Picture,
    Task,
    at_least_some,
    mean_over_images,
    sums_and_counts,
)
from pamm.tasks.colours import INVALID


@dataclass(frozen=True, kw_only=True)
class BinaryMap(Task, ABC):
    """Weighted binary cross entropy: positives weigh w, negatives 1 - w.

    loss = sum over valid pixels of weight * cross entropy / number of valid pixels

    One channel is the logit of "yes"; two are "no" and "yes", and their difference is that logit
    (softmax cross entropy over two classes is the same function). Target (B, 1, H, W) of any type:
    1 is yes, 255 not labelled, anything else no. Prediction: probability (B, 1, H, W); array
    float32 (H, W), 255 where a target is not labelled.
    """

    higher_is_better: ClassVar[bool] = True
    unit: ClassVar[str] = FRACTION
    target_lead: ClassVar[tuple[int, ...]] = (1,)
    target_dtype: ClassVar[torch.dtype] = torch.uint8

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_channels(1, 2)

    @property
    def pad_value(self) -> int:
        return IGNORE

    @abstractmethod
    def weight_of_positives(self, positives: Tensor, labelled: Tensor) -> Tensor | float:
        """w in 0..1, from the numbers of yes and of labelled pixels in the batch, scalars."""

    def _loss_sums(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The cross entropy of the yes and of the no pixels; numbers of yes and of valid pixels."""
        positive, valid = target == 1, target != IGNORE
        yes = positive.to(logits.dtype)
        entropy = F.binary_cross_entropy_with_logits(_logit(logits), yes, reduction="none")
        sums, counts = sums_and_counts(entropy, positive, valid & ~positive)
        return sums, torch.stack([counts[0], counts.sum()])

    def mean_loss(self, sums: Tensor, counts: Tensor) -> Tensor:
        w = self.weight_of_positives(counts[0], counts[1])
        return (w * sums[0] + (1 - w) * sums[1]) / at_least_some(counts[1])

    def _decode(self, logits: Tensor) -> Tensor:
        return _logit(logits).sigmoid()

    def to_mean_space(self, logits: Tensor) -> Tensor:
        return self.decode(logits)

    def from_mean_space(self, values: Tensor) -> Tensor:
        yes = values.logit(eps=torch.finfo(values.dtype).eps)
        return yes if self.channels == 1 else torch.cat([torch.zeros_like(yes), yes], dim=1)

    def constant_prediction(self, targets: Iterable[Tensor], *, everywhere: bool = False) -> Tensor:
        labelled = ((t == 1, t != IGNORE) for t in targets)
        return mean_over_images(labelled, missing=0, everywhere=everywhere)

    def to_array(self, prediction_or_target: Tensor) -> Array:
        return prediction_or_target.squeeze(0).cpu().numpy().astype(np.float32)

    def summary(self, array: Array) -> dict[str, Any]:
        """The share of pixels that are rather yes."""
        return {"share": round(float(self.is_yes(array).mean()), 4)}

    def is_yes(self, array: Array) -> Array:
        """Where an array is rather yes than no, bool."""
        return (array > 0.5) & (array <= 1)

    def colourise(self, array: Array, value_range: tuple[float, float] | None = None) -> Picture:
        """Grey: black is no, white is yes."""
        grey = np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)
        picture = np.repeat(grey[..., None], 3, axis=-1)
        picture[array == IGNORE] = INVALID
        return picture


def _logit(logits: Tensor) -> Tensor:
    """(B, 1 or 2, H, W) to the logit of "yes" (B, 1, H, W)."""
    return logits if logits.shape[1] == 1 else logits[:, 1:] - logits[:, :1]
