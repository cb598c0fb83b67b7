"""The common part of tasks that predict a number per pixel: depth, height, curvature."""

from abc import ABC
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pamm.tasks.base import Array, Picture, Task, mean_over_images, sums_and_counts
from pamm.tasks.colours import INVALID, dark_bright

if TYPE_CHECKING:
    from pamm.metrics import Metric


@dataclass(frozen=True, kw_only=True)
class ContinuousMap(Task, ABC):
    """L1 over the labelled pixels; scored by the mean absolute error, in the `unit` of the task.

    Target float (B, 1, H, W), NaN or infinite where not labelled; prediction (B, 1, H, W); array
    float32 (H, W), NaN where a target is not labelled.
    """

    score: ClassVar[str] = "MAE"
    higher_is_better: ClassVar[bool] = False
    target_lead: ClassVar[tuple[int, ...]] = (1,)
    target_dtype: ClassVar[torch.dtype] = torch.float32
    lowest: ClassVar[float] = -np.inf
    """No prediction is less."""

    channels: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_channels(1)

    @property
    def pad_value(self) -> float:
        return float("nan")

    def is_labelled(self, target: Tensor) -> Tensor:
        return target.isfinite()

    def metric(self) -> "Metric":
        from pamm.metrics import MeanAbsoluteError

        return MeanAbsoluteError()

    def _loss_sums(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        valid = self.is_labelled(target)
        # A NaN in the target must not reach the gradient through the masked pixels.
        distance = (logits - torch.where(valid, target, 0)).abs()
        return sums_and_counts(distance, valid)

    def _decode(self, logits: Tensor) -> Tensor:
        return logits.clamp(min=self.lowest)

    def to_mean_space(self, logits: Tensor) -> Tensor:
        return self.decode(logits)

    def from_mean_space(self, values: Tensor) -> Tensor:
        return values

    def constant_prediction(self, targets: Iterable[Tensor], *, everywhere: bool = False) -> Tensor:
        labelled = ((target, self.is_labelled(target)) for target in targets)
        return mean_over_images(labelled, missing=self.initial_output, everywhere=everywhere)

    def to_array(self, prediction_or_target: Tensor) -> Array:
        return prediction_or_target.squeeze(0).cpu().numpy().astype(np.float32)

    def summary(self, array: Array) -> dict[str, Any]:
        """The least, middle and greatest value, in the unit of the task."""
        known = array[self._known(array)]
        if known.size == 0:
            return {"unit": self.unit, "least": None, "median": None, "greatest": None}
        values = (known.min(), np.median(known), known.max())
        least, median, greatest = (round(float(value), 4) for value in values)
        return {"unit": self.unit, "least": least, "median": median, "greatest": greatest}

    def value_range(self, array: Array) -> tuple[float, float] | None:
        """The 2nd and 98th percentile of the labelled pixels: robust to a few odd ones."""
        known = array[self._known(array)]
        if known.size == 0:
            return None
        low, high = np.percentile(known, (2, 98))
        return float(low), float(high)

    def colourise(self, array: Array, value_range: tuple[float, float] | None = None) -> Picture:
        """Linear from the lowest to the highest value; see `shade`."""
        low, high = value_range or self.value_range(array) or (0.0, 1.0)
        valid = self._known(array)
        picture = self.shade((np.where(valid, array, low) - low) / max(high - low, 1e-6))
        picture[~valid] = INVALID
        return picture

    def shade(self, share: Array) -> Picture:
        """Shares (H, W) of the range, 0..1, as colours (H, W, 3): low is dark, high is bright."""
        return dark_bright(share)

    def _known(self, array: Array) -> Array:
        own = array if array.flags.writeable else array.copy()  # torch warns of what is not
        return self.is_labelled(torch.from_numpy(own)).numpy()
