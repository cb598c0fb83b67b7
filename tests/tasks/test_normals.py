"""Normals: axes and flips, a loss that is safe at zero, unit vectors."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pamm.tasks import Normals
from pamm.tasks.normals import SHORTEST

task = Normals()


def unit(seed: int, *shape: int) -> torch.Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True)


def test_loss_equals_a_loop() -> None:
    logits, target = unit(0, 2, 3, 4, 5) * 3.7, unit(1, 2, 3, 4, 5)
    target[0, :, :2] = 0
    total, count = 0.0, 0
    for b, y, x in np.ndindex(2, 4, 5):
        g = target[b, :, y, x].numpy()
        if (g != 0).any():
            p = logits[b, :, y, x].numpy()
            total += np.abs(p / np.linalg.norm(p) - g).sum()
            count += 1
    np.testing.assert_allclose(task.loss(logits, target).item(), total / count, rtol=1e-12)


def test_the_length_of_a_prediction_does_not_matter() -> None:
    logits, target = unit(0, 1, 3, 4, 5), unit(1, 1, 3, 4, 5)
    torch.testing.assert_close(task.loss(logits * 50, target), task.loss(logits * 0.01, target))


def test_the_gradient_at_the_zero_vector_is_bounded() -> None:
    logits = torch.zeros(1, 3, 1, 1, requires_grad=True)
    target = torch.tensor([0.6, 0.0, -0.8]).view(1, 3, 1, 1)
    task.loss(logits, target).backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() <= 1 / SHORTEST
    assert logits.grad[0, 0] < 0  # towards the label
    assert logits.grad[0, 2] > 0


def test_flip_mirrors_and_negates_x() -> None:
    target = torch.tensor([[[0.6, 0.0]], [[0.0, 1.0]], [[0.8, 0.0]]])  # (3, 1, 2)
    flipped = task.flip(target)
    assert torch.equal(flipped[:, 0, 1], torch.tensor([-0.6, 0.0, 0.8]))
    assert torch.equal(flipped[:, 0, 0], torch.tensor([0.0, 1.0, 0.0]))
    batch = torch.stack([target, target * -1])
    assert torch.equal(task.flip(batch)[0], flipped)


@given(scale=st.sampled_from([1e-38, 1e-30, 1e-6, 1.0, 1e6, 1e30]), seed=st.integers(0, 99))
def test_decoded_vectors_have_length_one(scale: float, seed: int) -> None:
    direction = unit(seed, 1, 3, 2, 2).float()
    decoded = task.decode(direction * scale)
    torch.testing.assert_close(decoded.norm(dim=1), torch.ones(1, 2, 2))
    torch.testing.assert_close(decoded, direction, atol=1e-5, rtol=0)


def test_a_zero_vector_decodes_to_facing_the_camera() -> None:
    assert task.decode(torch.zeros(1, 3, 1, 1)).flatten().tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("normal", "colour"),
    [((0, 0, 1), (128, 128, 255)), ((1, 0, 0), (255, 128, 128)), ((0, -1, 0), (128, 0, 128))],
)
def test_colours_are_the_components(normal: tuple, colour: tuple) -> None:
    picture = task.colourise(np.array([[normal]], dtype=np.float32))
    assert tuple(picture[0, 0].tolist()) == colour


def test_arrays_have_the_components_last() -> None:
    target = unit(0, 1, 3, 2, 5)[0]
    array = task.to_array(target)
    assert array.shape == (2, 5, 3)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array[1, 4], target[:, 1, 4].float().numpy())
