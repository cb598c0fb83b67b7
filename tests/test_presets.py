"""Every preset builds its model now, with the paper's hyperparameters, and fits its data set."""

from dataclasses import fields, replace

import pytest
import torch

from pamm.data import DATASETS
from pamm.errors import PammError
from pamm.model import ModelConfig, build_model
from pamm.presets import PRESETS, RECIPES, preset


@pytest.mark.parametrize("name", PRESETS)
def test_the_model_builds(name):
    experiment = PRESETS[name].experiment
    with torch.device("meta"):
        model = build_model(replace(experiment.model, pretrained=False)).eval()
        logits = model(torch.empty(1, 3, 64, 96))
    assert {task: x.shape[1] for task, x in logits.items()} == experiment.model.tasks


@pytest.mark.parametrize("name", ["nyud-vit-b", "nyud-vit-l", "pascal-vit-b", "pascal-vit-l"])
def test_the_papers_hyperparameters(name):
    e = PRESETS[name].experiment
    pascal = name.startswith("pascal")
    assert (e.optim.lr, e.model.d_state) == ((2e-5, 64) if pascal else (1e-5, 16))
    assert e.data.size == ((512, 512) if pascal else (448, 576))
    assert (e.optim.weight_decay, e.optim.power, e.optim.clip_norm) == (1e-6, 0.9, 10)
    assert (e.train.steps, e.train.batch_size) == (40_000, 6)
    assert e.model.d_model == (1024 if name == "pascal-vit-l" else 768)
    assert (e.model.num_experts, e.model.top_k) == (15, 9)


@pytest.mark.parametrize("name", ["nyud-vit-b", "nyud-vit-l", "pascal-vit-b", "pascal-vit-l"])
def test_the_papers_models_see_what_the_published_code_shows_them(name):
    """ImageNet's numbers; timm's ViT was trained with one half."""
    model = PRESETS[name].experiment.model
    assert model.mean == (0.485, 0.456, 0.406)
    assert model.std == (0.229, 0.224, 0.225)


@pytest.mark.parametrize("recipe", RECIPES)
def test_all_models_of_a_recipe_differ_in_the_model_only(recipe):
    whole = PRESETS[recipe].experiment
    for model in RECIPES[recipe].models:
        name = recipe if model == "pamm" else f"{recipe}-{model}"
        twin = PRESETS[name].experiment
        assert twin.model.name == model
        assert (twin.data, twin.optim, twin.train) == (whole.data, whole.optim, whole.train)
        for field in fields(ModelConfig):
            assert getattr(twin.model, field.name) == getattr(whole.model, field.name)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_predict_what_the_data_set_has(name):
    experiment = PRESETS[name].experiment
    tasks = DATASETS[experiment.data.name].TASKS
    assert experiment.model.tasks == {task: t.channels for task, t in tasks.items()}
    assert list(experiment.model.tasks) == list(tasks)


def test_a_mistyped_preset():
    with pytest.raises(PammError, match="unknown preset 'nyud-vitb': did you mean 'nyud-vit-b'"):
        preset("nyud-vitb")
