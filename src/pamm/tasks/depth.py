"""Depth: planar z, the distance along the camera's axis, in metres."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from pamm.runtime.ranges import Metres
from pamm.tasks.base import Array, Picture, Task, mean_over_images, sums_and_counts
from pamm.tasks.colours import INVALID, near_bright

if TYPE_CHECKING:
    from pamm.metrics import RootMeanSquaredError


@dataclass(frozen=True, kw_only=True)
class Depth(Task):
    """L1 in metres over the pixels with a positive, finite target; scored by RMSE.

    Target float (B, 1, H, W), 0 where not labelled; prediction metres >= 0 (B, 1, H, W); array
    float32 (H, W).
    """

    type_name: ClassVar[str] = "depth"
    title: ClassVar[str] = "depth"
    score: ClassVar[str] = "RMSE"
    higher_is_better: ClassVar[bool] = False
    unit: ClassVar[str] = "m"
    target_lead: ClassVar[tuple[int, ...]] = (1,)
    target_dtype: ClassVar[torch.dtype] = torch.float32

    name: str = type_name
    channels: int = 1
    mean_depth: Metres = 2.5
    """Metres, of the training data: where the head starts. The default suits a room."""
    max_depth: Metres = 80.0
    """Metres: targets as far as this or farther take no part in the score."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_channels(1)
        for name in ("mean_depth", "max_depth"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"task {self.name!r}: {name} is {value}, must be metres above 0")

    @property
    def pad_value(self) -> float:
        return 0.0

    @property
    def initial_output(self) -> float:
        return self.mean_depth

    def metric(self) -> "RootMeanSquaredError":
        from pamm.metrics import RootMeanSquaredError

        return RootMeanSquaredError(max_depth=self.max_depth)

    def rescale(self, target: Tensor, scale: float) -> Tensor:
        return target / scale

    def is_scored(self, target: Tensor) -> Tensor:
        return (_labelled(target) & (target < self.max_depth)).flatten(1).any(dim=1)

    def _loss_sums(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        valid = _labelled(target)
        # A NaN in the target must not reach the gradient through the masked pixels.
        distance = (logits - torch.where(valid, target, 0)).abs()
        return sums_and_counts(distance, valid)

    def _decode(self, logits: Tensor) -> Tensor:
        return logits.clamp(min=0)

    def to_mean_space(self, logits: Tensor) -> Tensor:
        return self.decode(logits)

    def from_mean_space(self, values: Tensor) -> Tensor:
        return values

    def constant_prediction(self, targets: Iterable[Tensor], *, everywhere: bool = False) -> Tensor:
        labelled = ((t, _labelled(t)) for t in targets)
        return mean_over_images(labelled, missing=self.mean_depth, everywhere=everywhere)

    def to_array(self, prediction_or_target: Tensor) -> Array:
        return prediction_or_target.squeeze(0).cpu().numpy().astype(np.float32)

    def value_range(self, array: Array) -> tuple[float, float] | None:
        """The 2nd and 98th percentile of the labelled pixels: robust to a few odd ones."""
        known = array[(array > 0) & np.isfinite(array)]
        if known.size == 0:
            return None
        low, high = np.percentile(known, (2, 98))
        return float(low), float(high)

    def colourise(self, array: Array, value_range: tuple[float, float] | None = None) -> Picture:
        """Near is bright, far is dark, linear in metres; see `colours.near_bright`."""
        low, high = value_range or self.value_range(array) or (0.0, 1.0)
        valid = (array > 0) & np.isfinite(array)
        share = (np.where(valid, array, low) - low) / max(high - low, 1e-6)
        picture = near_bright(share)
        picture[~valid] = INVALID
        return picture


def _labelled(target: Tensor) -> Tensor:
    return (target > 0) & target.isfinite()
