"""Routing keeps exactly k; the folded mixture equals the sum of experts of eq. 14, one by one."""

import pytest
import torch

from pamm.model.pamm.experts import ParameterExperts, Router, balance_loss


def route(router: Router, u: torch.Tensor) -> torch.Tensor:
    return router(u, u.mean((2, 3), keepdim=True))


def apply(layer: ParameterExperts, u: torch.Tensor) -> torch.Tensor:
    """(B, T*C, h, w) -> (B, T, N, L)."""
    matrix, _ = layer(u, u.mean((2, 3), keepdim=True))
    return matrix @ u.unflatten(1, (matrix.shape[1], -1)).flatten(3)


@pytest.mark.parametrize("top_k", [1, 2, 5])
@pytest.mark.parametrize("training", [True, False])
def test_exactly_k_experts_stay(top_k, training):
    router = Router(tasks=3, channels=8, num_experts=5, top_k=top_k).train(training)
    weights = route(router, torch.randn(4, 24, 3, 5))
    assert weights.shape == (4, 3, 5)
    assert ((weights > 0).sum(-1) == top_k).all()
    assert (weights.sum(-1) <= 1 + 1e-6).all()


def test_all_experts_are_a_softmax():
    router = Router(tasks=2, channels=8, num_experts=5, top_k=5).eval()
    torch.testing.assert_close(route(router, torch.randn(3, 16, 4, 4)).sum(-1), torch.ones(3, 2))


def test_noise_only_in_training():
    router, u = Router(tasks=2, channels=8, num_experts=5, top_k=3), torch.randn(2, 16, 4, 4)
    assert not torch.equal(route(router, u), route(router, u))
    router.eval()
    assert torch.equal(route(router, u), route(router, u))


def test_a_task_is_routed_by_its_own_features():
    router, u = Router(tasks=2, channels=8, num_experts=5, top_k=3).eval(), torch.randn(1, 16, 4, 4)
    before = route(router, u)
    u[:, 8:] += 1
    after = route(router, u)
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.equal(before[:, 1], after[:, 1])


def test_the_size_of_the_map_is_free():
    router = Router(tasks=1, channels=8, num_experts=5, top_k=3).eval()
    u = torch.randn(1, 8, 4, 4)
    torch.testing.assert_close(
        route(router, u.repeat(1, 1, 3, 2)), route(router, u), rtol=1e-4, atol=1e-5
    )


def test_the_mixture_is_the_weighted_sum_of_the_experts():
    tasks, channels, state, experts, rank = 3, 8, 4, 5, 2
    layer = ParameterExperts(
        tasks=tasks, channels=channels, state=state, num_experts=experts, rank=rank, top_k=3
    ).eval()
    u = torch.randn(2, tasks * channels, 3, 5)
    y = apply(layer, u)
    weights = layer.router.weights
    for b in range(2):
        for i in range(tasks):
            x = u[b, i * channels : (i + 1) * channels].flatten(1)
            expected = layer.linear_TNC[i] @ x
            for j in range(experts):
                rows = slice(j * rank, (j + 1) * rank)
                expected = expected + weights[b, i, j] * (
                    layer.up[:, rows] @ (layer.down[rows] @ x)
                )
            torch.testing.assert_close(y[b, i], expected, rtol=1e-4, atol=1e-5)


def test_without_experts_it_is_the_tasks_own_linear_layer():
    layer = ParameterExperts(
        tasks=2, channels=4, state=3, num_experts=5, rank=2, top_k=3, enabled=False
    )
    assert [name for name, _ in layer.named_parameters()] == ["linear_TNC"]
    u = torch.randn(1, 8, 2, 2)
    torch.testing.assert_close(apply(layer, u)[0, 1], layer.linear_TNC[1] @ u[0, 4:].flatten(1))


def test_balance_loss_is_the_squared_coefficient_of_variation():
    router = Router(tasks=2, channels=8, num_experts=5, top_k=3)
    weights = route(router, torch.randn(3, 16, 2, 2))
    usage = weights.mean((0, 1))
    expected = usage.var(correction=0) / usage.mean() ** 2
    torch.testing.assert_close(balance_loss(weights), expected)
    assert balance_loss(torch.full((2, 3, 5), 0.2)) < 1e-12


def test_reading_before_a_forward_pass():
    with pytest.raises(RuntimeError, match="run a forward pass first"):
        _ = Router(tasks=1, channels=4, num_experts=2, top_k=1).weights
