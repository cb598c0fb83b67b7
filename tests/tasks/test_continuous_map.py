"""A number per pixel of any sign, with the curvature of surfaces as an example."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from pamm.tasks.colours import INVALID
from pamm.tasks.continuous_map import ContinuousMap

NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Curvature(ContinuousMap):
    """Per metre."""

    type_name: ClassVar[str] = "curvature"
    title: ClassVar[str] = "curvature"
    unit: ClassVar[str] = "1/m"

    name: str = type_name


task = Curvature()


def test_loss_is_the_mean_error_where_labelled() -> None:
    target = torch.tensor([-1.0, 2.0, NAN, float("inf")]).view(1, 1, 2, 2)
    logits = torch.tensor([-3.0, 2.5, 9.0, 9.0]).view(1, 1, 2, 2).requires_grad_()
    loss = task.loss(logits, target)
    loss.backward()
    assert loss.item() == (2.0 + 0.5) / 2
    assert logits.grad.flatten().tolist() == [-0.5, 0.5, 0, 0]


def test_negative_predictions_stay() -> None:
    decoded = task.decode(torch.tensor([-2.0, 3.5]).view(1, 1, 1, 2))
    assert decoded.flatten().tolist() == [-2.0, 3.5]


def test_the_score_is_in_the_unit_of_the_task() -> None:
    metric = task.metric()
    metric.update(torch.tensor([[[[1.0, 5.0]]]]), torch.tensor([[[[-1.0, NAN]]]]))
    assert metric.compute()[task.score] == 2.0


def test_only_images_with_a_label_are_scored() -> None:
    target = torch.stack([task.missing(2, 3), torch.zeros(1, 2, 3)])
    assert task.is_scored(target).tolist() == [False, True]


def test_constant_prediction_is_the_mean_where_labelled_and_the_start_elsewhere() -> None:
    targets = [torch.tensor([[[-1.0, 4.0, NAN]]]), torch.tensor([[[3.0, NAN, NAN]]])]
    assert task.constant_prediction(targets).tolist() == [[[1.0, 4.0, 0.0]]]


def test_high_is_bright_and_no_label_is_grey() -> None:
    array = np.array([[-2.0, 0.0, 2.0, np.nan, np.inf]], dtype=np.float32)
    array.flags.writeable = False
    picture = task.colourise(array, (-2.0, 2.0))[0]
    brightness = picture[:3].astype(int).sum(axis=-1)
    assert brightness[0] < brightness[1] < brightness[2]
    assert picture[3:].tolist() == [list(INVALID)] * 2
    assert task.caption((-2.0, 2.0)) == "curvature, -2.0 to 2.0 1/m"
