"""The memory of a network, by hand."""

import gc

import torch
from torch import nn

from pamm.model import BaselineConfig, build_model
from pamm.runtime.footprint import PROBE, UNKNOWN, Alive, bytes_per_pixel


def test_what_is_there_at_once():
    with Alive() as alive:
        a = torch.empty(1000)  # 4,000 bytes
        b = a + 1
        del a
        gc.collect()
        c = b.double()  # 8,000
        view = c[:10]
        del c
        assert alive.now == 12_000  # the view holds on to it
        del view, b
        assert alive.now == 0
    assert alive.most == 12_000


def test_a_network_by_hand():
    """An image of 3 floats a pixel is the caller's; 8 channels, then these and 5 more at once."""
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 5, 1))
    assert bytes_per_pixel(network) == 4 * (8 + 5)
    assert bytes_per_pixel(network.double()) == 4 * (8 + 5)  # tried once


def test_a_model_takes_more_where_its_maps_are_finer():
    def of(stride: int) -> float:
        config = BaselineConfig(
            tasks={"depth": 1}, backbone="test_resnet", d_model=16, stride=stride, drop_path=0.0
        )
        return bytes_per_pixel(build_model(config))

    assert 50 < of(16) <= of(8) < of(4) < of(2) < 5000


def test_a_network_that_cannot_be_tried():
    class Reads(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image * image.max().item()

    assert bytes_per_pixel(Reads()) == UNKNOWN
    assert min(PROBE) > 0
