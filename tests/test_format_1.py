"""Model folders of before there was more than one model."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from pamm.checkpoint import find, load, save
from pamm.config import Experiment, run_experiment
from pamm.data import DataConfig
from pamm.errors import PammError
from pamm.format_1 import NEW_PREFIXES
from pamm.model import PAMM, PAMMConfig
from pamm.predictor import Predictor
from pamm.training.optim import OptimConfig
from pamm.training.train_config import TrainConfig

NEW_FIELDS = ("name", "mean", "std")


def made_old(folder):
    """The folder as the older version wrote it, of a network that ImageNet's numbers suit."""
    config = json.loads((folder / "config.json").read_text())
    model = {k: v for k, v in config["model"].items() if k not in NEW_FIELDS}
    (folder / "config.json").write_text(json.dumps({**config, "format": 1, "model": model}))
    old_names = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        new = next((p for p in NEW_PREFIXES.values() if name.startswith(p)), "")
        old = next((o for o, n in NEW_PREFIXES.items() if n == new), "")
        old_names[old + name.removeprefix(new)] = tensor
    save_file(old_names, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("switches", [{}, {"task_conv": False, "pame": False}], ids=str)
def test_it_predicts_as_it_did_and_one_line_says_what_it_is(tmp_path, capsys, switches):
    config = PAMMConfig(
        tasks={"semseg": 5, "depth": 1}, backbone="test_resnet", d_model=16, d_state=2,
        mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), **switches,
    )  # fmt: skip
    model = Predictor(PAMM(config)).eval()
    folder = made_old(save(tmp_path, "last", 1, model, data=DataConfig()))
    names = load_file(folder / "model.safetensors")
    assert {"backbone.project.0.weight", "decoder.heads.depth.bias"} <= set(names)
    loaded = load(tmp_path)
    (line,) = capsys.readouterr().err.splitlines()
    assert "has format 1, of an older version" in line
    image = torch.rand(1, 3, 37, 50)
    with torch.inference_mode():
        for task, logits in model(image).items():
            assert torch.equal(loaded(image)[task], logits)


def test_its_training_does_not_go_on(tmp_path):
    experiment = Experiment(
        model=PAMMConfig(tasks={"depth": 1}, backbone="test_vit", d_model=16, d_state=2),
        data=DataConfig(size=(24, 32), train_count=2, val_count=2, workers=0),
        optim=OptimConfig(),
        train=TrainConfig(steps=1, batch_size=2),
    )
    run_experiment(experiment, tmp_path)
    made_old(find(tmp_path))
    with pytest.raises(PammError, match="has format 1, .* its training cannot go on here"):
        run_experiment(experiment, tmp_path, resume=True)


def test_it_was_pamm_whatever_else_it_says(tmp_path):
    config = PAMMConfig(tasks={"depth": 1}, backbone="test_vit", d_model=16, d_state=2)
    folder = made_old(save(tmp_path, "last", 1, Predictor(PAMM(config)), data=DataConfig()))
    saved = json.loads((folder / "config.json").read_text())
    saved["model"]["name"] = "padnet"
    (folder / "config.json").write_text(json.dumps(saved))
    assert type(load(tmp_path).network) is PAMM
