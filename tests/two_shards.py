"""Two processes that share the weights of one training, for test_sharding.py.

Run by it as: torchrun --nproc-per-node 2 two_shards.py FOLDER
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import pamm.training.loop
from pamm.config import Experiment, run_experiment
from pamm.training.optim import OptimConfig
from two_processes import OTHERS, Patch, experiment, other_model, without_noise


def sharded_experiment(**train: Any) -> Experiment:
    """Four steps of a ViT, whose blocks and PAMEs are recomputed, in two accumulated parts."""
    whole = experiment()
    settings = {"steps": 4, "checkpoint_every": 2, "validate_every": 4, "keep": 2, "ema": 0.0}
    return replace(
        whole,
        model=replace(
            whole.model, tasks={"semseg": 16, "depth": 1}, backbone="test_vit", stride=None
        ),
        optim=OptimConfig(lr=1e-3, clip_norm=0.5),  # the gradients are longer
        train=replace(whole.train, **{**settings, "accumulate": 2, **train}),
    )


def held(tensor: Any) -> int:
    """Elements of a tensor that this process has in memory."""
    return (tensor.to_local() if hasattr(tensor, "to_local") else tensor).numel()


def recording(sizes: list[dict[str, int]], function: Callable) -> Callable:
    """Note what this process holds whenever the state of the training is made."""

    @wraps(function)
    def wrapped(network: nn.Module, optimizer: Any, *args: Any, **options: Any) -> Any:
        moments = [v for values in optimizer.state.values() for v in values.values()]
        sizes.append(
            {
                "weights": sum(held(p) for p in network.parameters()),
                "moments": sum(held(v) for v in moments if isinstance(v, Tensor) and v.dim()),
                "all weights": sum(p.numel() for p in network.parameters()),
            }
        )
        return function(network, optimizer, *args, **options)

    return wrapped


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    without_noise(Patch)
    sizes: list[dict[str, int]] = []
    pamm.training.loop.training_state = recording(sizes, pamm.training.loop.training_state)
    run_experiment(sharded_experiment(strategy="fsdp"), folder / "shards")
    for name in OTHERS:
        run_experiment(other_model(name, strategy="fsdp"), folder / name)
    rank = os.environ["RANK"]
    (folder / f"sizes-{rank}.json").write_text(json.dumps(sizes))
    run_experiment(sharded_experiment(strategy="fsdp"), folder / "from-whole", resume=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
