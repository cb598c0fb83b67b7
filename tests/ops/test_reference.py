"""The gradient written out by hand, the pieces, and what is kept for the gradient."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from pamm.ops import reference


def problem(
    batch: int, groups: int, per_group: int, state: int, length: int, directions: int, seed: int = 0
) -> tuple[list[Tensor], Tensor]:
    """u, delta, A, B, C, D and the bias in float64, and orders."""
    generator = torch.Generator().manual_seed(seed)
    channels = groups * per_group

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    tensors = [
        normal(batch, channels, length),
        2 * normal(batch, channels, length),
        -normal(channels, state).exp(),
        normal(batch, groups, state, length),
        normal(batch, groups, state, length),
        normal(channels),
        normal(channels),
    ]
    orders = [torch.randperm(length, generator=generator) for _ in range(directions)]
    return tensors, torch.stack(orders)


def plain(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, bias: Tensor, orders
) -> Tensor:
    """The definition, differentiated by PyTorch."""
    per_group = u.shape[1] // B.shape[1]
    B, C = (v.repeat_interleave(per_group, dim=1) for v in (B, C))  # (batch, channels, state, L)
    delta = F.softplus(delta + bias[:, None], threshold=80)
    y = len(orders) * D[:, None] * u
    for order in orders:
        h = torch.zeros_like(B[..., 0])
        for p in order:
            x = (delta * u)[:, :, p, None]
            h = torch.exp(delta[:, :, p, None] * A) * h + x * B[..., p]
            seen = torch.zeros_like(y)
            seen[:, :, p] = (C[..., p] * h).sum(-1)
            y = y + seen
    return y


def value_and_gradients(run, tensors: list[Tensor], orders: Tensor) -> list[Tensor]:
    leaves = [v.detach().clone().requires_grad_() for v in tensors]
    y = run(*leaves, orders)
    weight = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)
    return [y.detach(), *torch.autograd.grad(y, leaves, weight)]


def scan(*arguments: Tensor) -> Tensor:
    *tensors, orders = arguments
    return reference.scan(*tensors, orders_KL=orders, softplus=True)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.tuples(*(st.integers(1, most) for most in (3, 3, 4, 5, 11, 5))),
    piece=st.sampled_from([1, 7, 40, 2**16]),
    seed=st.integers(0, 1000),
)
def test_all_gradients_are_those_of_the_definition(sizes, piece, seed):
    tensors, orders = problem(*sizes, seed=seed)
    expected = value_and_gradients(plain, tensors, orders)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "PIECE", piece)
        got = value_and_gradients(scan, tensors, orders)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_single_precision_follows_double_over_a_long_sequence():
    tensors, orders = problem(1, 2, 8, 4, 1500, 2)
    exact = value_and_gradients(scan, tensors, orders)
    got = value_and_gradients(scan, [v.float() for v in tensors], orders)
    for a, b in zip(got, exact, strict=True):
        assert a.dtype == torch.float32
        assert (a - b).abs().max() < 2e-6 * b.abs().max()


@pytest.mark.parametrize("piece", [1, 100, 1000, 10**9])
def test_pieces_cover_everything_once_and_keep_to_their_size(piece, monkeypatch):
    monkeypatch.setattr(reference, "PIECE", piece)
    x, A = torch.zeros(5, 3, 4, 1, 7), torch.zeros(4, 6, 7)
    orders = torch.arange(5).expand(2, -1)
    covered = torch.zeros(3, 4, 7)
    for b, g, c in reference.pieces(x, A, orders):
        covered[b, g, c] += 1
        channels = covered[b, g, c].numel()
        assert channels == 1 or channels * len(orders) * A.shape[1] <= piece
    assert (covered == 1).all()


def test_only_arguments_are_kept_for_the_gradient():
    """Nothing that has states: what is kept grows with the inputs, not with channels x state."""
    tensors, orders = problem(1, 1, 16, 64, 36, 4)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = scan(*(v.requires_grad_() for v in tensors), orders)
    assert y.requires_grad
    assert 0 < sum(kept.values()) < 3 * sum(v.numel() for v in tensors)


def test_results_do_not_depend_on_the_number_of_threads():
    tensors, orders = problem(1, 1, 256, 64, 9, 4)
    tensors = [v.float() for v in tensors]
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(value_and_gradients(scan, tensors, orders))
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("batch", "per_group", "state"), [(0, 3, 4), (2, 0, 4), (2, 3, 0)], ids=["batch", "c", "state"]
)
def test_nothing_gives_nothing(batch, per_group, state):
    tensors, orders = problem(batch, 2, per_group, state, 5, 2)
    y, *grads = value_and_gradients(scan, tensors, orders)
    assert y.shape == tensors[0].shape
    assert [v.shape for v in grads] == [v.shape for v in tensors]


def test_one_position():
    tensors, orders = problem(2, 1, 3, 2, 1, 3)
    torch.testing.assert_close(scan(*tensors, orders), plain(*tensors, orders))


def test_export_and_compile_see_through_it():
    tensors, orders = problem(1, 2, 2, 3, 5, 2)

    class Scan(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.A = torch.nn.Parameter(tensors[2])

        def forward(self, u: Tensor) -> Tensor:
            return scan(u, tensors[1], self.A, *tensors[3:], orders)

    module = Scan()
    expected = module(tensors[0])
    exported = torch.export.export(module, (tensors[0],), strict=False).module()
    torch.testing.assert_close(exported(tensors[0]), expected)
    compiled = torch.compile(module, backend="aot_eager")
    torch.testing.assert_close(compiled(tensors[0]), expected)
