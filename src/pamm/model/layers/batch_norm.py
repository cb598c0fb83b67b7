"""Batch norm over the positions of all processes.

torch's SyncBatchNorm works on GPUs only and on whole layers; here a layer may also be applied in
parts, to some of its channels at a time.
"""

from typing import Any

import torch
import torch.distributed as dist
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn import functional as F

from pamm.errors import PammError


def synchronise(network: nn.Module) -> None:
    """Let all batch norms of a network see the batch of all processes; names of weights stay.

    Raises:
        PammError: a kind of batch norm that is not known here.
    """
    for name, module in network.named_modules():
        if type(module) in _SYNCHRONISED:
            module.__class__ = _SYNCHRONISED[type(module)]
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise PammError(
                f"{name} is a {type(module).__name__}, which cannot be synchronised: train this "
                "model in one process"
            )


class SyncBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` over all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        count_batch(self)
        return normalise(self, x)


class SyncBatchNormAct2d(BatchNormAct2d):
    """timm's batch norm with activation, over all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        count_batch(self)
        return self.act(self.drop(normalise(self, x)))


_SYNCHRONISED: dict[type, type] = {
    nn.BatchNorm2d: SyncBatchNorm2d,
    BatchNormAct2d: SyncBatchNormAct2d,
}


def count_batch(norm: Any) -> None:
    """What a batch norm counts in training."""
    if norm.training:
        norm.num_batches_tracked += 1


def normalise(norm: Any, x: Tensor, channels: slice = slice(None)) -> Tensor:
    """Apply some `channels` of a batch norm to x (B, C, h, w), and update its running statistics.

    Over the positions of this process, or of all if `synchronise` has seen the norm.
    """
    mean, var = norm.running_mean[channels], norm.running_var[channels]
    weight, bias = norm.weight[channels], norm.bias[channels]
    if not (norm.training and isinstance(norm, (SyncBatchNorm2d, SyncBatchNormAct2d))):
        return F.batch_norm(x, mean, var, weight, bias, norm.training, norm.momentum, norm.eps)
    y, batch_mean, batch_var, count = _over_all(x, weight, bias, norm.eps)
    mean.lerp_(batch_mean.to(mean.dtype), norm.momentum)
    unbiased = batch_var * (count / (count - 1).clamp_min(1))
    var.lerp_(unbiased.to(var.dtype), norm.momentum)
    return y


@torch.compiler.disable  # collectives inside of a gradient are not for the compiler
def _over_all(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
    return _Normalise.apply(x, weight, bias, eps)


class _Normalise(torch.autograd.Function):
    """x (B, C, h, w) of each process -> its part of the normalised whole; mean, variance, count.

    The gradient is that of the SUM of all processes' losses. That of weight and bias is this
    process's share, as of all weights: whoever averages gradients over processes adds the shares.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        wide = torch.promote_types(x.dtype, torch.float32)
        positions = x.new_full((1,), x.numel() // x.shape[1], dtype=wide)
        sums = _total(torch.cat([x.sum((0, 2, 3), dtype=wide), positions]))
        mean, count = sums[:-1] / sums[-1], sums[-1]
        # The squares are summed around the common mean: their difference would lose digits.
        var = _total((x - _along(mean)).square().sum((0, 2, 3))) / count
        ctx.save_for_backward(x, weight, mean, (var + eps).rsqrt(), count)
        ctx.mark_non_differentiable(mean, var, count)
        y = F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)
        return y, mean, var, count

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale, count = ctx.saved_tensors
        normal = (x - _along(mean)) * _along(scale)
        shares = torch.stack(
            [grad.sum((0, 2, 3), dtype=mean.dtype), (grad * normal).sum((0, 2, 3))]
        )
        along_one, along_x = _total(shares) / count
        grad_x = grad - _along(along_one) - normal * _along(along_x)
        grad_x = (grad_x * _along(weight * scale)).to(x.dtype)
        return grad_x, shares[1].to(weight.dtype), shares[0].to(weight.dtype), None


def _total(tensor: Tensor) -> Tensor:
    result = tensor.clone()
    dist.all_reduce(result)
    return result


def _along(channels: Tensor) -> Tensor:
    return channels[:, None, None]
