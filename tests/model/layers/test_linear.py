"""Linear layers through oneDNN against PyTorch's own, and when they step aside."""

import pytest
import torch
from torch import nn

from pamm.model.layers import linear
from pamm.model.layers.linear import Linear, replace_linear_layers, use_onednn

_slow = linear.mkl_is_slow.__wrapped__  # without its cache

onednn_serves = pytest.mark.skipif(
    not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()),
    reason="this PyTorch has no MKL to avoid, or no oneDNN",
)


@pytest.fixture(autouse=True)
def _any_processor(monkeypatch):
    """Test oneDNN's layers on Intel's processors, too."""
    monkeypatch.setattr(linear, "mkl_is_slow", torch.backends.mkl.is_available)


def pair(**options: object) -> tuple[nn.Linear, Linear]:
    """An `nn.Linear` and the same as a `Linear`."""
    theirs, ours = nn.Linear(24, 40, **options), Linear(24, 40, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "shape", [(24,), (7, 24), (2, 5, 24), (2, 3, 5, 24), (2, 1, 3, 2, 2, 24), (0, 24)]
)
def test_equals_the_plain_layer(shape, bias):
    theirs, ours = pair(bias=bias)
    results = []
    for layer in (theirs, ours):
        x = torch.linspace(-1, 1, torch.Size(shape).numel()).view(shape).requires_grad_()
        y = layer(x)
        results.append((y, *torch.autograd.grad(y.sin().sum(), (x, *layer.parameters()))))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)


def test_takes_arguments_with_gaps_in_memory():
    theirs, ours = pair()
    x = torch.randn(24, 9, 2).permute(2, 1, 0)[:, ::2]
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


@onednn_serves
def test_when_onednn_serves():
    x = torch.zeros(2, 3)
    assert use_onednn(x)
    assert not use_onednn(x.double())
    assert not use_onednn(x.bfloat16())
    assert not use_onednn(x.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert not use_onednn(x)


@pytest.mark.parametrize(("vendor", "slow"), [("GenuineIntel", False), ("AuthenticAMD", True)])
def test_mkl_is_slow_on_other_processors_than_intels(monkeypatch, tmp_path, vendor, slow):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nvendor_id\t: {vendor}\n")
    monkeypatch.setattr(linear, "CPU_INFO", tmp_path / "cpuinfo")
    assert _slow() == (slow and torch.backends.mkl.is_available())


def test_float64_and_autocast_are_left_to_pytorch():
    theirs, ours = pair()
    x = torch.randn(3, 24)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.double()(x.double()), theirs.double()(x.double()))


def test_replacing_keeps_parameters_and_leaves_other_layers():
    class Special(nn.Linear):
        pass

    net = nn.Sequential(nn.Linear(24, 24), nn.Sequential(nn.ReLU(), Special(24, 24)))
    before, x = dict(net.named_parameters()), torch.randn(4, 24)
    expected = net(x)
    replace_linear_layers(net)
    assert [type(net[0]), type(net[1][1])] == [Linear, Special]
    assert all(p is before[name] for name, p in net.named_parameters())
    torch.testing.assert_close(net(x), expected, rtol=1e-4, atol=1e-5)
