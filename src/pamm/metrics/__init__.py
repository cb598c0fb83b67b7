"""Scores of the six tasks: additive states, thin classes over pure functions, no task knowledge."""

from pamm.compare.delta_g import delta_g
from pamm.metrics.angular_error import MeanAngularError
from pamm.metrics.base import Metric
from pamm.metrics.boundary_f import BoundaryF
from pamm.metrics.max_f import MaxF
from pamm.metrics.mean_iou import MeanIoU
from pamm.metrics.rmse import RootMeanSquaredError

__all__ = [
    "BoundaryF",
    "MaxF",
    "MeanAngularError",
    "MeanIoU",
    "Metric",
    "RootMeanSquaredError",
    "delta_g",
]
