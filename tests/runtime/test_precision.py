import pytest
import torch
from torch import nn

from pamm.runtime.precision import forward


class Net(nn.Module):
    """A convolution whose result says in what precision it was made."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.made_in: torch.dtype | None = None

    def forward(self, image):
        logits = self.conv(image)
        self.made_in = logits.dtype
        return {"depth": logits}


@pytest.mark.parametrize(
    ("precision", "dtype"), [("16-mixed", torch.float16), ("bf16-mixed", torch.bfloat16)]
)
def test_half_precision_inside_and_float32_outside(precision, dtype):
    net, image = Net(), torch.randn(2, 3, 9, 8)
    exact = forward(net, image)["depth"]
    assert net.made_in == exact.dtype == torch.float32
    rounded = forward(net, image, precision)["depth"]
    assert net.made_in == dtype
    assert rounded.dtype == torch.float32
    difference = (rounded - exact).abs().max()
    assert 0 < difference < 0.05, "rounded, but no more than that"


def test_what_surrounds_the_call_decides_otherwise():
    net = Net()
    with torch.autocast("cpu", torch.bfloat16):
        forward(net, torch.randn(1, 3, 5, 5))
    assert net.made_in == torch.bfloat16
