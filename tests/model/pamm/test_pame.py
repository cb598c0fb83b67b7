"""PAME against the paper's equations written out task by task, and its initial values."""

import torch
from torch.nn import functional as F

from pamm.model.pamm.pame import PAME, initial_delta_bias
from pamm.model.scan_order import make_orders
from pamm.ops import selective_scan

SETTINGS = {
    "tasks": 2, "d_model": 32, "d_state": 3, "expand": 2, "num_experts": 4, "top_k": 2,
    "expert_rank": 2, "experts_b": True, "experts_c": True, "prior_b": True, "prior_c": True,
    "scan": "hilbert", "directions": 4,
}  # fmt: skip


def task_conv(layer: torch.nn.Conv2d, x: torch.Tensor, task: int) -> torch.Tensor:
    """One task's part of a convolution over all tasks, as a convolution of its own."""
    weight = layer.weight.chunk(2)[task]
    bias = None if layer.bias is None else layer.bias.chunk(2)[task]
    groups = x.shape[1] // weight.shape[1]
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=groups)


def test_the_equations_task_by_task():
    block, (h, w) = PAME(**SETTINGS).eval(), (3, 5)
    maps = torch.randn(2, 64, h, w)
    out, balance = block(maps)
    assert balance == []
    for i in range(2):
        F_i = maps[:, 32 * i : 32 * (i + 1)]
        x = F.group_norm(F_i, 8, block.norm.weight.chunk(2)[i], block.norm.bias.chunk(2)[i])
        z = F.silu(task_conv(block.gate, x, i))
        x = F.silu(task_conv(block.pointwise, task_conv(block.depthwise, x, i), i))
        u = task_conv(block.expand, x, i)
        dt = task_conv(block.delta_up, task_conv(block.delta_down, u, i), i).flatten(2)
        u_all = block.expand(
            F.silu(block.pointwise(block.depthwise(block.norm(maps))))
        )  # the routers of both tasks look at their own part only
        mean = u_all.mean((2, 3), keepdim=True)
        B = block.experts_b(u_all, mean)[0][:, i] @ u.flatten(2) + block.prior_b[i][:, None]
        C = block.experts_c(u_all, mean)[0][:, i] @ u.flatten(2) + block.prior_c[i][:, None]
        A, D, bias = (p.chunk(2)[i] for p in (block.A_log, block.D, block.delta_bias))
        y = torch.zeros_like(dt)
        for order in make_orders("hilbert", h, w):
            visited = selective_scan(
                u.flatten(2)[..., order], dt[..., order], -A.exp(), B[..., order], C[..., order],
                D, bias,
            )  # fmt: skip
            y[..., order] += visited
        expected = F_i + z * task_conv(block.reduce, y.unflatten(2, (h, w)), i)
        torch.testing.assert_close(out[:, 32 * i : 32 * (i + 1)], expected, rtol=1e-4, atol=1e-5)


def test_initial_values():
    block = PAME(**SETTINGS)
    torch.testing.assert_close(block.A_log.exp()[5], torch.tensor([1.0, 2.0, 3.0]))
    assert (block.D == 1).all()
    assert block.prior_b.abs().max() < 0.1
    steps = F.softplus(initial_delta_bias(20_000)).log10()
    assert steps.min() >= -3 - 1e-3
    assert steps.max() <= -1 + 1e-3
    torch.testing.assert_close(steps.mean(), torch.tensor(-2.0), rtol=0, atol=0.02)  # log-uniform
