"""Task decoder head: the fused map of a task becomes its prediction (eq. 23)."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from pamm.model import per_task


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
        x = F.interpolate(fused, scale_factor=4, mode="bilinear", align_corners=False)
        features = per_task.split(self.refine(x), len(self.heads)).unbind(1)
        return {
            name: F.interpolate(head(x), size=size, mode="bilinear", align_corners=False)
            for (name, head), x in zip(self.heads.items(), features, strict=True)
        }
