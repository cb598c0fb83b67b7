"""Root mean squared error of depth, over all valid pixels of the data set."""

import math

import torch
from torch import Tensor

from pamm.metrics.base import Metric, State, check_pair, count, ratio, sum_per_image, to_float64


class RootMeanSquaredError(Metric):
    """Prediction, target: depth (B,1,H,W) in metres.

    Pixels are valid where min_depth < target < max_depth; predictions are clamped to >= 0.
    `compute` gives RMSE in metres (lower is better), abs_rel: the mean of |p - g| / g, and delta1:
    the share of valid pixels with max(p / g, g / p) < 1.25. A NaN prediction at a valid pixel
    makes RMSE NaN.
    """

    def __init__(self, min_depth: float = 0, max_depth: float = 80) -> None:
        if not 0 <= min_depth < max_depth:
            raise ValueError(
                f"min_depth, max_depth: got {min_depth}, {max_depth}, want 0 <= min_depth < "
                "max_depth"
            )
        self.min_depth = min_depth
        self.max_depth = max_depth
        super().__init__()

    def _empty_state(self) -> State:
        return {
            "squared_error": torch.zeros(3, dtype=torch.float64),
            "relative_error": torch.zeros(3, dtype=torch.float64),
            "close": torch.zeros((), dtype=torch.int64),
            "pixels": torch.zeros((), dtype=torch.int64),
        }

    def measure(self, prediction: Tensor, target: Tensor) -> State:
        check_pair(prediction, target, channels=1)
        prediction, target = to_float64(prediction), to_float64(target.to(prediction.device))
        valid = (target > self.min_depth) & (target < self.max_depth)
        prediction = prediction.clamp_min(0)
        error = prediction - target
        close = torch.maximum(prediction / target, target / prediction) < 1.25
        return {
            "squared_error": sum_per_image(error.square(), valid),
            "relative_error": sum_per_image(error.abs() / target, valid),
            "close": count(valid & close),
            "pixels": count(valid),
        }

    def describe(self) -> dict[str, str | float]:
        return {
            "RMSE": "metres",
            "min_depth": self.min_depth,
            "max_depth": self.max_depth,
            "pooled over": "valid pixels of the data set",
        }

    def compute(self) -> dict[str, float]:
        pixels = self._state["pixels"]
        return {
            "RMSE": math.sqrt(ratio(self._state["squared_error"], pixels)),
            "abs_rel": ratio(self._state["relative_error"], pixels),
            "delta1": ratio(self._state["close"], pixels),
        }
