"""Training: a killed and resumed run is the unbroken run, bit by bit; the records; the errors."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pamm.checkpoint import find, load, load_training, newest
from pamm.config import Experiment, read_experiment, run_experiment
from pamm.data import DataConfig
from pamm.errors import PammError
from pamm.evaluate import evaluate_run
from pamm.model import ModelConfig
from pamm.optim import OptimConfig
from pamm.run_log import read_records
from pamm.strict_json import to_json
from pamm.train import TrainConfig


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Here and in the processes started: the network is too small for more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


TASKS = {
    "semseg": 16, "human_parts": 7, "saliency": 2, "normals": 3, "boundary": 1, "depth": 1,
}  # fmt: skip


def tiny(*, steps: int = 6, workers: int = 0, **train: object) -> Experiment:
    """Everything random is on: augmentation, drop path, router noise."""
    return Experiment(
        model=ModelConfig(
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


def start(experiment: Experiment, folder: Path, *options: str) -> subprocess.Popen:
    """`pamm train` in a process group of its own, after its first step."""
    config, run = folder / "experiment.json", folder / "run"
    config.write_text(json.dumps(to_json(experiment)))
    command = [sys.executable, "-m", "pamm", "train", str(config), "--out", str(run), *options]
    process = subprocess.Popen(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not read_records(run / "metrics.jsonl"):
        assert time.monotonic() < deadline, "no step was made"
        assert process.poll() is None, "the run ended before its first step"
        time.sleep(0.005)
    return process


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("unbroken")
    run_experiment(tiny(), run)
    return run


def test_a_run_is_a_function_of_its_configuration(unbroken, tmp_path):
    run_experiment(tiny(), tmp_path)
    assert_same(unbroken, tmp_path)


def test_another_seed_is_another_run(unbroken, tmp_path):
    run_experiment(tiny(seed=1), tmp_path)
    with pytest.raises(AssertionError):
        assert_same(unbroken, tmp_path)


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_and_resumed_is_bit_equal_to_unbroken(unbroken, tmp_path, workers):
    """SIGKILL between two checkpoints, in the middle of an epoch."""
    process, run = start(tiny(workers=workers), tmp_path), tmp_path / "run"
    while newest(run, "last") is None:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert newest(run, "last").name != "last-000006", "killed too late to show anything"
    run_experiment(read_experiment(run / "config.json"), run, resume=True)
    assert_same(unbroken, run)
    steps = [r["step"] for r in read_records(run / "metrics.jsonl") if r["split"] == "train"]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_stopped_by_sigterm_and_resumed_is_bit_equal_to_unbroken(unbroken, tmp_path):
    """The whole group gets the signal, loading processes too, as from a scheduler."""
    process = start(tiny(workers=2, checkpoint_every=6, validate_every=6), tmp_path)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(60) == 143
    run = tmp_path / "run"
    assert newest(run, "last").name < "last-000006", "stopped too late to show anything"
    run_experiment(read_experiment(run / "config.json"), run, resume=True)
    assert_same(unbroken, run)


def test_two_processes_stop_together_and_one_goes_on(tmp_path):
    """SIGTERM to the first of them alone; then on another number of processes."""
    settings = {"steps": 20, "checkpoint_every": 20, "validate_every": 20}
    process = start(tiny(**settings, devices=2), tmp_path)
    process.terminate()
    assert process.wait(60) == 143
    run = tmp_path / "run"
    done = newest(run, "last").name
    assert "last-000001" <= done < "last-000020"
    run_experiment(tiny(**settings, keep=2), run, resume=True)
    assert {p.name for p in run.glob("last-*")} == {done, "last-000020"}
    steps = [r["step"] for r in read_records(run / "metrics.jsonl") if r["split"] == "train"]
    assert steps == list(range(1, 21))


def test_stopped_in_a_validation(unbroken, tmp_path, monkeypatch):
    """It ends at once, after the checkpoint; the validation is made up for when the run goes on."""

    def evaluate(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    with monkeypatch.context() as patch:
        patch.setattr("pamm.train.evaluate", evaluate)
        with pytest.raises(SystemExit) as end:
            run_experiment(tiny(checkpoint_every=6), tmp_path)
    assert end.value.code == 143
    assert newest(tmp_path, "last").name == "last-000003"
    run_experiment(tiny(checkpoint_every=6), tmp_path, resume=True)
    assert_same(unbroken, tmp_path)
    ours, theirs = (read_records(run / "metrics.jsonl") for run in (tmp_path, unbroken))
    for record in ours + theirs:
        del record["seconds"]
    assert ours == theirs


def test_averaged_weights_resume_bit_equal(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run_experiment(tiny(steps=3, ema=0.9, validate_every=9), whole)
    run_experiment(tiny(steps=3, ema=0.9, validate_every=9, checkpoint_every=1, keep=3), broken)
    assert [p.name for p in sorted(broken.glob("last-*"))] == [f"last-00000{i}" for i in (1, 2, 3)]
    shutil.rmtree(broken / "last-000003")
    run_experiment(
        tiny(steps=3, ema=0.9, validate_every=9, checkpoint_every=1, keep=3), broken, resume=True
    )
    assert_same(whole, broken)
    raw, same = (load_training(newest(run, "last"))["weights"] for run in (whole, broken))
    assert all(torch.equal(raw[name], same[name]) for name in raw)
    assert not torch.equal(raw["pame.0.D"], weights(whole)["pame.0.D"])


def test_checkpointing_gradients_changes_no_weight(tmp_path):
    """With drop path, router noise and the balance loss, on a ViT whose blocks are recomputed."""
    for on in (False, True):
        experiment = tiny(steps=2, load_balancing=1.0, gradient_checkpointing=on)
        model = replace(experiment.model, backbone="test_vit", stride=None)
        run_experiment(replace(experiment, model=model), tmp_path / str(on))
    assert_same(tmp_path / "False", tmp_path / "True")


def test_two_processes_train_one_model(tmp_path):
    """They share the batch, count every validation image once, and leave one set of records."""
    config = tmp_path / "experiment.json"
    config.write_text(json.dumps(to_json(tiny(steps=3, devices=2))))
    command = [sys.executable, "-m", "pamm", "train", str(config), "--out", str(tmp_path / "run")]
    subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, timeout=300)
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "run").values())
    (record,) = [r for r in read_records(tmp_path / "run/metrics.jsonl") if r["split"] == "val"]
    alone = evaluate_run(tmp_path / "run")["scores"]
    assert record["semseg/pixel_accuracy"] == alone["semseg"]["pixel_accuracy"]
    assert record["depth/RMSE"] == pytest.approx(alone["depth"]["RMSE"], rel=1e-5)


def test_accumulated_parts_give_a_training_too(tmp_path):
    run_experiment(tiny(steps=2, accumulate=2), tmp_path)
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path).values())


def test_a_run_directory_describes_itself(unbroken):
    assert read_experiment(unbroken / "config.json") == tiny()
    environment = json.loads((unbroken / "environment.json").read_text())
    assert {"torch", "timm"} <= set(environment["packages"])
    assert "git_commit" in environment
    assert {p.name for p in unbroken.iterdir()} >= {"last-000006", "metrics.jsonl", "tensorboard"}
    assert newest(unbroken, "best") is not None
    records = read_records(unbroken / "metrics.jsonl")
    assert [r["step"] for r in records if r["split"] == "val"] == [3, 6]
    assert "semseg/mIoU" in records[-1]
    assert not list(unbroken.glob(".*tmp*"))


def test_a_finished_run_resumes_to_itself(unbroken):
    before = (newest(unbroken, "last") / "model.safetensors").read_bytes()
    run_experiment(tiny(), unbroken, resume=True)
    assert (newest(unbroken, "last") / "model.safetensors").read_bytes() == before


def test_a_run_is_not_overwritten(unbroken):
    with pytest.raises(PammError, match="already holds a run: add --resume"):
        run_experiment(tiny(), unbroken)


def test_another_experiment_does_not_resume(unbroken):
    other = replace(tiny(), optim=OptimConfig(lr=5.0))
    with pytest.raises(PammError, match=r"another experiment: optim.lr was 0.001, is 5.0"):
        run_experiment(other, unbroken, resume=True)


def test_a_subset_of_the_tasks_trains(tmp_path):
    run_experiment(tiny(steps=1).with_tasks(["depth"]), tmp_path)
    model = load(tmp_path)
    assert list(model(torch.randn(1, 3, 24, 32))) == ["depth"]
    assert list(model.tasks) == ["depth"]


def test_the_load_balancing_loss_changes_the_training(tmp_path):
    for weight in (0.0, 100.0):
        run_experiment(tiny(steps=2, load_balancing=weight), tmp_path / str(weight))
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "0.0", tmp_path / "100.0")


def test_a_diverging_training_says_so_and_keeps_its_checkpoint(tmp_path):
    experiment = replace(
        tiny(steps=4, checkpoint_every=1), optim=OptimConfig(lr=1000.0, clip_norm=0)
    )
    with pytest.raises(PammError, match="diverged"):
        run_experiment(experiment, tmp_path)
    assert newest(tmp_path, "last") is not None


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({"semseg": 40}, "task 'semseg': the model has 40 channels, .* wants 16"),
        ({"semsg": 16}, "unknown task 'semsg': did you mean 'semseg'"),
    ],
)
def test_tasks_that_the_data_set_does_not_have(tmp_path, tasks, message):
    experiment = tiny()
    experiment = replace(experiment, model=replace(experiment.model, tasks=tasks))
    with pytest.raises(PammError, match=message):
        run_experiment(experiment, tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 0},
        {"batch_size": 4, "accumulate": 3},
        {"batch_size": 6, "devices": 4},
        {"keep": 0},
        {"ema": 1.0},
    ],
)
def test_bad_settings(changes):
    with pytest.raises(PammError):
        TrainConfig(**changes)
