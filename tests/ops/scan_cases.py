"""Arguments of the scan, and what the compiled one is held to: the reference in float64."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pamm.ops import multi_directional_scan

NAMES = ("u", "delta", "A", "B", "C", "D", "delta_bias")
TOLERANCE = 2e-6
"""Of float32: the largest error, relative to the largest value of a tensor."""

Named = Mapping[str, Tensor | None]


def arguments(
    batch: int = 2,
    channels: int = 6,
    groups: int = 2,
    state: int = 3,
    length: int = 7,
    seed: int = 0,
) -> dict[str, Tensor]:
    """In float64, by name."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return {
        "u": normal(batch, channels, length),
        "delta": normal(batch, channels, length),
        "A": -normal(channels, state).exp(),
        "B": normal(batch, groups, state, length),
        "C": normal(batch, groups, state, length),
        "D": normal(channels),
        "delta_bias": normal(channels),
    }


def floats(**sizes: int) -> dict[str, Tensor]:
    """`arguments` in float32."""
    return {name: tensor.float() for name, tensor in arguments(**sizes).items()}


def permutations(directions: int, length: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(length, generator=generator) for _ in range(directions)])


def weights(like: Tensor) -> Tensor:
    """A gradient of y for all dtypes, memory layouts and backends."""
    generator = torch.Generator().manual_seed(1)
    return torch.rand(like.shape, generator=generator).to(like)


def outcome(
    given: Named,
    orders: Tensor,
    *,
    backend: str = "cpu",
    softplus: bool = True,
    grad_y: Tensor | None = None,
) -> dict[str, Tensor | None]:
    """y and the gradients, by name; those of what is None are None."""
    leaves = {
        name: None if given[name] is None else given[name].detach().requires_grad_()
        for name in NAMES
    }
    y = multi_directional_scan(**leaves, orders=orders, softplus=softplus, backend=backend)
    wanted = [name for name in NAMES if leaves[name] is not None]
    gradients = torch.autograd.grad(
        y, [leaves[name] for name in wanted], weights(y) if grad_y is None else grad_y.to(y)
    )
    return {"y": y.detach(), **dict.fromkeys(NAMES), **dict(zip(wanted, gradients, strict=True))}


def exact(
    given: Named, orders: Tensor, *, softplus: bool = True, grad_y: Tensor | None = None
) -> dict[str, Tensor | None]:
    """`outcome` of the reference in float64."""
    double = {name: None if x is None else x.double() for name, x in given.items()}
    return outcome(double, orders, backend="reference", softplus=softplus, grad_y=grad_y)


def assert_close(
    got: Named, expected: Named, tolerance: float = TOLERANCE, **tolerances: float
) -> None:
    """The largest error of each tensor, relative to its largest value.

    What counts as zero in float32 may be zero.
    """
    assert got.keys() == expected.keys()
    for name, wanted in expected.items():
        result = got[name]
        if wanted is None or result is None:
            assert result is wanted is None, name
            continue
        assert result.shape == wanted.shape, name
        if wanted.numel() == 0:
            continue
        error = (result.double() - wanted).abs().max()
        size = wanted.abs().max()
        allowed = tolerances.get(name, tolerance) * size + 100 * torch.finfo(torch.float32).tiny
        assert error <= allowed, f"{name}: {error:.2e} of {size:.2e}"


def assert_equal(got: Named, expected: Named) -> None:
    """Bit for bit, dtypes too."""
    assert got.keys() == expected.keys()
    for name, wanted in expected.items():
        result = got[name]
        assert (result is None) == (wanted is None), name
        if result is not None:
            assert result.dtype == wanted.dtype, name
            assert torch.equal(result, wanted), name
