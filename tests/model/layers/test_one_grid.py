"""Stage maps of any backbone come to one width and one grid."""

import pytest
import torch
from torch.nn import functional as F

from pamm.model.backbone import Backbone
from pamm.model.layers.one_grid import OneGrid


@pytest.mark.parametrize(
    ("name", "stride"), [("test_resnet", None), ("test_convnext", 8), ("test_vit", 8)]
)
def test_maps_come_to_one_grid(name, stride):
    backbone = Backbone(name).eval()
    grid = OneGrid(backbone, width=16, stride=stride)
    side = stride or 16
    with torch.inference_mode():
        maps = grid(backbone(torch.randn(1, 3, 64, 96)), (64, 96))
    assert {tuple(m.shape) for m in maps} == {(1, grid.channels, 64 // side, 96 // side)}
    assert grid.channels == (64 if name == "test_vit" else 16)
    assert all(m.is_contiguous() for m in maps)


def test_a_vits_maps_stay_as_they_are():
    backbone = Backbone("test_vit").eval()
    grid = OneGrid(backbone, width=16, stride=None)
    assert not list(grid.parameters())
    image = torch.randn(1, 3, 32, 48)
    with torch.inference_mode():
        maps = backbone(image)
        for given, found in zip(maps, grid(maps, (32, 48)), strict=True):
            assert torch.equal(given, found)


def test_small_maps_grow_bilinearly_and_large_ones_are_averaged():
    backbone = Backbone("test_resnet")  # strides 4 to 32
    grid = OneGrid(backbone, width=3, stride=8)
    sizes = [(64 // stride, 32 // stride) for stride in backbone.strides]
    maps = [torch.randn(1, c, *s) for c, s in zip(backbone.channels, sizes, strict=True)]
    found = grid(maps, (64, 32))
    first, last = grid.project[0](maps[0]), grid.project[3](maps[3])
    torch.testing.assert_close(found[0], F.avg_pool2d(first, 8 // backbone.strides[0]))
    bilinear = F.interpolate(last, (8, 4), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found[3], bilinear)
