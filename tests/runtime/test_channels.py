"""Reductions over channels, against NumPy and torch's own."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pamm.runtime.channels import largest, length, unit


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 1, 2), (3, 40, 6), (2, 2, 1, 1)])
def test_as_numpy_has_them(shape):
    x = torch.randn(shape, dtype=torch.float64)
    a = x.numpy()
    norm = np.linalg.norm(a, axis=1)
    np.testing.assert_allclose(length(x).numpy(), norm, rtol=1e-14)
    np.testing.assert_allclose(unit(x, shortest=1e-9).numpy(), a / norm[:, None], rtol=1e-14)
    np.testing.assert_array_equal(largest(x).numpy(), a.argmax(axis=1))


def test_the_first_of_equal_channels_and_nan_are_taken_as_argmax_does():
    x = torch.randint(0, 3, (4, 6, 200)).float()
    assert torch.equal(largest(x), x.argmax(dim=1))
    x[:, 2, ::3] = torch.nan
    assert torch.equal(largest(x), x.argmax(dim=1))


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4, 0.0])
def test_unit_and_its_gradient_are_those_of_normalize(scale):
    """Longer, around and shorter than the shortest, and zero."""
    x = (scale * torch.randn(2, 3, 4, 5, dtype=torch.float64)).requires_grad_()
    weights = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    ours, theirs = unit(x, shortest=1e-2), F.normalize(x, dim=1, eps=1e-2)
    torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=0)
    gradients = [torch.autograd.grad((y * weights).sum(), x)[0] for y in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-11)
