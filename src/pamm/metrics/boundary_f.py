"""F-measure of boundary detection: ODS, OIS and AP, with no MATLAB."""

import numpy as np
import torch
from torch import Tensor

from pamm.metrics.base import Metric, State, check_binary, check_pair, check_probability
from pamm.metrics.boundary_matching import Ints, boundary_counts
from pamm.metrics.edges import Bools, Floats, edge_nms

THRESHOLDS = (0.001, *(i / 100 for i in range(1, 100)), 0.999)


class BoundaryF(Metric):
    """Prediction: probability (B,1,H,W) in 0..1. Target: (B,1,H,W), 0, 1 or ignore_index.

    Each prediction is smoothed, non-maximum-suppressed along the estimated normal, cut strictly
    above each threshold, thinned, and matched one to one with the target's boundary pixels within
    max_dist of the image diagonal (0.0075 for PASCAL-Context, 0.011 for NYUD-v2). The target is
    used as given: its lines should be one pixel wide. Sources: see `pamm.metrics.edges` and
    `pamm.metrics.boundary_matching`.

    Ignored pixels take no part: an image is first cropped to the bounding box of its valid pixels
    (so padding changes nothing, not even the diagonal); in what remains, predictions at ignored
    pixels are taken as 0 and boundaries found there are dropped. An image with no valid pixel is
    skipped.

    `compute` gives, as fractions in 0..1: odsF, the F-measure at the threshold that is best for
    the data set as a whole (odsThreshold); oisF, with the best threshold of each image; AP, the
    area under the precision-recall curve. Where there is no boundary and none was predicted, F
    is 0.
    """

    def __init__(
        self,
        max_dist: float,
        ignore_index: int = 255,
        thresholds: tuple[float, ...] = THRESHOLDS,
    ) -> None:
        if not 0 <= max_dist < 1:
            raise ValueError(
                f"max_dist: got {max_dist}, wanted a fraction of the image diagonal, 0..1"
            )
        if ignore_index in (0, 1):
            raise ValueError(f"ignore_index: got {ignore_index}, wanted neither 0 nor 1")
        if not thresholds or thresholds[0] < 0 or any(np.diff(thresholds) <= 0):
            raise ValueError(f"thresholds: got {thresholds}, wanted ascending numbers >= 0")
        self.max_dist = max_dist
        self.ignore_index = ignore_index
        self.thresholds = np.array(thresholds, dtype=np.float64)
        super().__init__()

    def _empty_state(self) -> State:
        per_threshold = torch.zeros(len(self.thresholds), dtype=torch.int64)
        single = torch.zeros((), dtype=torch.int64)
        return {
            "matched": per_threshold.clone(),
            "predicted": per_threshold.clone(),
            "best_matched": single.clone(),  # best: at the best threshold of each image
            "best_predicted": single.clone(),
            "actual": single.clone(),
            "images": single.clone(),
        }

    def _measure(self, prediction: Tensor, target: Tensor) -> State:
        check_pair(prediction, target, channels=1)
        check_binary(target, ignore_index=self.ignore_index)
        total = self._empty_state()
        for probability, truth in zip(prediction[:, 0], target[:, 0], strict=True):
            truth_HW = truth.cpu()
            valid = (truth_HW != self.ignore_index).numpy()
            if not valid.any():
                continue
            # .cpu() before .double(): not every device has double precision
            values = probability.detach().cpu().double()
            check_probability(values[torch.from_numpy(valid)])
            matched, predicted, actual = image_counts(
                values.numpy(),
                (truth_HW == 1).numpy(),
                valid,
                max_dist=self.max_dist,
                thresholds=self.thresholds,
            )
            best = best_index(matched, predicted, actual)
            total["matched"] += torch.from_numpy(matched)
            total["predicted"] += torch.from_numpy(predicted)
            total["best_matched"] += int(matched[best])
            total["best_predicted"] += int(predicted[best])
            total["actual"] += actual
            total["images"] += 1
        return total

    def describe(self) -> dict[str, str | float]:
        return {
            "max_dist": self.max_dist,
            "thresholds": len(self.thresholds),
            "prediction": "smoothed, non-maximum-suppressed, thinned",
            "matching": "one to one, maximum cardinality",
            "pooled over": "data set (odsF, AP); best threshold per image (oisF)",
        }

    def compute(self) -> dict[str, float]:
        if not int(self._state["images"]):
            return dict.fromkeys(("odsF", "odsThreshold", "oisF", "AP"), float("nan"))
        state = {name: value.numpy() for name, value in self._state.items()}
        matched, predicted, actual = state["matched"], state["predicted"], int(state["actual"])
        best = best_index(matched, predicted, actual)
        return {
            "odsF": float(f_measure(matched, predicted, actual)[best]),
            "odsThreshold": float(self.thresholds[best]),
            "oisF": float(f_measure(state["best_matched"], state["best_predicted"], actual)),
            "AP": average_precision(matched, predicted, actual),
        }


def image_counts(
    probability: Floats, boundary: Bools, valid: Bools, *, max_dist: float, thresholds: Floats
) -> tuple[Ints, Ints, int]:
    """The protocol for one image (H,W): matched and predicted pixels (K,), boundary pixels."""
    box = tuple(
        slice(int(hits[0]), int(hits[-1]) + 1)
        for hits in (np.flatnonzero(valid.any(1)), np.flatnonzero(valid.any(0)))
    )
    probability, boundary, valid = probability[box], boundary[box], valid[box]
    edges = np.where(valid, edge_nms(np.where(valid, probability, 0.0)), 0.0)
    matched, predicted = boundary_counts(
        edges,
        boundary,
        thresholds=thresholds,
        max_distance=max_dist * float(np.hypot(*valid.shape)),
    )
    return matched, predicted, int(np.count_nonzero(boundary))


def f_measure(matched: Ints, predicted: Ints, actual: int) -> Floats:
    """2 P R / (P + R) with P = matched / predicted, R = matched / actual; 0/0 is 0."""
    result: Floats = 2 * matched / np.maximum(predicted + actual, 1)
    return result


def best_index(matched: Ints, predicted: Ints, actual: int) -> int:
    """The threshold of the largest F; of equals the fewest predictions, then the lowest."""
    order = np.lexsort((predicted, -f_measure(matched, predicted, actual)))
    return int(order[0])


def average_precision(matched: Ints, predicted: Ints, actual: int) -> float:
    """Area under the precision-recall curve, as the Berkeley benchmark has it.

    Precision is interpolated linearly at recall 0, 0.01 .. 1 and is 0 outside the recalls that
    thresholds reach; a threshold with no prediction has precision 0. The sum of the 101 values
    over 100, at most 1.
    """
    recall, first = np.unique(matched / max(actual, 1), return_index=True)
    precision = (matched / np.maximum(predicted, 1))[first]
    curve = np.interp(np.arange(101) / 100, recall, precision, left=0.0, right=0.0)
    return min(1.0, float(curve.sum()) / 100)
