"""The smallest training with everything random on, and how two of them are compared."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from pamm.checkpoint import find
from pamm.config import Experiment
from pamm.data import DataConfig
from pamm.model import PAMMConfig
from pamm.training.optim import OptimConfig
from pamm.training.train_config import TrainConfig

TASKS = {
    "semseg": 16, "human_parts": 7, "saliency": 2, "normals": 3, "boundary": 1, "depth": 1,
}  # fmt: skip


def tiny(*, steps: int = 6, workers: int = 0, **train: object) -> Experiment:
    """Everything random is on: augmentation, drop path, router noise."""
    return Experiment(
        model=PAMMConfig(
            tasks=TASKS, backbone="test_resnet", stride=8, d_model=16, d_state=2, drop_path=0.1
        ),
        data=DataConfig(size=(24, 32), train_count=10, val_count=3, workers=workers),
        optim=OptimConfig(lr=1e-3),
        train=TrainConfig(
            **{
                "steps": steps,
                "batch_size": 4,
                "checkpoint_every": 2,
                "validate_every": 3,
                "log_every": 1,
                **train,
            }
        ),
    )


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(find(run) / "model.safetensors")


def assert_same(first: Path, second: Path) -> None:
    a, b = weights(first), weights(second)
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name
