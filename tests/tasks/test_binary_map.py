"""Saliency and boundary: weighted losses against independent sums, decoding, colours."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pamm.tasks import Boundary, Saliency


def example(channels: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, channels, 5, 4, generator=generator, dtype=torch.float64)
    target = (torch.rand(2, 1, 5, 4, generator=generator) < 0.3).byte()
    target[0, 0, 0] = 255
    target[1, 0, :, 3] = 255
    return logits, target


def brute_force(probability: np.ndarray, target: np.ndarray, w: float) -> float:
    total, count = 0.0, 0
    for p, t in zip(probability.ravel(), target.ravel(), strict=True):
        if t == 255:
            continue
        total -= w * np.log(p) if t == 1 else (1 - w) * np.log(1 - p)
        count += 1
    return total / count


def test_saliency_loss_weighs_by_the_share_of_the_other_kind() -> None:
    logits, target = example(2)
    valid = target != 255
    w = float((target == 0).sum() / valid.sum())
    loss = Saliency().loss(logits, target)
    expected = brute_force(logits.softmax(1)[:, 1:].numpy(), target.numpy(), w)
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-6)  # the share is a float32

    weight = torch.tensor([1 - w, w], dtype=torch.float64)
    total = F.cross_entropy(logits, target[:, 0].long(), weight, ignore_index=255, reduction="sum")
    torch.testing.assert_close(loss, total / valid.sum(), rtol=1e-6, atol=0)


def test_saliency_shares_are_of_the_whole_batch() -> None:
    logits = torch.zeros(2, 2, 1, 4)
    target = torch.tensor([[[[1, 1, 1, 0]]], [[[0, 0, 0, 0]]]])
    # 3 of 8 are positive: 3 pixels weigh 5/8 and 5 weigh 3/8, each with entropy log 2.
    expected = (3 * 5 / 8 + 5 * 3 / 8) / 8 * np.log(2)
    assert Saliency().loss(logits, target).item() == pytest.approx(expected)


@pytest.mark.parametrize("only", [0, 1])
def test_saliency_of_one_kind_only_has_no_loss(only: int) -> None:
    assert Saliency().loss(torch.randn(1, 2, 3, 3), torch.full((1, 1, 3, 3), only)).item() == 0


@pytest.mark.parametrize("w", [0.0, 0.88, 0.95, 1.0])
def test_boundary_loss(w: float) -> None:
    logits, target = example(1)
    loss = Boundary(positive_weight=w).loss(logits, target)
    expected = brute_force(logits.sigmoid().numpy(), target.numpy(), w)
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32])
@pytest.mark.parametrize("task", [Saliency(), Boundary()], ids=lambda t: t.name)
def test_any_type_is_a_target(task, dtype: torch.dtype) -> None:
    logits, target = example(task.channels)
    assert torch.equal(task.loss(logits, target.to(dtype)), task.loss(logits, target))


def test_two_channels_are_one_logit() -> None:
    logits, target = example(2)
    one = logits[:, 1:] - logits[:, :1]
    torch.testing.assert_close(
        Saliency().loss(logits, target), Saliency(channels=1).loss(one, target)
    )
    torch.testing.assert_close(Saliency().decode(logits), logits.softmax(1)[:, 1:])
    torch.testing.assert_close(Boundary().decode(one), one.sigmoid())


def test_decoded_probabilities_stay_in_range_for_huge_logits() -> None:
    decoded = Boundary().decode(torch.tensor([-1e30, 0.0, 1e30]).view(1, 1, 1, 3))
    assert decoded.flatten().tolist() == [0.0, 0.5, 1.0]


def test_constant_prediction_is_the_share_of_positives() -> None:
    targets = [torch.tensor([[[1, 0, 255]]]), torch.tensor([[[0, 255, 255]]])]
    assert Boundary().constant_prediction(targets).tolist() == [[[0.5, 0.0, 0.0]]]


def test_pictures_are_grey() -> None:
    picture = Boundary().colourise(np.array([[0, 1, 0.2]], dtype=np.float32))
    assert picture[0].tolist() == [[0] * 3, [255] * 3, [51] * 3]
