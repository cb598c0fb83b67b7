"""Depth: planar z, the distance along the camera's axis, in metres."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from pamm.runtime.ranges import Metres
from pamm.tasks.base import Array, Picture
from pamm.tasks.colours import dark_bright
from pamm.tasks.continuous_map import ContinuousMap

if TYPE_CHECKING:
    from pamm.metrics import RootMeanSquaredError


@dataclass(frozen=True, kw_only=True)
class Depth(ContinuousMap):
    """L1 in metres over the pixels with a positive, finite target; scored by RMSE.

    Target float (B, 1, H, W), 0 where not labelled; prediction metres >= 0 (B, 1, H, W); array
    float32 (H, W).
    """

    type_name: ClassVar[str] = "depth"
    title: ClassVar[str] = "depth"
    score: ClassVar[str] = "RMSE"
    unit: ClassVar[str] = "m"
    lowest: ClassVar[float] = 0.0

    name: str = type_name
    mean_depth: Metres = 2.5
    """Metres, of the training data: where the head starts. The default suits a room."""
    max_depth: Metres = 80.0
    """Metres: targets as far as this or farther take no part in the score."""
    one_lens: bool = True
    """Whether all images are through a lens of one focal length: what an enlarged image shows is
    then nearer by the factor. Otherwise it is seen through a longer lens, and as far as before."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("mean_depth", "max_depth"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"task {self.name!r}: {name} is {value}, want metres above 0")

    @property
    def pad_value(self) -> float:
        return 0.0

    @property
    def initial_output(self) -> float:
        return self.mean_depth

    def is_labelled(self, target: Tensor) -> Tensor:
        return (target > 0) & target.isfinite()

    def is_scored(self, target: Tensor) -> Tensor:
        return (self.is_labelled(target) & (target < self.max_depth)).flatten(1).any(dim=1)

    def metric(self) -> "RootMeanSquaredError":
        from pamm.metrics import RootMeanSquaredError

        return RootMeanSquaredError(max_depth=self.max_depth)

    def rescale(self, target: Tensor, scale: float) -> Tensor:
        return target / scale if self.one_lens else target

    def shade(self, share: Array) -> Picture:
        """Near is bright, far is dark."""
        return dark_bright(1 - share)
