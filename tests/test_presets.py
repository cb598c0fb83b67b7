"""Every preset builds its model now, with the paper's hyperparameters, and fits its data set."""

import pytest
import torch

from pamm.data import DATASETS
from pamm.errors import PammError
from pamm.model import PAMM
from pamm.model.describe import describe
from pamm.presets import PRESETS, preset


@pytest.mark.parametrize("name", PRESETS)
def test_the_model_builds(name):
    experiment = PRESETS[name].experiment
    with torch.device("meta"):
        model = PAMM(
            type(experiment.model)(**{**vars(experiment.model), "pretrained": False})
        ).eval()
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


@pytest.mark.parametrize("name", [n for n in PRESETS if n.endswith("-baseline")])
def test_a_baseline_is_its_twin_without_task_convolution_and_pame(name):
    twin, full = PRESETS[name].experiment, PRESETS[name.removesuffix("-baseline")].experiment
    assert not twin.model.task_conv
    assert not twin.model.pame
    assert (twin.data, twin.optim, twin.train) == (full.data, full.optim, full.train)


def test_synthetic_presets_fit_the_data_set():
    channels = {name: task.channels for name, task in DATASETS["synthetic"].TASKS.items()}
    assert preset("synthetic-tiny").experiment.model.tasks == channels


def test_a_mistyped_preset():
    with pytest.raises(PammError, match="unknown preset 'nyud-vitb': did you mean 'nyud-vit-b'"):
        preset("nyud-vitb")


def test_describe_counts_every_parameter_once():
    config = preset("synthetic-tiny").experiment.model
    found = describe(config, (37, 61))
    assert sum(found.parameters.values()) == sum(p.numel() for p in PAMM(config).parameters())
    wanted = {"backbone", "task conv", "PE router", "PE experts", "priors", "scan", "stage fusion"}
    assert wanted <= set(found.parameters)
    assert ("prediction depth", (1, 1, 37, 61)) in found.shapes


class WithMore(PAMM):
    """Has a layer that no list of parts names."""

    def __init__(self, config):
        super().__init__(config)
        self.sharpen = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3, padding=1))

    def forward(self, image):
        return super().forward(image + self.sharpen(image))


def test_describe_leaves_no_part_out(monkeypatch):
    config = preset("synthetic-tiny").experiment.model
    before = describe(config, (32, 48))
    monkeypatch.setattr("pamm.model.describe.PAMM", WithMore)
    found = describe(config, (32, 48))
    assert found.parameters == {**before.parameters, "sharpen": 3 * 3 * 9 + 3}
    assert found.flops == {**before.flops, "sharpen": 2 * 32 * 48 * 3 * 3 * 9}


def test_describe_counts_operations_by_part():
    """The decoder by hand: nine taps on the small map and its border, the products of matrices
    that put them together in blocks of 4 positions, and the heads at a quarter of the pixels.
    """
    config = preset("synthetic-tiny").experiment.model
    h, w, d, tasks = 64 // 8, 96 // 8, config.d_model, len(config.tasks)
    taps = (h + 2) * (w + 2) * d * 9 * d
    columns = (h + 2) * 3 * (w // 4) * (4 * 4) * (6 * 3) * d
    rows = (h // 4) * (4 * 4) * (6 * 3) * 4 * w * d
    heads = 4 * h * 4 * w * d * sum(config.tasks.values())
    by_hand = 2 * (tasks * (taps + columns + rows) + heads)
    assert describe(config, (64, 96)).flops["decoder heads"] == by_hand
