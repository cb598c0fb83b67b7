"""PAD-Net, layer by layer."""

import torch

from pamm.model import PADNet, PADNetConfig
from pamm.model.describe import describe
from pamm.model.padnet import Distillation

PASCAL = {"semseg": 21, "human_parts": 7, "saliency": 2, "normals": 3, "boundary": 1}


def test_distillation_is_a_sum_over_the_other_tasks():
    """Against a convolution for each pair of tasks."""
    tasks, channels = 3, 4
    layer, x = Distillation(tasks, channels), torch.randn(2, tasks * channels, 5, 6)
    maps = x.unflatten(1, (tasks, channels))
    gates = layer.gates.weight.view(tasks, tasks - 1, channels, channels, 3, 3)
    values = layer.values.weight.view(tasks, tasks - 1, channels, channels, 3, 3)
    expected = maps.clone()
    for source in range(tasks):
        for target in range(tasks):
            if source == target:
                continue
            i = target - (target > source)
            gate = torch.conv2d(maps[:, source], gates[source, i], padding=1).sigmoid()
            value = torch.conv2d(maps[:, source], values[source, i], padding=1)
            expected[:, target] += gate * value
    torch.testing.assert_close(layer(x), expected.flatten(1, 2), rtol=1e-4, atol=1e-5)


def test_the_first_predictions_are_trained_and_not_made_otherwise():
    model = PADNet(PADNetConfig(tasks=PASCAL, backbone="test_vit", channels=8))
    image = torch.rand(2, 3, 32, 32)
    (first,) = model(image).auxiliary
    assert {task: tuple(x.shape) for task, x in first.items()} == {
        task: (2, channels, 32, 32) for task, channels in PASCAL.items()
    }
    assert model.eval()(image).auxiliary == ()


def test_the_size_of_the_decoder_is_the_published_one():
    """330 million parameters on ViT-L and PASCAL-Context are reported (MLoRE's table)."""
    config = PADNetConfig(tasks=PASCAL, backbone="vit_large_patch16_384.augreg_in21k_ft_in1k")
    total = sum(describe(config, (512, 512)).parameters.values())
    assert round(total / 1e6) == 330
