import pytest
import torch
from torch import nn

from pamm.errors import PammError
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


@pytest.mark.parametrize(
    ("kind", "other"), [(torch.float16, "bf16-mixed"), (torch.bfloat16, "16-mixed")]
)
def test_other_sixteen_bits_than_the_networks_are_refused(kind, other):
    net = Net().to(kind)
    message = f"got '{other}' for a network in {str(kind)[6:]}; want '32-true'"
    with pytest.raises(PammError, match=message):
        forward(net, torch.rand(1, 3, 4, 4), other)
    assert forward(net, torch.rand(1, 3, 4, 4))["depth"].dtype == torch.float32
