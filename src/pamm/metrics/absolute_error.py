"""Mean absolute error of a number per pixel, over all valid pixels of the data set."""

import math

import torch
from torch import Tensor

from pamm.metrics.base import Metric, State, check_pair, count, ratio, sum_per_image, to_float64


class MeanAbsoluteError(Metric):
    """Prediction, target: numbers (B,1,H,W) in one unit; valid where the target is finite.

    `compute` gives MAE and RMSE in that unit (lower is better). A NaN prediction at a valid pixel
    makes both NaN.
    """

    def _empty_state(self) -> State:
        return {
            "absolute_error": torch.zeros(3, dtype=torch.float64),
            "squared_error": torch.zeros(3, dtype=torch.float64),
            "pixels": torch.zeros((), dtype=torch.int64),
        }

    def measure(self, prediction: Tensor, target: Tensor) -> State:
        check_pair(prediction, target, channels=1)
        prediction, target = to_float64(prediction), to_float64(target.to(prediction.device))
        valid = target.isfinite()
        error = prediction - torch.where(valid, target, 0.0)
        return {
            "absolute_error": sum_per_image(error.abs(), valid),
            "squared_error": sum_per_image(error.square(), valid),
            "pixels": count(valid),
        }

    def describe(self) -> dict[str, str | float]:
        return {"MAE": "in the unit of the task", "pooled over": "valid pixels of the data set"}

    def compute(self) -> dict[str, float]:
        pixels = self._state["pixels"]
        return {
            "MAE": ratio(self._state["absolute_error"], pixels),
            "RMSE": math.sqrt(ratio(self._state["squared_error"], pixels)),
        }
