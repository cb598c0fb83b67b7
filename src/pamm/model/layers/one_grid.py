"""The stage maps of any backbone as maps of one width on one grid."""

from torch import Tensor, nn
from torch.nn import functional as F

from pamm.model.backbone import Backbone


class OneGrid(nn.Module):
    """S maps (B, channels_s, h_s, w_s) -> S maps (B, channels, H/stride, W/stride).

    Maps that are on one grid already, a ViT's, keep their channels. Those of a hierarchical
    backbone are projected to a common width, by a 1x1 convolution each, and resized.

    Args:
        backbone: whose maps.
        width: channels that a hierarchical backbone's maps are projected to.
        stride: pixels per position; None for a ViT's own patch size, 16 for other backbones.
    """

    def __init__(self, backbone: Backbone, *, width: int, stride: int | None) -> None:
        super().__init__()
        shared = len(set(backbone.strides)) == 1
        self.stride = stride or (backbone.strides[-1] if shared else 16)
        self.channels = backbone.channels[-1] if shared else width
        self.project = nn.ModuleList(
            nn.Identity() if shared else nn.Conv2d(c, width, 1) for c in backbone.channels
        )

    def forward(self, maps: list[Tensor], size: tuple[int, int]) -> list[Tensor]:
        """The maps, and the size (H, W) of the image -> the maps on one grid."""
        grid = (size[0] // self.stride, size[1] // self.stride)
        found = (project(x) for x, project in zip(maps, self.project, strict=True))
        return [resize(x, grid).contiguous() for x in found]


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """To (h, w): area average where the map shrinks, bilinear where it grows."""
    if x.shape[-2:] == size:
        return x
    if x.shape[-2] >= size[0] and x.shape[-1] >= size[1]:
        return F.adaptive_avg_pool2d(x, size)
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
