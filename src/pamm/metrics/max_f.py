"""Maximal F-measure of a salient-object map, precision and recall pooled over the data set."""

import math

import torch
from torch import Tensor

from pamm.metrics.base import Metric, State, check_binary, check_pair, check_probability, to_float64

PROTOCOLS = ("official", "plain")


class MaxF(Metric):
    """Prediction: probability (B,1,H,W) in 0..1. Target: (B,1,H,W), 0, 1 or ignore_index.

    A pixel is predicted salient where its value is at least the threshold. Protocols:
      official  thresholds 0.05, 0.10 .. 0.95 on sigmoid(p), p the probability, as the meters of
                ATRC and InvPT do. sigmoid(p) lies in 0.5..0.731, so only five cuts matter:
                p >= 0 (that is, everything), 0.201, 0.405, 0.619, 0.847;
      plain     255 evenly spaced thresholds 0..1 on p.
    `compute` gives maxF with its precision and recall (fractions in 0..1) and its threshold, on the
    protocol's own scale: of sigmoid(p) where official, of p where plain. F has beta^2 = 0.3; where
    nothing is salient and nothing predicted, F is 0.
    """

    beta_squared = 0.3

    def __init__(self, protocol: str = "official", ignore_index: int = 255) -> None:
        if protocol not in PROTOCOLS:
            raise ValueError(f"protocol: got {protocol!r}, want one of {', '.join(PROTOCOLS)}")
        if ignore_index in (0, 1):
            raise ValueError(f"ignore_index: got {ignore_index}, want neither 0 nor 1")
        self.protocol = protocol
        self.ignore_index = ignore_index
        if protocol == "official":
            self.thresholds = torch.arange(1, 20, dtype=torch.float64) / 20
            self._cuts = torch.tensor([_logit(t) for t in self.thresholds.tolist()]).double()
        else:
            self.thresholds = torch.linspace(0, 1, 255, dtype=torch.float64)
            self._cuts = self.thresholds
        super().__init__()

    def _empty_state(self) -> State:
        bins = len(self.thresholds) + 1
        return {name: torch.zeros(bins, dtype=torch.int64) for name in ("positives", "negatives")}

    def measure(self, prediction: Tensor, target: Tensor) -> State:
        check_pair(prediction, target, channels=1)
        check_binary(target, ignore_index=self.ignore_index)
        target = target.to(prediction.device)
        positive, negative = prediction[target == 1], prediction[target == 0]
        for values in (positive, negative):
            check_probability(values)
        return {
            "positives": histogram(positive, self._cuts),
            "negatives": histogram(negative, self._cuts),
        }

    def describe(self) -> dict[str, str | float]:
        return {
            "protocol": self.protocol,
            "cuts": "sigmoid(p) at 0.05..0.95"
            if self.protocol == "official"
            else "p at 255 levels",
            "beta_squared": self.beta_squared,
            "pooled over": "data set",
        }

    def compute(self) -> dict[str, float]:
        positives, negatives = self._state["positives"], self._state["negatives"]
        names = ("maxF", "threshold", "precision", "recall")
        if not int(positives.sum() + negatives.sum()):
            return dict.fromkeys(names, float("nan"))
        true, predicted = at_or_above(positives), at_or_above(positives + negatives)
        f = f_measure(true, predicted, positives.sum(), self.beta_squared)
        best = int(f.argmax())
        precision, recall = true / predicted.clamp_min(1), true / positives.sum().clamp_min(1)
        scores = (f, self.thresholds, precision, recall)
        return {name: float(values[best]) for name, values in zip(names, scores, strict=True)}


def histogram(values: Tensor, cuts: Tensor) -> Tensor:
    """int64 (cuts + 1,): entry i counts the values (n,) that reach exactly i of the sorted cuts."""
    values = to_float64(values)
    bins = torch.bucketize(values, cuts.to(values.device), right=True)
    return torch.bincount(bins, minlength=len(cuts) + 1)


def at_or_above(histogram: Tensor) -> Tensor:
    """From a `histogram` (cuts + 1,) to the number of values at or above each cut, (cuts,)."""
    return histogram.flip(0).cumsum(0).flip(0)[1:]


def f_measure(true: Tensor, predicted: Tensor, actual: Tensor, beta_squared: float) -> Tensor:
    """(1 + b) P R / (b P + R) from counts of true, predicted and actual positives; 0/0 is 0."""
    denominator = beta_squared * actual + predicted
    return (1 + beta_squared) * true.double() / torch.where(denominator > 0, denominator, 1)


def _logit(probability: float) -> float:
    """The p with sigmoid(p) = probability."""
    return math.log(probability / (1 - probability))
