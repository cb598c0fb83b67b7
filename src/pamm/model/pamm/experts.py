"""Parameter Experts: B or C of the scan as a mixture of experts over all tasks (eqs. 11-15).

Shape suffixes: B batch, T tasks, C channels, N states, E experts, R expert rank, L positions.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pamm.model.layers import per_task
from pamm.ops import is_plain


class Router(nn.Module):
    """The routing weights of every task over the shared experts (eqs. 11-13).

    Both branches of eq. 11 are linear in the mean as printed; here each is normalised and
    activated, the channel branch before its pooling, the spatial branch after it. Any map size
    fits.

    Args:
        tasks: number of tasks T.
        channels: channels C per task.
        num_experts: E.
        top_k: how many experts stay, 1 to E.
    """

    def __init__(self, *, tasks: int, channels: int, num_experts: int, top_k: int) -> None:
        super().__init__()
        self.tasks, self.top_k = tasks, top_k
        self._weights: Tensor | None = None
        hidden = max(1, channels // 4)
        self.channel = per_task.Pointwise(tasks, channels, hidden)
        self.channel_norm = nn.GroupNorm(tasks, tasks * hidden)
        self.spatial = per_task.Pointwise(tasks, channels, hidden)
        self.spatial_norm = nn.GroupNorm(tasks, tasks * hidden)
        self.logits = per_task.Pointwise(tasks, 2 * hidden, num_experts)
        self.noise = per_task.Pointwise(tasks, 2 * hidden, num_experts)

    def forward(self, u: Tensor, mean: Tensor) -> Tensor:
        """(B, T*C, h, w) -> (B, T, E): softmax weights, exactly k of each row non-zero.

        `mean`, (B, T*C, 1, 1), is that of u over the positions. The k largest keep their value
        (eq. 13 does not renormalise); in training, noise of a learned strength is added to the
        logits.
        """
        channel = F.gelu(self.channel_norm(self.channel(u))).mean((2, 3), keepdim=True)
        spatial = F.gelu(self.spatial_norm(self.spatial(mean)))
        features = torch.cat([per_task.split(x, self.tasks) for x in (channel, spatial)], dim=2)
        features = features.flatten(1, 2)  # (B, T*2*hidden, 1, 1)
        logits = F.gelu(self.logits(features))
        if self.training:
            logits = logits + torch.randn_like(logits) * F.softplus(self.noise(features))
        weights_BTE = per_task.split(logits, self.tasks).flatten(2).softmax(-1)
        kept = weights_BTE.topk(self.top_k, dim=-1).indices
        weights_BTE = weights_BTE * torch.zeros_like(weights_BTE).scatter(-1, kept, 1.0)
        if torch.compiler.is_dynamo_compiling() or is_plain(weights_BTE):
            self._weights = weights_BTE.detach()
        return weights_BTE

    @property
    def weights(self) -> Tensor:
        """(B, T, E) of the last forward pass, outside the graph; for expert-usage plots."""
        if self._weights is None:
            raise RuntimeError("no routing weights yet: run a forward pass first")
        return self._weights


def balance_loss(weights_BTE: Tensor) -> Tensor:
    """Load-balancing loss: the squared coefficient of variation of the experts' mean weight."""
    usage_E = weights_BTE.float().mean((0, 1))
    return usage_E.var(unbiased=False) / usage_E.mean().square().clamp_min(1e-12)


class ParameterExperts(nn.Module):
    """One state-space parameter, B or C, of every task and position.

    y_pe = sum_j w_j E_j(u) + Linear_i(u) (eqs. 14-15), E_j a low-rank map C -> R -> N shared by the
    tasks, Linear_i the task's own. All of it is linear in u once the routing weights are known, so
    this gives one N x C matrix per sample and task, and the mixture costs as much as a plain linear
    layer: y_pe is the matrix times u.

    Args:
        tasks: number of tasks T.
        channels: channels C of u per task.
        state: N.
        num_experts, rank, top_k: E, R and k.
        enabled: False leaves Linear_i alone (the ablation of table III).
    """

    def __init__(
        self,
        *,
        tasks: int,
        channels: int,
        state: int,
        num_experts: int,
        rank: int,
        top_k: int,
        enabled: bool = True,
    ) -> None:
        super().__init__()
        self.rank = rank
        self.linear_TNC = nn.Parameter(uniform(tasks, state, channels, fan_in=channels))
        self.router = None
        if enabled:
            self.router = Router(
                tasks=tasks, channels=channels, num_experts=num_experts, top_k=top_k
            )
            self.down = nn.Parameter(uniform(num_experts * rank, channels, fan_in=channels))
            self.up = nn.Parameter(uniform(state, num_experts * rank, fan_in=rank))

    def forward(self, u: Tensor, mean: Tensor) -> tuple[Tensor, Tensor | None]:
        """u (B, T*C, h, w) and its mean over the positions (B, T*C, 1, 1) -> (B, T, N, C).

        Beside it the routing weights (B, T, E), if there are experts.
        """
        if self.router is None:
            return self.linear_TNC.expand(u.shape[0], -1, -1, -1), None
        weights_BTE = self.router(u, mean)
        gates = weights_BTE.repeat_interleave(self.rank, dim=-1)  # (B, T, E*R)
        mixed = torch.matmul(self.up * gates[:, :, None], self.down)
        return self.linear_TNC + mixed, weights_BTE


def uniform(*shape: int, fan_in: int) -> Tensor:
    """Initial weights of a linear map: uniform within +-1/sqrt(fan_in), as torch's Linear."""
    bound = 1 / math.sqrt(fan_in)
    return torch.empty(shape).uniform_(-bound, bound)
