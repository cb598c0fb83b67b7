"""Mean intersection over union of class maps, from one confusion matrix over the whole data set."""

import torch
from torch import Tensor

from pamm.metrics.base import Metric, State, check_pair


class MeanIoU(Metric):
    """Prediction: class map (B,H,W), values 0..num_classes-1. Target: the same, or ignore_index.

    `compute` gives fractions in 0..1:
      mIoU            mean over all classes, where a class that neither the ground truth nor the
                      prediction ever shows counts 0 (the "official" protocol);
      mIoU_present    mean over the classes that one of them shows;
      pixel_accuracy  share of valid pixels whose class is right.
    Raises ValueError for a class out of range; predictions at ignored pixels are not looked at.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes: got {num_classes}, want at least 1")
        if 0 <= ignore_index < num_classes:
            raise ValueError(
                f"ignore_index: got {ignore_index}, which is one of the {num_classes} classes"
            )
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        super().__init__()

    def _empty_state(self) -> State:
        shape = (self.num_classes, self.num_classes)
        return {"confusion": torch.zeros(shape, dtype=torch.int64)}

    def measure(self, prediction: Tensor, target: Tensor) -> State:
        check_pair(prediction, target, channels=None)
        target = target.to(prediction.device)
        valid = target != self.ignore_index
        return {"confusion": confusion_matrix(prediction[valid], target[valid], self.num_classes)}

    def iou_per_class(self) -> Tensor:
        """Intersection over union, float64 (num_classes,); NaN for a class not seen."""
        return intersection_over_union(self._state["confusion"])

    def describe(self) -> dict[str, str | float]:
        return {
            "mIoU": "mean over all classes, one never seen counts 0 (official)",
            "mIoU_present": "mean over the classes seen",
            "classes": self.num_classes,
            "pooled over": "data set, one confusion matrix",
        }

    def compute(self) -> dict[str, float]:
        confusion = self._state["confusion"].double()
        iou = self.iou_per_class()
        pixels = float(confusion.sum())
        if not pixels:
            return dict.fromkeys(("mIoU", "mIoU_present", "pixel_accuracy"), float("nan"))
        return {
            "mIoU": float(iou.nan_to_num(0.0).mean()),
            "mIoU_present": float(iou.nanmean()),
            "pixel_accuracy": float(confusion.diagonal().sum()) / pixels,
        }


def confusion_matrix(prediction: Tensor, target: Tensor, num_classes: int) -> Tensor:
    """Count pairs of classes: int64 (num_classes, num_classes), rows target, columns prediction.

    Both arguments: (pixels,), whole numbers in 0..num_classes-1 of any dtype, else ValueError.
    """
    for name, value in (("prediction", prediction), ("target", target)):
        outside = (value < 0) | (value >= num_classes) | (value != value.long())
        if bool(outside.any()):
            raise ValueError(
                f"{name}: got the class {value[outside][0].item()}, want a whole number in "
                f"0..{num_classes - 1}"
            )
    pairs = target.long() * num_classes + prediction.long()
    return torch.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def intersection_over_union(confusion: Tensor) -> Tensor:
    """Per class, float64 (classes,), from a confusion matrix (classes, classes); 0/0 is NaN."""
    confusion = confusion.double()
    intersection = confusion.diagonal()
    return intersection / (confusion.sum(0) + confusion.sum(1) - intersection)
