"""Surface normals in the camera's frame: +x left, +y up, +z towards the camera."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pamm.runtime.channels import unit
from pamm.tasks.base import Array, Picture, Task, mean_over_images, sums_and_counts
from pamm.tasks.colours import INVALID

if TYPE_CHECKING:
    from pamm.metrics import MeanAngularError

SHORTEST = 1e-3
"""In the loss a shorter prediction counts as this long: it bounds the gradient at zero."""


@dataclass(frozen=True, kw_only=True)
class Normals(Task):
    """L1 distance of the unit-normalised prediction, scored by the mean angular error.

    Target float (B, 3, H, W) of unit vectors, the zero vector where not labelled; prediction unit
    vectors (B, 3, H, W); array float32 (H, W, 3).
    """

    type_name: ClassVar[str] = "normals"
    title: ClassVar[str] = "surface normals"
    score: ClassVar[str] = "mErr"
    higher_is_better: ClassVar[bool] = False
    unit: ClassVar[str] = "degrees"
    target_lead: ClassVar[tuple[int, ...]] = (3,)
    target_dtype: ClassVar[torch.dtype] = torch.float32

    name: str = type_name
    channels: int = 3
    loss_weight: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_channels(3)

    @property
    def pad_value(self) -> float:
        return 0.0

    def metric(self) -> "MeanAngularError":
        from pamm.metrics import MeanAngularError

        return MeanAngularError()

    def flip(self, target: Tensor) -> Tensor:
        """Mirrors the pixels, and x changes sign with them."""
        sign = target.new_tensor([-1, 1, 1]).view(3, 1, 1)
        return target.flip(-1) * sign

    def _loss_sums(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Of distances summed over the three components."""
        valid = (target != 0).any(dim=1)
        distance = (unit(logits, shortest=SHORTEST) - target).abs().sum(dim=1)
        return sums_and_counts(distance, valid)

    def _decode(self, logits: Tensor) -> Tensor:
        """Unit vectors; a zero vector becomes (0, 0, 1), a surface that faces the camera."""
        zero = (logits == 0).all(dim=1, keepdim=True)
        facing = logits.new_tensor([0, 0, 1]).view(3, 1, 1)
        # Twice, as the square of a tiny component underflows: first by the largest, then by length.
        largest = logits.abs().amax(dim=1, keepdim=True)
        scaled = logits / torch.where(zero, torch.ones_like(largest), largest)
        return torch.where(zero, facing, unit(scaled, shortest=1e-12))

    def to_mean_space(self, logits: Tensor) -> Tensor:
        return self.decode(logits)

    def from_mean_space(self, values: Tensor) -> Tensor:
        return values

    def constant_prediction(self, targets: Iterable[Tensor], *, everywhere: bool = False) -> Tensor:
        labelled = ((target, (target != 0).any(dim=0, keepdim=True)) for target in targets)
        mean = mean_over_images(labelled, missing=0, everywhere=everywhere)
        return self._decode(mean[None])[0]

    def to_array(self, prediction_or_target: Tensor) -> Array:
        return prediction_or_target.permute(1, 2, 0).contiguous().cpu().numpy().astype(np.float32)

    def summary(self, array: Array) -> dict[str, Any]:
        """The shares that face upwards, downwards and the camera, within 30 degrees."""
        near = float(np.cos(np.radians(30)))
        faces = {"up": array[..., 1], "down": -array[..., 1], "camera": array[..., 2]}
        return {"facing": {way: round(float((x > near).mean()), 4) for way, x in faces.items()}}

    def colourise(self, array: Array, value_range: tuple[float, float] | None = None) -> Picture:
        """(n + 1) / 2 as red, green, blue: a wall that faces the camera is light blue."""
        picture = np.rint((np.clip(array, -1, 1) + 1) * 127.5).astype(np.uint8)
        picture[(array == 0).all(axis=-1)] = INVALID
        return picture
