"""The schedule at its known points, and which parameters decay."""

import pytest
import torch

from pamm.errors import PammError
from pamm.model import PAMM, ModelConfig
from pamm.optim import OptimConfig, learning_rate, make_optimizer


def test_polynomial_decay():
    config = OptimConfig(lr=2e-5, power=0.9)
    assert learning_rate(0, 40_000, config) == 2e-5
    assert learning_rate(10_000, 40_000, config) == pytest.approx(2e-5 * 0.75**0.9)
    assert learning_rate(40_000, 40_000, config) == 0


def test_warmup_rises_linearly_under_the_decay():
    config = OptimConfig(lr=1.0, power=0.0, warmup=4)
    assert [learning_rate(s, 100, config) for s in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_all_parameters_in_one_group_or_matrices_apart():
    model = PAMM(ModelConfig(tasks={"depth": 1}, backbone="test_vit", d_model=16, d_state=2))
    everything = {id(p) for p in model.parameters()}
    (group,) = make_optimizer(model, OptimConfig()).param_groups
    assert {id(p) for p in group["params"]} == everything
    assert group["weight_decay"] == 1e-6
    matrices, rest = make_optimizer(model, OptimConfig(decay_matrices_only=True)).param_groups
    assert {id(p) for p in matrices["params"] + rest["params"]} == everything
    assert rest["weight_decay"] == 0
    spared = {id(p) for p in rest["params"]}
    for name, parameter in model.named_parameters():
        special = name.endswith(("A_log", "prior_b", "prior_c", ".bias", ".D", "delta_bias"))
        assert (id(parameter) in spared) == (special or parameter.ndim < 2), name


def test_the_optimiser_is_adam_with_l2():
    """One step by hand: the penalty is part of the gradient."""
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(layer.weight, 2.0)
    optimizer = make_optimizer(layer, OptimConfig(lr=0.1, weight_decay=0.5))
    layer.weight.grad = torch.zeros(1, 1)
    optimizer.step()
    assert layer.weight.item() == pytest.approx(2.0 - 0.1, rel=1e-5)


@pytest.mark.parametrize("changes", [{"lr": 0}, {"weight_decay": -1}, {"warmup": -1}])
def test_bad_values(changes):
    with pytest.raises(PammError):
        OptimConfig(**changes)
