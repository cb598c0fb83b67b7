"""The scan against a double loop written from its definition; every refusal of arguments."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scan_cases import NAMES, arguments, permutations
from torch import Tensor

from pamm.ops import available_backends, multi_directional_scan, reference, selective_scan


def brute_force(given: dict[str, Tensor], orders: Tensor, softplus: bool = True) -> np.ndarray:
    """One number at a time, as in the specification."""
    u, delta, A, B, C, D, bias = (given[name].numpy() for name in NAMES)
    batch, channels, _ = u.shape
    per_group = channels // B.shape[1]
    y = np.zeros_like(u)
    for b, d, order in (
        (b, d, o) for b in range(batch) for d in range(channels) for o in orders.numpy()
    ):
        g, h = d // per_group, np.zeros(A.shape[1])
        for p in order:
            step = delta[b, d, p] + bias[d]
            step = np.logaddexp(0, step) if softplus else step
            for n in range(len(h)):
                h[n] = math.exp(step * A[d, n]) * h[n] + step * B[b, g, n, p] * u[b, d, p]
            y[b, d, p] += C[b, g, :, p] @ h + D[d] * u[b, d, p]
    return y


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 3),
    groups=st.integers(1, 3),
    per_group=st.integers(1, 3),
    state=st.integers(1, 5),
    length=st.integers(1, 9),
    directions=st.integers(1, 4),
    softplus=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_equals_a_double_loop(batch, groups, per_group, state, length, directions, softplus, seed):
    given = arguments(batch, groups * per_group, groups, state, length, seed)
    if not softplus:  # delta itself is the step then, which is positive
        given["delta"], given["delta_bias"] = given["delta"].abs(), given["delta_bias"].abs()
    orders = permutations(directions, length, seed)
    y = multi_directional_scan(**given, orders=orders, softplus=softplus)
    np.testing.assert_allclose(y, brute_force(given, orders, softplus), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("piece", [1, 50, 300])
def test_pieces_are_the_whole(piece, monkeypatch):
    """Values and gradients of a scan that is cut into slices of channels."""
    given, orders = arguments(channels=10, groups=2), permutations(3, 7)

    def run() -> tuple[Tensor, list[Tensor]]:
        tensors = {name: tensor.clone().requires_grad_() for name, tensor in given.items()}
        y = multi_directional_scan(**tensors, orders=orders)
        y.square().sum().backward()
        return y.detach(), [tensor.grad for tensor in tensors.values()]

    whole, whole_gradients = run()
    monkeypatch.setattr(reference, "PIECE", piece)
    y, gradients = run()
    torch.testing.assert_close(y, whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradients, whole_gradients, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        assert torch.equal(multi_directional_scan(**given, orders=orders), y)


def test_selective_scan_is_one_direction_in_order():
    given = arguments()
    expected = brute_force(given, torch.arange(7)[None])
    np.testing.assert_allclose(selective_scan(**given), expected, rtol=1e-10, atol=1e-10)


def test_without_a_group_axis_all_channels_share_one_group():
    given = arguments(groups=1)
    expected = selective_scan(**given)
    given["B"], given["C"] = given["B"][:, 0], given["C"][:, 0]
    assert torch.equal(selective_scan(**given), expected)


def test_without_d_and_bias_they_are_zero():
    given = arguments()
    given["D"], given["delta_bias"] = torch.zeros(6).double(), torch.zeros(6).double()
    expected = selective_scan(**given)
    del given["D"], given["delta_bias"]
    torch.testing.assert_close(selective_scan(**given), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("softplus", [True, False])
def test_gradcheck(softplus):
    given = arguments(batch=1, channels=4, state=2, length=5)
    given["delta"] = given["delta"].abs()
    orders = permutations(2, 5)
    tensors = tuple(given[name].requires_grad_() for name in NAMES)
    assert torch.autograd.gradcheck(
        lambda *t: multi_directional_scan(*t, orders=orders, softplus=softplus), tensors
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precisions_keep_their_dtype_and_follow_float64(dtype):
    given = arguments()
    low = {name: tensor.to(dtype) for name, tensor in given.items()}
    y = selective_scan(**low)
    exact = selective_scan(**{name: tensor.double() for name, tensor in low.items()})
    assert y.dtype == dtype
    limit = torch.finfo(dtype).eps * exact.abs().max().item()
    torch.testing.assert_close(y.double(), exact, rtol=torch.finfo(dtype).eps, atol=4 * limit)


def test_extreme_steps_stay_finite():
    """softplus saturated both ways: a step of 0 keeps the state, a huge one forgets it."""
    given = arguments(length=9)
    given["delta"][..., ::2], given["delta"][..., 1::2] = 80.0, -80.0
    y = selective_scan(**given)
    assert y.isfinite().all()
    np.testing.assert_allclose(y, brute_force(given, torch.arange(9)[None]), rtol=1e-10, atol=1e-10)


def test_nan_reaches_what_comes_after_it_and_nothing_else():
    given = arguments(batch=2)
    given["u"][1, 3, 4] = torch.nan
    y = selective_scan(**given)
    assert y[1, 3, 4:].isnan().all()
    assert y[1, 3, :4].isfinite().all()
    assert y[0].isfinite().all()


def test_strided_inputs_give_the_same_result():
    given = arguments()
    expected = selective_scan(**given)
    strided = {n: t.transpose(0, -1).contiguous().transpose(0, -1) for n, t in given.items()}
    assert not strided["u"].is_contiguous()
    assert torch.equal(selective_scan(**strided), expected)


def test_reference_is_always_available():
    assert "reference" in available_backends()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"u": torch.zeros(2, 6)}, "u: got shape"),
        ({"delta": torch.zeros(2, 6, 8)}, "delta: got shape"),
        ({"A": torch.zeros(5, 3)}, "A: got shape"),
        ({"B": torch.zeros(2, 2, 4, 7)}, "B: got shape"),
        ({"B": torch.zeros(2, 4, 3, 7)}, "B: got 4 groups, want a divisor of 6"),
        ({"C": torch.zeros(2, 3, 3, 7)}, "C: got shape"),
        ({"D": torch.zeros(5)}, "D: got shape"),
        ({"delta_bias": torch.zeros(6, 1)}, "delta_bias: got shape"),
        ({"u": torch.zeros(2, 6, 7, dtype=torch.int64)}, "u: got dtype torch.int64"),
        ({"A": torch.zeros(6, 3, dtype=torch.complex64)}, "A: got dtype torch.complex64"),
        ({"C": None}, "C: got NoneType"),
        ({"B": torch.zeros(2, 2, 3, 7, device="meta")}, "B: is on meta, want cpu"),
        ({"orders": torch.zeros(1, 7)}, "orders: got torch.float32"),
        ({"orders": torch.zeros(2, 6, dtype=torch.int64)}, "orders: got shape"),
        (
            {"orders": torch.zeros(2, 7, dtype=torch.int64)},
            "orders: want every row a permutation",
        ),
        ({"backend": "cuda-magic"}, "backend: got 'cuda-magic'.*reference"),
    ],
)
def test_bad_arguments_are_named(change, message):
    given = {**arguments(), "orders": permutations(2, 7), **change}
    with pytest.raises((ValueError, TypeError), match=message):
        multi_directional_scan(**given)
