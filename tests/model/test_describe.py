"""What `pamm describe` counts, against sums by hand."""

from dataclasses import replace

from pamm.model import PAMM, PAMMConfig
from pamm.model.describe import describe
from pamm.presets import preset

TINY = replace(preset("synthetic-tiny").experiment.model, pretrained=False)


def test_parts_are_counted_once():
    config, width = TINY, TINY.d_model
    found = describe(config, (37, 61))
    assert sum(found.parameters.values()) == sum(p.numel() for p in PAMM(config).parameters())
    inside = ["PAME", "parameter experts", "routers"]
    assert list(found.parameters) == [
        *("backbone", "one grid", "task conv", *inside, "stage fusion", "heads")
    ]
    pame = sum(p.numel() for p in PAMM(config).pame.parameters())
    assert sum(found.parameters[part] for part in inside) == pame
    assert ("one grid stage 4", (1, width, 16, 16)) in found.shapes
    assert ("PAME 4", (1, 6 * width, 16, 16)) in found.shapes
    assert ("prediction depth", (1, 1, 37, 61)) in found.shapes
    assert not any("routers" in label for label, _ in found.shapes)  # they are inside the PAMEs


def test_the_scan_by_hand():
    """Per channel, state and position: exp(delta A), delta u B, and 4 in each direction."""
    for directions in (1, 4):
        config = PAMMConfig(
            tasks={"depth": 1, "normals": 3}, backbone="test_vit", d_model=8, d_state=5,
            directions=directions, stages=2,
        )  # fmt: skip
        channels, positions, states = 2 * (2 * 8), (32 // 16) * (48 // 16), 5
        by_hand = 2 * channels * positions * states * (3 + 4 * directions)
        assert describe(config, (32, 48)).flops["scan"] == by_hand


def test_the_heads_by_hand():
    """Nine taps on the small map and its border, the products of matrices that put them together in
    blocks of 4 positions, and the last convolutions at a quarter of the pixels.
    """
    config = TINY
    h, w, d, tasks = 64 // config.stride, 96 // config.stride, config.d_model, len(config.tasks)
    taps = (h + 2) * (w + 2) * d * 9 * d
    columns = (h + 2) * 3 * (w // 4) * (4 * 4) * (6 * 3) * d
    rows = (h // 4) * (4 * 4) * (6 * 3) * 4 * w * d
    last = 4 * h * 4 * w * d * sum(config.tasks.values())
    by_hand = 2 * (tasks * (taps + columns + rows) + last)
    assert describe(config, (64, 96)).flops["heads"] == by_hand
