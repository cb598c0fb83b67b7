"""The public data sets from their files to scores: train, resume, evaluate, predict."""

import itertools
from dataclasses import replace

import pytest
import torch
from fake_layouts import fake_nyud, fake_pascal

import pamm
from pamm.config import Experiment, run_experiment
from pamm.data import DataConfig, dataset_tasks
from pamm.data.file_dataset import FileDataset
from pamm.evaluation.evaluate import evaluate_run
from pamm.model import PAMMConfig
from pamm.training.optim import OptimConfig
from pamm.training.train_config import TrainConfig

LACKING = {"semseg": ["0001", "2008_000001"], "normals": ["0002", "2009_000002"]}


def nyud(root):
    fake_nyud(root / "NYUDv2", missing=LACKING)
    return "nyud"


def old_nyud(root):
    fake_nyud(root / "NYUD_MT", missing=LACKING, old=True, size=(43, 57))
    return "nyud"


def pascal(root):
    fake_pascal(root / "PASCALContext", missing=LACKING)
    return "pascal_context"


def cut_after(images: int):
    """`FileDataset.load` as it is, for so many images."""
    load, calls = FileDataset.load, itertools.count()

    def broken(self, index):
        if next(calls) == images:
            raise RuntimeError("power cut")
        return load(self, index)

    return broken


@pytest.mark.parametrize("make", [nyud, old_nyud, pascal])
def test_train_resume_evaluate_predict(tmp_path, make, monkeypatch):
    data = DataConfig(
        name=make(tmp_path), root=str(tmp_path), size=(32, 40), scale=(0.5, 2.0), workers=0
    )
    channels = {name: task.channels for name, task in dataset_tasks(data).items()}

    experiment = Experiment(
        model=PAMMConfig(tasks=channels, backbone="test_vit", d_model=16, d_state=2),
        data=data,
        optim=OptimConfig(lr=1e-3),
        train=TrainConfig(steps=3, batch_size=2, checkpoint_every=1),
    )
    whole = run_experiment(experiment, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(FileDataset, "load", cut_after(4))
        with pytest.raises(RuntimeError, match="power cut"):
            run_experiment(experiment, tmp_path / "run")
    in_workers = replace(experiment, data=replace(data, workers=2))
    resumed = run_experiment(in_workers, tmp_path / "run", resume=True)
    weights = [(f / "model.safetensors").read_bytes() for f in (whole, resumed)]
    assert weights[0] == weights[1]
    report = evaluate_run(tmp_path / "run")
    assert set(report["scores"]) == set(channels)
    for scores in report["scores"].values():
        assert all(value is not None for value in scores.values()), scores
    model = pamm.load(tmp_path / "run")
    assert model.crop_size == (32, 40)
    assert max(model.image_size) > 40  # that of the images, not of the crops
    maps = pamm.predict(model, torch.zeros(3, 45, 61, dtype=torch.uint8))
    assert set(maps) == set(channels)
