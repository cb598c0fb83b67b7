"""Depth: L1 over the labelled pixels, metres, near is bright."""

import numpy as np
import torch

from pamm.tasks import Depth
from pamm.tasks.colours import INVALID

task = Depth(mean_depth=3.0)


def test_loss_is_the_mean_error_in_metres() -> None:
    target = torch.tensor([1.0, 2.0, 0.0, -1.0]).view(1, 1, 2, 2)
    logits = torch.tensor([1.5, -1.0, 9.0, 9.0]).view(1, 1, 2, 2)
    assert task.loss(logits, target).item() == (0.5 + 3.0) / 2


def test_labels_that_are_not_finite_are_ignored() -> None:
    target = torch.tensor([1.0, float("nan"), float("inf"), 0.0]).view(1, 1, 2, 2)
    logits = torch.zeros(1, 1, 2, 2, requires_grad=True)
    loss = task.loss(logits, target)
    loss.backward()
    assert loss.item() == 1
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == [-1, 0, 0, 0]


def test_decode_never_gives_negative_depth() -> None:
    decoded = task.decode(torch.tensor([-2.0, 0.0, 3.5]).view(1, 1, 1, 3))
    assert decoded.flatten().tolist() == [0, 0, 3.5]


def test_the_head_starts_at_the_mean_depth() -> None:
    assert task.initial_output == 3.0


def test_an_enlarged_image_is_nearer() -> None:
    assert task.rescale(torch.tensor([2.0, 0.0]), 2.0).tolist() == [1.0, 0.0]
    any_lens = Depth(one_lens=False)
    assert any_lens.rescale(torch.tensor([2.0, 0.0]), 2.0).tolist() == [2.0, 0.0]


def test_constant_prediction_is_the_mean_where_labelled() -> None:
    targets = [torch.tensor([[[1.0, 4.0, 0.0]]]), torch.tensor([[[3.0, 0.0, 0.0]]])]
    assert task.constant_prediction(targets).tolist() == [[[2.0, 4.0, 3.0]]]


def test_near_is_bright_and_no_label_is_grey() -> None:
    array = np.array([[1.0, 2.0, 3.0, 0.0, np.nan]], dtype=np.float32)
    picture = task.colourise(array, (1.0, 3.0))[0]
    brightness = picture[:3].astype(int).sum(axis=-1)
    assert brightness[0] > brightness[1] > brightness[2]
    assert picture[3:].tolist() == [list(INVALID)] * 2


def test_the_range_ignores_outliers_and_unlabelled_pixels() -> None:
    array = np.linspace(1, 3, 10_000, dtype=np.float32).reshape(100, 100)
    array[0, 0], array[0, 1], array[1] = 70.0, np.inf, 0.0
    low, high = task.value_range(array)
    assert 1 < low < 1.2
    assert 2.8 < high < 3
    assert task.caption((low, high)) == f"depth, {low:.1f} to {high:.1f} m"
    assert task.value_range(np.zeros((2, 2))) is None


def test_a_flat_map_can_be_drawn() -> None:
    assert task.colourise(np.full((3, 3), 2.0)).shape == (3, 3, 3)


def test_an_image_beyond_the_largest_depth_is_not_scored() -> None:
    targets = torch.tensor([[[[0.0, 5.0]]], [[[0.0, 100.0]]], [[[float("nan"), 80.0]]]])
    assert Depth(max_depth=80).is_scored(targets).tolist() == [True, False, False]
