"""The optimiser, the learning rate of a step, and the average of the weights over steps."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pamm.model import Model
from pamm.runtime.ranges import CountOrZero, Range, Share, Weight, check_fields


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Adam with a polynomial decay; the defaults are the paper's for NYUD-v2."""

    lr: Annotated[float, Range(0, 1000, open_low=True)] = 1e-5
    """Learning rate of the first step (after the warm-up)."""
    weight_decay: Weight = 1e-6
    """L2 penalty on the weights; the paper's recipe has it on all parameters alike."""
    decay_matrices_only: bool = False
    """Leave norms, biases and embeddings without weight decay, and PAMM's A_log, D and priors."""
    power: Annotated[float, Range(0, 100)] = 0.9
    """The rate falls as (1 - step / steps) ** power, to 0 at the last step."""
    warmup: CountOrZero = 0
    """Steps over which the rate first rises linearly."""
    clip_norm: Weight = 10.0
    """The gradient is scaled down to at most this norm; 0 = never."""
    layer_decay: Annotated[float, Range(0, 1, open_low=True)] = 1.0
    """Factor of the learning rate from one layer of the backbone to the one before it; the last
    layer has it once. 1 = one rate for all, as in the paper's recipe."""
    backbone: Share = 1.0
    """Learning rate of the backbone as a share of the rest's. 0 = frozen: its weights, and the
    statistics of its norms, stay as they are."""

    def __post_init__(self) -> None:
        check_fields(self)


def make_optimizer(model: Model, config: OptimConfig, *, fused: bool = True) -> torch.optim.Adam:
    """Adam over what is trained of the model, in groups of one weight decay and rate each.

    Args:
        model: whose parameters, but for frozen ones; it says which get no weight decay, where
            matrices alone do.
        config: learning rate, weight decay and the groups it holds for.
        fused: one operation for all parameters; False where a gradient scaler has to undo its
            scale before the gradients are clipped.
    """
    scales = rate_scales(model, config)
    spared = model.no_weight_decay() if config.decay_matrices_only else set()
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        groups.setdefault((scales.get(name, 1.0), name not in spared), []).append(p)
    settings = [
        {"params": parameters, "weight_decay": config.weight_decay * decays, "lr_scale": scale}
        for (scale, decays), parameters in groups.items()
    ]
    return torch.optim.Adam(settings, lr=config.lr, fused=fused)


def rate_scales(model: Model, config: OptimConfig) -> dict[str, float]:
    """{parameter of the backbone: its learning rate in units of the full one}, where it differs.

    The rate of a layer is share * layer_decay ** (number of layers above it, the rest of the
    network counting as one), as in the fine-tuning of BEiT. A ViT's final norm goes with its last
    block.
    """
    share, decay = config.backbone, config.layer_decay
    if share == decay == 1:
        return {}
    if decay == 1:
        return {f"backbone.{name}": share for name, _ in model.backbone.named_parameters()}
    layers = model.backbone.layers()
    top = max(layers.values()) + 1
    return {f"backbone.{name}": share * decay ** (top - i) for name, i in layers.items()}


def learning_rate(step: int, steps: int, config: OptimConfig) -> float:
    """The rate of step 0 .. steps-1.

    >>> learning_rate(0, 100, OptimConfig(lr=1.0)), learning_rate(100, 100, OptimConfig(lr=1.0))
    (1.0, 0.0)
    """
    warm = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    return config.lr * warm * (1 - step / steps) ** config.power


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The rate of every group, from that of the heads."""
    groups: Iterable[dict] = optimizer.param_groups
    for group in groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move averaged weights a step towards the model's: average = decay * average + rest * model.

    Buffers, such as the statistics of batch norms, which are averages already, are copied.
    """
    update = get_ema_multi_avg_fn(decay)
    update(list(average.parameters()), list(model.parameters()), None)
    for mean, buffer in zip(average.buffers(), model.buffers(), strict=True):
        mean.copy_(buffer)
