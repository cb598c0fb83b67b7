"""What two processes of torchrun compute, written to files; test_distributed.py compares it.

Run by it as: torchrun --nproc-per-node 2 two_processes.py FOLDER
"""

import atexit
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from pamm.config import Experiment, run_experiment
from pamm.data import DataConfig
from pamm.evaluation.evaluate import evaluate_run
from pamm.model import MODELS, PAMMConfig
from pamm.model.layers import per_task
from pamm.model.layers.batch_norm import synchronise
from pamm.runtime.distributed import launch, mean_over
from pamm.training.optim import OptimConfig
from pamm.training.train_config import TrainConfig
from small_models import small

TASKS = {
    "semseg": 16, "human_parts": 7, "saliency": 2, "normals": 3, "boundary": 1, "depth": 1,
}  # fmt: skip
OTHERS = [name for name in MODELS if name != "pamm"]
SHARES = (slice(0, 3), slice(3, 4))  # of a batch of four: the processes need not have equal parts


class Norms(nn.Module):
    """Every kind of batch norm: torch's, timm's, and one applied to a task's channels at a time."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), BatchNormAct2d(8)
        )
        self.by_task = per_task.batch_norm(2, 4)
        self.double()
        for parameter in self.parameters():
            nn.init.normal_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, h, w) -> (B, 8, h - 4, w - 4)."""
        maps = self.layers(x).movedim(1, -1)
        parts = [
            per_task.batch_norm_of(i, self.by_task, m.contiguous())
            for i, m in enumerate(maps.chunk(2, dim=-1))
        ]
        return torch.cat(parts, dim=-1).movedim(-1, 1)


def pass_norms(norms: Norms, share: slice) -> dict[str, Tensor]:
    """Two passes of a share of fixed batches: outputs, statistics and gradients of the last one."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):
        norms.zero_grad()
        x = torch.randn(4, 3, 8, 9, generator=generator, dtype=torch.float64) + 100
        weights = torch.randn(4, 8, 4, 5, generator=generator, dtype=torch.float64)
        x = x[share].requires_grad_()
        y = norms(x)
        (y * weights[share]).sum().backward()
    gradients = {f"gradient of {name}": p.grad for name, p in norms.named_parameters()}
    return {"y": y.detach(), "x": x.grad, **gradients, **norms.state_dict()}


def experiment() -> Experiment:
    """Twenty steps of batch 4, with augmentation and unequal numbers of labelled pixels."""
    return Experiment(
        model=PAMMConfig(
            tasks=TASKS, backbone="test_resnet", stride=8, d_model=16, d_state=2, drop_path=0.0
        ),
        data=DataConfig(size=(24, 32), train_count=10, val_count=5, workers=0, scale=(0.5, 1.5)),
        optim=OptimConfig(lr=1e-4),
        train=TrainConfig(
            steps=20,
            batch_size=4,
            penalty=0.0,
            validate_every=20,
            checkpoint_every=20,
            log_every=1,
            gradient_checkpointing=True,
            ema=0.5,
        ),
    )


def other_model(name: str, **train: Any) -> Experiment:
    """Four steps of another model. Not in parts: batch norms over two small images amplify rounding
    a hundred times.
    """
    whole = experiment()
    settings = {
        "steps": 4, "checkpoint_every": 4, "validate_every": 4, "ema": 0.0, **train
    }  # fmt: skip
    return replace(
        whole,
        model=small(name, tasks=TASKS, drop_path=0.0),
        train=replace(whole.train, **settings),
    )


def without_noise(patch: Any) -> None:
    """Make a training comparable between numbers of processes.

    The noise of the routers is each process's own. And Adam makes a step of full length of a
    gradient that is zero but for rounding, such as that of a bias in front of a norm: its epsilon
    is raised above the rounding.
    """
    patch.setattr(torch, "randn_like", torch.zeros_like)
    patch.setattr(torch.optim, "Adam", partial(torch.optim.Adam, eps=1e-3))


class Patch:
    """What pytest's monkeypatch does, for good."""

    setattr = staticmethod(setattr)


def note_threads_at_exit(folder: Path) -> None:
    """Write the names of the threads that are left when everything else at the exit is done."""
    tasks = Path("/proc/self/task")

    def note() -> None:
        names = [(task / "comm").read_text() for task in tasks.iterdir()]
        (folder / f"threads-{os.environ['RANK']}.txt").write_text("".join(names))

    if tasks.exists():
        atexit.register(note)  # before all others, thus called after them


def main(folder: Path) -> None:
    note_threads_at_exit(folder)
    torch.set_num_threads(1)
    fabric = launch()
    norms = Norms()
    synchronise(norms)
    seen = pass_norms(norms, SHARES[fabric.global_rank])
    counts = mean_over(fabric)(torch.tensor([fabric.global_rank, 2]))
    torch.save((seen, counts), folder / f"norms-{fabric.global_rank}.pt")
    without_noise(Patch)
    run_experiment(experiment(), folder / "run")
    for name in OTHERS:
        run_experiment(other_model(name), folder / name)
    evaluate_run(folder / "run", batch_size=2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
