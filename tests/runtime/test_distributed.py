"""Several processes compute what one computes: statistics, gradients, weights and scores."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pamm.checkpoint import newest
from pamm.config import run_experiment
from pamm.errors import PammError
from pamm.evaluation.evaluate import evaluate_run
from pamm.model.layers.batch_norm import synchronise
from pamm.runtime.distributed import EXIT_CODE, Stop, launch
from pamm.training.run_log import read_records
from two_processes import OTHERS, Norms, experiment, other_model, pass_norms, without_noise


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that two processes filled."""
    folder = tmp_path_factory.mktemp("two")
    script = Path(__file__).parents[1] / "two_processes.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*command, str(script), str(folder)], check=True, timeout=300)
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the same experiment in this process, with one thread as each of the two had."""
    run, threads = tmp_path_factory.mktemp("one"), torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        without_noise(patch)
        torch.set_num_threads(1)
        run_experiment(experiment(), run)
        torch.set_num_threads(threads)
    return run


def test_batch_norms_are_those_of_the_whole_batch(two):
    """Against torch's own in one process, in float64: outputs, statistics, gradients."""
    (first, counts), (second, _) = (torch.load(two / f"norms-{rank}.pt") for rank in range(2))
    whole = pass_norms(Norms(), slice(None))
    for name, expected in whole.items():
        if name in ("y", "x"):
            found = torch.cat([first[name], second[name]])
        elif name.startswith("gradient"):
            found = first[name] + second[name]
        else:
            assert torch.equal(first[name], second[name]), name
            found = first[name]
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9, msg=name)
    assert counts.tolist() == [0.5, 2]


def test_the_weights_after_twenty_steps(one, two):
    assert_same_weights(one, two / "run")


def test_the_losses_of_every_step_and_the_validation(one, two):
    ours, theirs = (read_records(run / "metrics.jsonl") for run in (one, two / "run"))
    assert [(r["step"], r["split"]) for r in ours] == [(r["step"], r["split"]) for r in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        for key in (key for key in mine if key.endswith("loss")):
            assert other[key] == pytest.approx(mine[key], rel=1e-5), (mine["step"], key)


@pytest.mark.parametrize("name", OTHERS)
def test_other_models_with_their_auxiliary_predictions(name, two, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        without_noise(patch)
        run_experiment(other_model(name), tmp_path)
    assert_same_weights(tmp_path, two / name)


def assert_same_weights(one: Path, two: Path) -> None:
    a, b = (load_file(newest(run, "last") / "model.safetensors") for run in (one, two))
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-5, atol=1e-5, msg=name)


def test_scores_are_the_same_to_the_last_digit(two):
    """The report of two processes against that of one, of the same model."""
    path = newest(two / "run", "last") / "metrics.json"
    of_two = json.loads(path.read_text())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    of_one = evaluate_run(two / "run", batch_size=2)
    torch.set_num_threads(threads)
    assert of_two["scores"] == of_one["scores"]


@pytest.mark.skipif(sys.platform != "linux", reason="threads are named in /proc")
def test_no_thread_of_the_group_outlives_it(two):
    """One that lets go of a tensor while Python shuts down aborts the process, now and then."""
    for rank in range(2):
        assert "gloo" not in (two / f"threads-{rank}.txt").read_text()


def test_a_stop_is_noted_and_at_once_where_nothing_is_to_be_saved():
    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
        with pytest.raises(SystemExit) as end, stop.at_once():
            pytest.fail("a request that has come already ends the process")
        assert end.value.code == EXIT_CODE == 143
    with Stop() as stop, pytest.raises(SystemExit):
        stop_at_once(stop)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def stop_at_once(stop: Stop) -> None:
    with stop.at_once():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        pytest.fail("the request should have ended this block")


def test_devices_beside_torchrun(monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PammError, match="devices: got 2, but torchrun has started 4 processes"):
        launch(2)


def test_a_norm_that_cannot_be_synchronised():
    with pytest.raises(PammError, match="0 is a BatchNorm1d, which cannot be synchronised"):
        synchronise(torch.nn.Sequential(torch.nn.BatchNorm1d(3)))


def test_more_processes_than_the_machine_has_cores(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    with pytest.raises(PammError, match="devices: got 7, want at most 6: there are 6 cores here"):
        launch(7, accelerator="cpu")
