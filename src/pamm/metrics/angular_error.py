"""Angle between predicted and true surface normals, over all valid pixels of the data set."""

import torch
from torch import Tensor

from pamm.metrics.base import Metric, State, check_pair, count, ratio, sum_per_image, to_float64
from pamm.runtime.channels import length, unit

# Share of pixels below these angles, in degrees: the usual companions of the mean.
LIMITS = (11.25, 22.5, 30.0)


class MeanAngularError(Metric):
    """Prediction, target: vectors (B,3,H,W) of any length; both are brought to unit length here.

    A target pixel is invalid if it is the zero vector, or not finite, or one of its components is
    ignore_index. A zero prediction counts as 90 degrees. `compute` gives mErr in degrees (lower is
    better), and within_11.25, within_22.5, within_30: the share of valid pixels with an error below
    that many degrees. A prediction that is NaN at a valid pixel makes mErr NaN.
    """

    def __init__(self, ignore_index: int = 255) -> None:
        self.ignore_index = ignore_index
        super().__init__()

    def _empty_state(self) -> State:
        return {
            "angle": torch.zeros(3, dtype=torch.float64),
            "within": torch.zeros(len(LIMITS), dtype=torch.int64),
            "pixels": torch.zeros((), dtype=torch.int64),
        }

    def measure(self, prediction: Tensor, target: Tensor) -> State:
        check_pair(prediction, target, channels=3)
        prediction, target = to_float64(prediction), to_float64(target.to(prediction.device))
        long = length(target)
        valid = (long > 0) & long.isfinite() & (target != self.ignore_index).all(1)
        angle = angle_between(prediction, target)
        return {
            "angle": sum_per_image(angle, valid),
            "within": torch.stack([count(valid & (angle < limit)) for limit in LIMITS]),
            "pixels": count(valid),
        }

    def describe(self) -> dict[str, str | float]:
        return {"mErr": "mean angle in degrees", "pooled over": "valid pixels of the data set"}

    def compute(self) -> dict[str, float]:
        pixels = self._state["pixels"]
        scores = {"mErr": ratio(self._state["angle"], pixels)}
        for limit, within in zip(LIMITS, self._state["within"], strict=True):
            scores[f"within_{limit:g}"] = ratio(within, pixels)
        return scores


def angle_between(a: Tensor, b: Tensor) -> Tensor:
    """Angle in degrees, float64 (B,...), of vectors (B,3,...).

    2 atan2(|a - b|, |a + b|) of the unit vectors. Unlike the arc cosine of the dot product it
    is exact for small angles too.
    """
    a, b = (unit(v.double(), shortest=1e-150) for v in (a, b))
    return torch.rad2deg(2 * torch.atan2(length(a - b), length(a + b)))
