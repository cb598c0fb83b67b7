"""The public data sets from their files to scores: train, resume, evaluate, predict."""

import pytest
import torch
from fake_layouts import fake_nyud, fake_pascal

import pamm
from pamm.config import Experiment, run_experiment
from pamm.data import DataConfig, dataset_tasks
from pamm.evaluate import evaluate_run
from pamm.model import ModelConfig
from pamm.optim import OptimConfig
from pamm.train import TrainConfig

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


@pytest.mark.parametrize("make", [nyud, old_nyud, pascal])
def test_train_resume_evaluate_predict(tmp_path, make):
    data = DataConfig(
        name=make(tmp_path), root=str(tmp_path), size=(32, 40), scale=(0.5, 2.0), workers=0
    )
    channels = {name: task.channels for name, task in dataset_tasks(data).items()}

    def experiment(steps: int) -> Experiment:
        return Experiment(
            model=ModelConfig(tasks=channels, backbone="test_vit", d_model=16, d_state=2),
            data=data,
            optim=OptimConfig(lr=1e-3),
            train=TrainConfig(steps=steps, batch_size=2, checkpoint_every=1),
        )

    run_experiment(experiment(3), tmp_path / "run")
    run_experiment(experiment(3), tmp_path / "run", resume=True)
    report = evaluate_run(tmp_path / "run")
    assert set(report["scores"]) == set(channels)
    for scores in report["scores"].values():
        assert all(value is not None for value in scores.values()), scores
    model = pamm.load(tmp_path / "run")
    maps = pamm.predict(model, torch.zeros(3, 45, 61, dtype=torch.uint8))
    assert set(maps) == set(channels)
