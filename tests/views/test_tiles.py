"""Tiles: where they are, that they fade into each other, and how near they are to the whole."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fake_network import CHANNELS, Fake
from pamm.errors import PammError
from pamm.model import PAMM, PAMMConfig
from pamm.tasks import default_task
from pamm.views.augmentation import TestTimeAugmentation, augmented_logits
from pamm.views.tiles import OVERLAP, fading, tile_starts, tiled_logits

TASKS = {name: default_task(name, channels) for name, channels in CHANNELS.items()}
SIDES = st.integers(1, 400)


@given(length=SIDES, side=SIDES, multiple=st.sampled_from([1, 4, 14, 32]))
def test_tiles_cover_everything_and_share_enough(length, side, multiple):
    side += -side % multiple
    starts = tile_starts(length, side, multiple)
    assert starts[0] == 0
    assert starts[-1] + side >= length > starts[-1]
    assert all(start % multiple == 0 for start in starts)
    assert len(starts) == 1 or length > side
    for first, second in pairwise(starts):
        assert first < second <= first + side - side // OVERLAP + multiple
    weights = torch.zeros(length)
    for start in starts:
        part = slice(start, min(start + side, length))
        weights[part] += fading(part, length, side)
    assert weights.min() > 0


def test_weights_fall_to_the_edges_that_have_neighbours():
    first, middle, last = (
        fading(part, 100, 40) for part in (slice(0, 40), slice(30, 70), slice(60, 100))
    )
    assert first[:30].tolist() == last[10:].tolist() == [1.0] * 30
    assert first[30:].tolist() == pytest.approx([(9.5 - i) / 10 for i in range(10)])
    assert middle[:10].tolist() == last[:10].tolist() == pytest.approx(first[30:].flip(0).tolist())
    assert fading(slice(0, 40), 40, 40).tolist() == [1.0] * 40


@pytest.mark.parametrize("size", [(50, 70), (64, 64), (33, 200)])
def test_a_network_that_looks_at_single_pixels_says_the_same_in_tiles(size):
    model, image = Fake().eval(), torch.rand(1, 3, *size)
    with torch.inference_mode():
        whole = augmented_logits(model, image, TASKS)
        tiled = tiled_logits(model, image, TASKS, tile=32)
    assert len(model.seen) > 2
    assert all(max(seen[-2:]) <= 32 for seen in model.seen[1:])
    for name, task in TASKS.items():
        a, b = (task.to_mean_space(x[name]) for x in (whole, tiled))
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_an_image_no_larger_than_a_tile_is_seen_whole():
    model, image = Fake().eval(), torch.rand(1, 3, 40, 64)
    with torch.inference_mode():
        tiled = tiled_logits(model, image, TASKS, tile=60, multiple=16)
    assert model.seen == [(1, 3, 40, 64)]
    whole = augmented_logits(model, image, TASKS)
    assert all(torch.equal(tiled[name], whole[name]) for name in TASKS)


def test_each_tile_is_seen_at_all_scales_and_mirrored():
    model, image = Fake().eval(), torch.rand(1, 3, 40, 100)
    views = TestTimeAugmentation(scales=(0.5, 1), flip=True)
    with torch.inference_mode():
        tiled = tiled_logits(model, image, TASKS, views, tile=64)
    assert model.seen == 2 * [*2 * [(1, 3, 20, 32)], *2 * [(1, 3, 40, 64)]]
    assert all(x.shape == (1, CHANNELS[name], 40, 100) for name, x in tiled.items())


def test_seams_of_a_real_network_are_not_seen():
    """Beside a tile's edge the prediction changes no more than elsewhere, and in the middle of a
    tile it is that of the whole image, but for what is out of its sight."""
    torch.manual_seed(0)
    config = PAMMConfig(
        tasks={"depth": 1, "normals": 3}, backbone="test_convnext", d_model=16, d_state=2,
        stride=8, drop_path=0.0,
    )  # fmt: skip
    model = PAMM(config).eval()
    tasks = {name: TASKS[name] for name in config.tasks}
    smooth = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 12), (160, 256), mode="bicubic")
    image = smooth.clamp(0, 1)
    with torch.inference_mode():
        whole = model(image)
        tiled = tiled_logits(model, image, tasks, tile=128, multiple=model.multiple)
        apart = [model(image[..., :128])["depth"], model(image[..., 128:])["depth"]]
    abutting = torch.cat(apart, dim=-1)[0, 0]
    depth = tiled["depth"][0, 0]

    def step(x: torch.Tensor, column: int) -> float:
        return float((x[:, column] - x[:, column - 1]).abs().mean())

    starts = tile_starts(256, 128, model.multiple)
    edges = [x for s in starts for x in (s, s + 128) if 0 < x < 256]
    usual = np.mean([step(whole["depth"][0, 0], c) for c in range(1, 256)])
    assert max(step(depth, c) for c in edges) < 3 * usual
    assert step(abutting, 128) > 3 * usual  # without fading there is a seam
    spread = float(whole["depth"].std())
    assert float((depth - whole["depth"][0, 0]).abs().mean()) < spread


def test_an_unknown_task_is_named():
    with pytest.raises(PammError, match="unknown task 'flow'"):
        tiled_logits(Fake(), torch.rand(1, 3, 9, 9), {"flow": TASKS["depth"]}, tile=32)
