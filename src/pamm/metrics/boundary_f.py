"""F-measure of boundary detection: ODS, OIS and AP, with no MATLAB."""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pamm import native
from pamm.metrics import boundary_matching, boundary_native
from pamm.metrics.base import Metric, State, check_binary, check_pair, check_probability
from pamm.metrics.boundary_forms import FORMS, BoundaryForm
from pamm.metrics.boundary_matching import Counts, Ints
from pamm.metrics.edges import Bools, Floats

BETWEEN = np.linspace(
    0, 1, 100
)  # steps from a threshold to the next, as Berkeley's code takes them


class BoundaryF(Metric):
    """Prediction: probability (B,1,H,W) in 0..1. Target: (B,A,H,W), 0, 1 or ignore_index.

    A is the number of people who marked the boundaries of an image, mostly 1.

    What becomes of a prediction is up to the form (`pamm.metrics.boundary_forms`): mostly it is
    non-maximum-suppressed along the estimated normal, cut at each threshold and thinned. Then its
    pixels are matched one to one with each target's boundary pixels within max_dist of the image
    diagonal (0.0075 for PASCAL-Context, 0.011 for NYUD-v2). Precision is the share of predicted
    pixels with a partner in at least one target, recall the share of the pixels of all targets
    that have one. Targets are used as given: their lines should be one pixel wide.
    Sources: see `pamm.metrics.edges` and `pamm.metrics.boundary_matching`.

    Ignored pixels take no part: an image is first cropped to the bounding box of its valid pixels
    (so padding changes nothing, not even the diagonal); in what remains, predictions at ignored
    pixels are taken as 0 and boundaries found there are dropped. A pixel is ignored where all
    targets say so. An image with no valid pixel is skipped.

    `compute` gives, as fractions in 0..1: odsF, the F-measure at the threshold that is best for
    the data set as a whole (odsThreshold); oisF, with the best threshold of each image, of equals
    the lowest; AP, the area under the precision-recall curve. Where there is no boundary and none
    was predicted, F is 0.

    An image takes about as long as the network does on a CPU: `InThreads` counts several at once.
    """

    slow: ClassVar[bool] = True

    def __init__(
        self,
        max_dist: float,
        ignore_index: int = 255,
        *,
        form: BoundaryForm = FORMS["seism"],
    ) -> None:
        if not 0 <= max_dist < 1:
            raise ValueError(
                f"max_dist: got {max_dist}, want a fraction of the image diagonal, 0..1"
            )
        if ignore_index in (0, 1):
            raise ValueError(f"ignore_index: got {ignore_index}, want neither 0 nor 1")
        steps = np.array(form.thresholds, dtype=np.float64)
        if not len(steps) or not steps[0] > 0 or not (np.diff(steps) > 0).all():
            raise ValueError(f"thresholds: got {form.thresholds}, want ascending numbers above 0")
        self.max_dist = max_dist
        self.ignore_index = ignore_index
        self.form, self.thresholds = form, steps
        super().__init__()

    def _empty_state(self) -> State:
        per_threshold = torch.zeros(len(self.thresholds), dtype=torch.int64)
        single = torch.zeros((), dtype=torch.int64)
        return {
            **{name: per_threshold.clone() for name in Counts._fields},
            **{f"best_{name}": single.clone() for name in Counts._fields},  # of each image's best
            "actual": single.clone(),
            "images": single.clone(),
        }

    def measure(self, prediction: Tensor, target: Tensor) -> State:
        total = self._empty_state()
        for image in self._images(prediction, target):
            for name, value in self._count(*image).items():
                total[name] += value
        return total

    def _images(self, prediction: Tensor, target: Tensor) -> list[tuple[Floats, Bools, Bools]]:
        """The images of a batch with any valid pixel: probability, truths (A,H,W) and valid."""
        many = isinstance(target, Tensor) and target.ndim == 4
        check_pair(prediction, target[:, :1] if many else target, channels=1)
        check_binary(target, ignore_index=self.ignore_index)
        images = []
        for probability, truths in zip(prediction[:, 0], target, strict=True):
            truths_AHW = truths.cpu()
            valid = (truths_AHW != self.ignore_index).any(0)
            if not valid.any():
                continue
            # .cpu() first: not every device has double precision.
            values = probability.detach().cpu().to(torch.float64)
            check_probability(values[valid])
            images.append((values.numpy(), (truths_AHW == 1).numpy(), valid.numpy()))
        return images

    def _count(self, probability: Floats, truths: Bools, valid: Bools) -> State:
        """What one image adds to the state."""
        counts, actual = image_counts(
            probability, truths, valid, max_dist=self.max_dist, form=self.form
        )
        best = best_index(counts, actual)
        return {
            **{name: torch.from_numpy(value) for name, value in counts._asdict().items()},
            **{f"best_{n}": torch.tensor(int(v[best])) for n, v in counts._asdict().items()},
            "actual": torch.tensor(actual),
            "images": torch.tensor(1),
        }

    def describe(self) -> dict[str, str | float]:
        between = ", interpolated between thresholds" if self.form.interpolate else ""
        return {
            "form": self.form.name,
            "max_dist": self.max_dist,
            "thresholds": len(self.thresholds),
            "prediction": self.form.describe(),
            "matching": "one to one, maximum cardinality",
            "pooled over": f"data set (odsF{between}, AP); best threshold per image (oisF)",
        }

    def compute(self) -> dict[str, float]:
        state = self._state
        if not int(state["images"]):
            return dict.fromkeys(("odsF", "odsThreshold", "oisF", "AP"), float("nan"))
        counts, actual = _counts(state), int(state["actual"])
        best = best_between if self.form.interpolate else best_at
        ods, threshold = best(counts, actual, self.thresholds)
        return {
            "odsF": ods,
            "odsThreshold": threshold,
            "oisF": float(f_measure(_counts(state, "best_"), actual)),
            "AP": average_precision(counts, actual, nothing=self.form.precision_of_nothing),
        }

    def curve(self) -> dict[str, Floats]:
        """Threshold, precision, recall and F so far, float64 (K,) each.

        Precision at a threshold that no pixel reaches is what the form says; other 0/0 is 0.
        """
        state = self.state()
        counts, actual = _counts(state), int(state["actual"])
        precision, recall = _precision_recall(counts, actual, self.form.precision_of_nothing)
        return {
            "threshold": self.thresholds.copy(),
            "precision": precision,
            "recall": recall,
            "F": f_measure(counts, actual),
        }


def image_counts(
    probability: Floats, truths: Bools, valid: Bools, *, max_dist: float, form: BoundaryForm
) -> tuple[Counts, int]:
    """The protocol for one image (H,W): counts at each threshold, and all true boundary pixels."""
    box = tuple(
        slice(int(hits[0]), int(hits[-1]) + 1)
        for hits in (np.flatnonzero(valid.any(1)), np.flatnonzero(valid.any(0)))
    )
    probability, truths, valid = probability[box], truths[:, *box], valid[box]
    code: Any = boundary_native if native.library() else boundary_matching
    ridges = _ridges(np.where(valid, probability, 0.0), valid, form, code)
    cuts = np.array(form.thresholds)
    counts = code.boundary_counts(
        np.where(valid, ridges, 0.0),
        truths,
        # At a threshold or above it is above the next smaller number.
        thresholds=cuts if form.strict else np.nextafter(cuts, 0),
        max_distance=max_dist * float(np.hypot(*valid.shape)),
    )
    return counts, int(np.count_nonzero(truths))


def _ridges(edges: Floats, valid: Bools, form: BoundaryForm, code: Any) -> Floats:
    """The strength of the boundary (H,W) where a form sees one, before it is cut at thresholds."""
    if form.stretch:
        low, high = edges[valid].min(), edges[valid].max()
        edges = np.where(valid, (edges - low) / ((high - low) or 1.0), 0.0)
    if form.eight_bits:
        edges = np.floor(255 * edges) / 255
    if form.suppress:
        edges = code.edge_nms(edges, smoothing=form.smoothing)
    if form.ridges_eight_bits:
        edges = np.rint(255 * edges) / 255
    return edges


def f_measure(counts: Counts, actual: int | Ints) -> Floats:
    """2 P R / (P + R) with P = matched / predicted, R = recalled / actual; 0/0 is 0."""
    return _f(*_precision_recall(counts, actual))


def best_index(counts: Counts, actual: int) -> int:
    """The threshold of the largest F, of equals the lowest."""
    return int(np.argmax(f_measure(counts, actual)))


def best_at(counts: Counts, actual: int, thresholds: Floats) -> tuple[float, float]:
    """The largest F at a threshold, and that threshold."""
    best = best_index(counts, actual)
    return float(f_measure(counts, actual)[best]), float(thresholds[best])


def best_between(counts: Counts, actual: int, thresholds: Floats) -> tuple[float, float]:
    """The largest F on the straight lines between neighbouring thresholds, and where that is.

    As Berkeley's benchmark collects results: precision, recall and threshold are interpolated at
    100 points from each threshold to the next, both ends included.
    """
    if len(thresholds) == 1:
        return best_at(counts, actual, thresholds)
    precision, recall, at = (
        values[:-1, None] * (1 - BETWEEN) + values[1:, None] * BETWEEN
        for values in (*_precision_recall(counts, actual), thresholds)
    )
    f = _f(precision, recall)
    best = np.unravel_index(np.argmax(f), f.shape)
    return float(f[best]), float(at[best])


def average_precision(counts: Counts, actual: int, *, nothing: float = 0.0) -> float:
    """Area under the precision-recall curve, as the Berkeley benchmark has it.

    Precision is interpolated linearly at recall 0, 0.01 .. 1 and is 0 outside the recalls that
    thresholds reach; a threshold with no prediction has the precision `nothing`. The sum of the
    101 values over 100, at most 1; 0 where all thresholds have one recall.
    """
    precision, recall = _precision_recall(counts, actual, nothing)
    recall, first = np.unique(recall, return_index=True)
    if len(recall) == 1:
        return 0.0
    curve = np.interp(np.arange(101) / 100, recall, precision[first], left=0.0, right=0.0)
    return min(1.0, float(curve.sum()) / 100)


def _precision_recall(
    counts: Counts, actual: int | Ints, nothing: float = 0.0
) -> tuple[Floats, Floats]:
    precision = counts.matched / np.maximum(counts.predicted, 1)
    recall = counts.recalled / np.maximum(actual, 1)
    return np.where(counts.predicted == 0, nothing, precision), recall


def _f(precision: Floats, recall: Floats) -> Floats:
    result: Floats = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    return result


def _counts(state: State, prefix: str = "") -> Counts:
    return Counts(*(state[prefix + name].numpy() for name in Counts._fields))
