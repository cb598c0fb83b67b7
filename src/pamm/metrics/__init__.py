"""Scores of the six tasks: additive states, thin classes over pure functions, no task knowledge."""

from pamm.compare.delta_g import delta_g
from pamm.metrics.absolute_error import MeanAbsoluteError
from pamm.metrics.angular_error import MeanAngularError
from pamm.metrics.base import Metric
from pamm.metrics.boundary_f import BoundaryF
from pamm.metrics.in_threads import InThreads
from pamm.metrics.max_f import MaxF
from pamm.metrics.mean_iou import MeanIoU
from pamm.metrics.rmse import RootMeanSquaredError

__all__ = [
    "BoundaryF",
    "InThreads",
    "MaxF",
    "MeanAbsoluteError",
    "MeanAngularError",
    "MeanIoU",
    "Metric",
    "RootMeanSquaredError",
    "delta_g",
]
