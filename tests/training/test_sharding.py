"""Sharding changes who holds the weights and not what they become."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pamm.checkpoint import newest
from pamm.config import run_experiment
from pamm.errors import PammError
from pamm.evaluation.evaluate import evaluate_run
from pamm.training.run_log import read_records
from pamm.training.train_config import TrainConfig
from two_processes import OTHERS, other_model, without_noise
from two_shards import sharded_experiment


@pytest.fixture(scope="module", autouse=True)
def _as_the_processes() -> Iterator[None]:
    """One thread and no noise, here too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        without_noise(patch)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four runs: `whole` and `shards`, and each gone on with in the other's way from step 2."""
    folder = tmp_path_factory.mktemp("sharding")
    run_experiment(sharded_experiment(), folder / "whole")
    halfway(folder / "whole", folder / "from-whole")
    script = Path(__file__).parents[1] / "two_shards.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*command, str(script), str(folder)], check=True, timeout=300)
    halfway(folder / "shards", folder / "from-shards")
    run_experiment(sharded_experiment(), folder / "from-shards", resume=True)
    return folder


def halfway(run: Path, copy: Path) -> None:
    """A copy of a run as it was after step 2."""
    shutil.copytree(run, copy)
    for late in copy.glob("*-000004"):
        shutil.rmtree(late)


@pytest.mark.parametrize("run", ["shards", "from-whole", "from-shards"])
def test_the_weights_are_those_of_one_process(folder, run):
    a, b = (load_file(newest(folder / r, "last") / "model.safetensors") for r in ("whole", run))
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.parametrize("name", OTHERS)
def test_other_models_are_shared_out_too(name, folder, tmp_path):
    run_experiment(other_model(name), tmp_path)
    a, b = (load_file(newest(r, "last") / "model.safetensors") for r in (tmp_path, folder / name))
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-5, atol=1e-5, msg=key)


def test_the_records_are_those_of_one_process(folder):
    """The losses of every step, and the validation."""
    ours, theirs = (read_records(folder / r / "metrics.jsonl") for r in ("whole", "shards"))
    assert [(r["step"], r["split"]) for r in ours] == [(r["step"], r["split"]) for r in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        for key in (key for key in mine if key.endswith("loss")):
            assert other[key] == pytest.approx(mine[key], rel=1e-5), (mine["step"], key)


def test_each_process_holds_about_half(folder):
    for rank in range(2):
        for sizes in json.loads((folder / f"sizes-{rank}.json").read_text()):
            assert sizes["weights"] < 0.55 * sizes["all weights"]
            assert sizes["moments"] == 2 * sizes["weights"]


def test_a_sharded_run_is_evaluated_as_any(folder):
    (record,) = (r for r in read_records(folder / "shards/metrics.jsonl") if r["split"] == "val")
    scores = evaluate_run(folder / "shards")["scores"]
    assert record["semseg/mIoU"] == scores["semseg"]["mIoU"]
    assert record["depth/RMSE"] == pytest.approx(scores["depth"]["RMSE"], rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ema": 0.9}, "ema: the average needs whole weights: leave it 0 with strategy fsdp"),
        ({"precision": "16-mixed"}, "precision: 16-mixed does not go .*: use bf16-mixed"),
    ],
)
def test_what_sharding_cannot_do(settings, message):
    with pytest.raises(PammError, match=message):
        TrainConfig(strategy="fsdp", **settings)
