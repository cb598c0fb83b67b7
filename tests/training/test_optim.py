"""The schedule at its known points, and which parameters decay."""

import pytest
import torch

from pamm.errors import PammError
from pamm.model import PAMM, PAMMConfig
from pamm.training.optim import (
    OptimConfig,
    learning_rate,
    make_optimizer,
    rate_scales,
    set_learning_rate,
    update_average,
)


def test_polynomial_decay():
    config = OptimConfig(lr=2e-5, power=0.9)
    assert learning_rate(0, 40_000, config) == 2e-5
    assert learning_rate(10_000, 40_000, config) == pytest.approx(2e-5 * 0.75**0.9)
    assert learning_rate(40_000, 40_000, config) == 0


def test_warmup_rises_linearly_under_the_decay():
    config = OptimConfig(lr=1.0, power=0.0, warmup=4)
    assert [learning_rate(s, 100, config) for s in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_all_parameters_in_one_group_or_matrices_apart():
    model = PAMM(PAMMConfig(tasks={"depth": 1}, backbone="test_vit", d_model=16, d_state=2))
    everything = {id(p) for p in model.parameters()}
    (group,) = make_optimizer(model, OptimConfig()).param_groups
    assert {id(p) for p in group["params"]} == everything
    assert group["weight_decay"] == 1e-6
    groups = make_optimizer(model, OptimConfig(decay_matrices_only=True)).param_groups
    rest, matrices = sorted(groups, key=lambda group: group["weight_decay"])
    assert {id(p) for p in matrices["params"] + rest["params"]} == everything
    assert rest["weight_decay"] == 0
    spared = {id(p) for p in rest["params"]}
    for name, parameter in model.named_parameters():
        special = name.endswith(("A_log", "prior_b", "prior_c", "cls_token", "pos_embed"))
        assert (id(parameter) in spared) == (special or parameter.ndim < 2), name


def test_the_optimiser_is_adam_with_l2():
    """One step by hand: the penalty is part of the gradient."""
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(layer.weight, 2.0)
    optimizer = make_optimizer(layer, OptimConfig(lr=0.1, weight_decay=0.5))
    layer.weight.grad = torch.zeros(1, 1)
    optimizer.step()
    assert layer.weight.item() == pytest.approx(2.0 - 0.1, rel=1e-5)


def test_layers_of_the_backbone_learn_slower_the_deeper_they_are():
    """A ViT by hand: embedding 0, blocks 1 to depth, the final norm with the last of them."""
    model = PAMM(PAMMConfig(tasks={"depth": 1}, backbone="test_vit", d_model=16, d_state=2))
    depth = len(model.backbone.net.blocks)
    scales = rate_scales(model, OptimConfig(layer_decay=0.5))
    assert scales["backbone.net.patch_embed.proj.weight"] == 0.5 ** (depth + 1)
    assert scales["backbone.net.pos_embed"] == 0.5 ** (depth + 1)
    for i in range(depth):
        assert scales[f"backbone.net.blocks.{i}.mlp.fc1.weight"] == 0.5 ** (depth - i)
    assert scales["backbone.net.norm.weight"] == 0.5
    config = OptimConfig(lr=1.0, layer_decay=0.5, decay_matrices_only=True)
    optimizer = make_optimizer(model, config)
    set_learning_rate(optimizer, 3.0)
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    for name, parameter in model.named_parameters():
        assert rates[id(parameter)] == 3.0 * scales.get(name, 1.0), name


def test_the_backbone_learns_at_a_share_of_the_rate():
    model = PAMM(PAMMConfig(tasks={"depth": 1}, backbone="test_vit", d_model=16, d_state=2))
    optimizer = make_optimizer(model, OptimConfig(lr=1.0, backbone=0.25))
    set_learning_rate(optimizer, 2.0)
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    for name, parameter in model.named_parameters():
        assert rates[id(parameter)] == (0.5 if name.startswith("backbone.") else 2.0), name
    both = rate_scales(model, OptimConfig(backbone=0.25, layer_decay=0.5))
    decayed = rate_scales(model, OptimConfig(layer_decay=0.5))
    assert both == {name: 0.25 * scale for name, scale in decayed.items()}


def test_a_frozen_backbone_is_not_in_the_optimiser():
    model = PAMM(PAMMConfig(tasks={"depth": 1}, backbone="test_vit", d_model=16, d_state=2))
    model.backbone.freeze()
    groups = make_optimizer(model, OptimConfig(backbone=0)).param_groups
    trained = {id(p) for group in groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        assert (id(parameter) in trained) == (not name.startswith("backbone.")), name


@pytest.mark.parametrize("backbone", ["test_resnet", "test_convnext", "test_efficientnet"])
def test_other_backbones_have_layers_too(backbone):
    config = PAMMConfig(tasks={"depth": 1}, backbone=backbone, d_model=16, d_state=2, drop_path=0)
    model = PAMM(config)
    scales = rate_scales(model, OptimConfig(layer_decay=0.9))
    names = {name for name, _ in model.named_parameters() if name.startswith("backbone.net.")}
    assert set(scales) == names
    assert len(set(scales.values())) > 3
    assert max(scales.values()) == 0.9


def test_the_average_of_the_weights_by_hand():
    average, model = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    torch.nn.init.constant_(average.weight, 1.0)
    for value in (2.0, 4.0):
        torch.nn.init.constant_(model.weight, value)
        model.running_mean.fill_(value)
        model.num_batches_tracked += 1
        update_average(average, model, 0.75)
    assert average.weight.tolist() == [0.75 * (0.75 + 0.5) + 1.0] * 2
    assert average.running_mean.tolist() == [4.0, 4.0]
    assert average.num_batches_tracked == 2
    assert average.weight.requires_grad


@pytest.mark.parametrize(
    "changes",
    [
        {"layer_decay": 0},
        {"layer_decay": 1.5},
        {"backbone": -0.1},
        {"backbone": 2},
        {"lr": 0},
        {"weight_decay": -1},
        {"warmup": -1},
    ],
)
def test_bad_values(changes):
    with pytest.raises(PammError):
        OptimConfig(**changes)
