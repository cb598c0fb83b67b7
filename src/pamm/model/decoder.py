"""Task decoder head: the fused map of a task becomes its prediction (eq. 23)."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from pamm.model import per_task
from pamm.model.upsampled_conv import upsampled_conv3x3


class Decoder(nn.Module):
    """Per task: x4 bilinear, 3x3 convolution + BN + GELU, 1x1 convolution, bilinear to the image.

    Args:
        channels: {task name: output channels}; the order is that of the tasks in the maps.
        d_model: channels per task of the maps.
    """

    def __init__(self, *, channels: Mapping[str, int], d_model: int) -> None:
        super().__init__()
        tasks = len(channels)
        self.refine = nn.Sequential(
            per_task.conv(tasks, d_model, d_model, 3, bias=False),  # the norm has one
            per_task.batch_norm(tasks, d_model),
            nn.GELU(),
        )
        self.heads = nn.ModuleDict({name: nn.Conv2d(d_model, c, 1) for name, c in channels.items()})

    def forward(self, fused: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        """(B, T*d_model, h, w) -> {task: (B, channels, *size)}."""
        convolution, *rest = self.refine
        x = upsampled_conv3x3(fused, convolution.weight, groups=len(self.heads))
        for layer in rest:
            x = layer(x)
        # A 1x1 convolution of channels that are last in memory: the gradient stays in that layout.
        rows = (
            x.squeeze(0).permute(1, 2, 0).unflatten(1, (len(fused), -1))
        )  # (4h, B, 4w, T*d_model)
        logits = {}
        for (name, head), part in zip(
            self.heads.items(), rows.chunk(len(self.heads), dim=-1), strict=True
        ):
            x = F.linear(part, head.weight.flatten(1), head.bias).permute(1, 3, 0, 2)
            logits[name] = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        return logits
