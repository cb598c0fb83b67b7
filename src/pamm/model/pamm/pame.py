"""Parameter Aware Mamba Experts: one stage, all tasks (paper figure 3, eqs. 16-20).

Shape suffixes: B batch, T tasks, D = T * d_inner channels, N states, L = h * w positions.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pamm.model.layers import per_task
from pamm.model.pamm.experts import ParameterExperts, balance_loss
from pamm.model.scan_order import cached_orders
from pamm.ops import multi_directional_scan


class PAME(nn.Module):
    """Maps of all tasks at one stage -> the same, each refined by a scan with shared experts.

    Args:
        tasks: number of tasks T.
        d_model: channels per task.
        d_state: states N of the scan.
        expand: d_inner = expand * d_model channels are scanned per task.
        num_experts, top_k, expert_rank: the mixture that makes B and C.
        experts_b, experts_c: parameter experts for B, for C (table III).
        prior_b, prior_c: parameter priors for B, for C (table IV).
        scan, directions: visiting order and number of its rotations (tables VI and VIII).
    """

    def __init__(
        self,
        *,
        tasks: int,
        d_model: int,
        d_state: int,
        expand: int,
        num_experts: int,
        top_k: int,
        expert_rank: int,
        experts_b: bool,
        experts_c: bool,
        prior_b: bool,
        prior_c: bool,
        scan: str,
        directions: int,
    ) -> None:
        super().__init__()
        self.tasks, self.scan, self.directions = tasks, scan, directions
        d_inner, rank = expand * d_model, math.ceil(d_model / 16)

        self.norm = per_task.group_norm(tasks, d_model)
        self.gate = per_task.Pointwise(tasks, d_model, d_model)
        self.depthwise = per_task.depthwise(tasks, d_model, 3)
        self.pointwise = per_task.Pointwise(tasks, d_model, d_model)
        self.expand = per_task.Pointwise(tasks, d_model, d_inner)
        self.reduce = per_task.Pointwise(tasks, d_inner, d_model)

        def experts(enabled: bool) -> ParameterExperts:
            return ParameterExperts(
                tasks=tasks,
                channels=d_inner,
                state=d_state,
                num_experts=num_experts,
                rank=expert_rank,
                top_k=top_k,
                enabled=enabled,
            )

        self.experts_b, self.experts_c = experts(experts_b), experts(experts_c)
        self.prior_b, self.prior_c = (
            nn.Parameter(nn.init.trunc_normal_(torch.empty(tasks, d_state), std=0.02))
            if on
            else None
            for on in (prior_b, prior_c)
        )
        self.delta_down = per_task.Pointwise(tasks, d_inner, rank, bias=False)
        self.delta_up = per_task.Pointwise(tasks, rank, d_inner, bias=False)
        nn.init.uniform_(self.delta_up.weight, -(rank**-0.5), rank**-0.5)
        self.delta_bias = nn.Parameter(initial_delta_bias(tasks * d_inner))
        states = torch.arange(1, d_state + 1, dtype=torch.float32)
        self.A_log = nn.Parameter(states.log().repeat(tasks * d_inner, 1))  # S4D-real
        self.D = nn.Parameter(torch.ones(tasks * d_inner))

    def forward(self, maps: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, T*d_model, h, w) -> the same shape; in training also the routers' balance losses."""
        x = self.norm(maps)
        gate = F.silu(self.gate(x))
        x = F.silu(self.pointwise(self.depthwise(x)))
        y, balance = self.mdhs(self.expand(x))
        return maps + gate * self.reduce(y), balance

    def mdhs(self, u: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Multi-directional Hilbert scan (eqs. 17-20): (B, D, h, w) -> (B, D, h, w)."""
        h, w = u.shape[-2:]
        mean = u.mean((2, 3), keepdim=True)
        # B, C and the low rank of delta are three linear maps of u: one product of matrices.
        matrix_b, weights_b = self.experts_b(u, mean)
        matrix_c, weights_c = self.experts_c(u, mean)
        linear = [matrix_b, matrix_c, self.delta_down.matrix().expand(u.shape[0], -1, -1, -1)]
        products = torch.matmul(torch.cat(linear, 2), per_task.split(u, self.tasks).flatten(3))
        B_BTNL, C_BTNL, low_BTRL = products.split([m.shape[2] for m in linear], 2)
        if self.prior_b is not None:
            B_BTNL = B_BTNL + self.prior_b[..., None]  # eq. 16
        if self.prior_c is not None:
            C_BTNL = C_BTNL + self.prior_c[..., None]
        delta = self.delta_up(low_BTRL.flatten(1, 2).unflatten(2, (h, w)))
        y_BDL = multi_directional_scan(
            u.flatten(2),
            delta.flatten(2),
            -torch.exp(self.A_log.float()),
            B_BTNL,
            C_BTNL,
            self.D.float(),
            self.delta_bias.float(),
            orders=cached_orders(self.scan, h, w, self.directions, like=u),
        )
        routed = [w for w in (weights_b, weights_c) if w is not None and self.training]
        return y_BDL.unflatten(2, (h, w)), [balance_loss(weights) for weights in routed]


def initial_delta_bias(channels: int, low: float = 1e-3, high: float = 1e-1) -> Tensor:
    """A bias whose softplus is log-uniform in [low, high]: the scan starts with long memories."""
    step = torch.exp(torch.empty(channels).uniform_(math.log(low), math.log(high)))
    return step + torch.log(-torch.expm1(-step))  # the inverse of softplus
