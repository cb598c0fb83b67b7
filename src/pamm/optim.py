"""The optimiser and the learning rate of a step."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from pamm.errors import PammError


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Adam with a polynomial decay; the defaults are the paper's for NYUD-v2."""

    lr: float = 1e-5
    """Learning rate of the first step (after the warm-up)."""
    weight_decay: float = 1e-6
    """L2 penalty, of all parameters alike in the paper's recipe."""
    decay_matrices_only: bool = False
    """Spare the A_log, D, priors, norms and biases the weight decay."""
    power: float = 0.9
    """The rate falls as (1 - step / steps) ** power, to 0 at the last step."""
    warmup: int = 0
    """Steps over which the rate first rises linearly."""
    clip_norm: float = 10.0
    """The gradient is scaled down to at most this norm; 0 = never."""

    def __post_init__(self) -> None:
        for name in ("weight_decay", "power", "warmup", "clip_norm"):
            if getattr(self, name) < 0:
                raise PammError(f"{name}: got {getattr(self, name)}, want 0 or more")
        if self.lr <= 0:
            raise PammError(f"lr: got {self.lr}, want more than 0")


def make_optimizer(
    model: nn.Module, config: OptimConfig, *, fused: bool = True
) -> torch.optim.Adam:
    """Adam over all parameters of the model, in one group or in two.

    Args:
        model: whose parameters.
        config: learning rate, weight decay and the groups it holds for.
        fused: one operation for all parameters; False where a gradient scaler has to undo its
            scale before the gradients are clipped.
    """
    named = list(model.named_parameters())
    if not config.decay_matrices_only:
        groups = [{"params": [p for _, p in named], "weight_decay": config.weight_decay}]
    else:
        groups = [
            {
                "params": [p for name, p in named if is_matrix(name, p)],
                "weight_decay": config.weight_decay,
            },
            {"params": [p for name, p in named if not is_matrix(name, p)], "weight_decay": 0.0},
        ]
    return torch.optim.Adam(groups, lr=config.lr, fused=fused)


def is_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter is a weight of a linear map, and no prior, A_log, D, norm or bias."""
    return parameter.ndim > 1 and name.rsplit(".", 1)[-1] not in ("A_log", "prior_b", "prior_c")


def learning_rate(step: int, steps: int, config: OptimConfig) -> float:
    """The rate of step 0 .. steps-1.

    >>> learning_rate(0, 100, OptimConfig(lr=1.0)), learning_rate(100, 100, OptimConfig(lr=1.0))
    (1.0, 0.0)
    """
    warm = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    return config.lr * warm * (1 - step / steps) ** config.power


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The same rate in every group."""
    groups: Iterable[dict] = optimizer.param_groups
    for group in groups:
        group["lr"] = rate
