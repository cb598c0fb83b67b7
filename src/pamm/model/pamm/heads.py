"""Task heads: the fused map of a task becomes its prediction (eq. 23)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from pamm.model.layers import per_task
from pamm.model.layers.upsampled_conv import upsampled_conv3x3


class Heads(nn.Module):
    """Per task: x4 bilinear, 3x3 convolution + BN + GELU, 1x1 convolution, bilinear to the image.

    The enlarged maps have sixteen times the positions of all others. So the tasks take turns, and
    the convolution is computed on the small map (`upsampled_conv3x3`).

    Args:
        channels: {task name: output channels}; the order is that of the tasks in the maps.
        d_model: channels per task of the maps.
    """

    def __init__(self, *, channels: Mapping[str, int], d_model: int) -> None:
        super().__init__()
        tasks = len(channels)
        # torch types the parts of a Sequential as any module.
        self.refine: Any = nn.Sequential(
            per_task.conv(tasks, d_model, d_model, 3, bias=False),  # the norm has one
            per_task.batch_norm(tasks, d_model),
            nn.GELU(),
        )
        self.logits = nn.ModuleDict(
            {name: nn.Conv2d(d_model, c, 1) for name, c in channels.items()}
        )

    def forward(self, fused: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        """(B, T*d_model, h, w) -> {task: (B, channels, *size)}."""
        head: Any
        conv, norm, activation = self.refine
        maps = per_task.split(fused, len(self.logits)).unbind(1)
        weights = conv.weight.chunk(len(self.logits))
        logits = {}
        for i, (name, head) in enumerate(self.logits.items()):
            x = upsampled_conv3x3(maps[i], weights[i])  # (4h, B, 4w, d_model)
            x = activation(per_task.batch_norm_of(i, norm, x))
            x = F.linear(x, head.weight.flatten(1), head.bias).permute(1, 3, 0, 2).contiguous()
            logits[name] = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        return logits
