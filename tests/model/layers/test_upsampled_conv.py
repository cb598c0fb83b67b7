"""The enlarged map's convolution, computed at the small size, against the plain two operations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from pamm.model.layers.upsampled_conv import upsampled_conv3x3


def plain(x, weight):
    """(4h, B, 4w, outputs), as `upsampled_conv3x3`."""
    enlarged = F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)
    return F.conv2d(enlarged, weight, padding=1).permute(2, 0, 3, 1)


@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(1, 3),
    inputs=st.integers(1, 4),
    outputs=st.integers(1, 4),
    h=st.integers(1, 13),
    w=st.integers(1, 13),
    seed=st.integers(0, 1000),
)
def test_equals_enlarging_then_convolving(batch, inputs, outputs, h, w, seed):
    """Values and both gradients, at all sizes: single rows and columns are all border."""
    torch.manual_seed(seed)
    x = torch.randn(batch, inputs, h, w, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(outputs, inputs, 3, 3, dtype=torch.float64, requires_grad=True)
    expected = plain(x, weight)
    y = upsampled_conv3x3(x, weight)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    along = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(y, (x, weight), along),
        torch.autograd.grad(expected, (x, weight), along),
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize("size", [(28, 36), (32, 32)])
def test_float32_at_the_size_of_a_stage(size):
    torch.manual_seed(0)
    x, weight = torch.randn(1, 64, *size), torch.randn(64, 64, 3, 3) / 24
    torch.testing.assert_close(upsampled_conv3x3(x, weight), plain(x, weight), rtol=1e-5, atol=1e-5)


def test_the_channels_are_last_in_memory():
    """What follows runs along rows of channels; a hidden copy would cost more than the product."""
    y = upsampled_conv3x3(torch.randn(2, 8, 3, 5), torch.randn(8, 8, 3, 3))
    assert y.shape == (12, 2, 20, 8)
    assert y.is_contiguous()


def test_serves_training_after_prediction():
    """The matrices are kept between calls, also those made while gradients were off."""
    x, weight = torch.randn(1, 2, 3, 17), torch.randn(2, 2, 3, 3, requires_grad=True)
    with torch.inference_mode():
        upsampled_conv3x3(x, weight)
    upsampled_conv3x3(x, weight).sum().backward()
    assert weight.grad.isfinite().all()
