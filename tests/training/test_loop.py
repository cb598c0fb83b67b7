"""Training: a killed and resumed run is the unbroken run, bit by bit; the records; the errors."""

import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pamm.checkpoint import TRAINING, load, newest
from pamm.config import Experiment, read_experiment, run_experiment
from pamm.errors import PammError
from pamm.evaluation.evaluate import evaluate_run
from pamm.runtime.strict_json import to_json
from pamm.runtime.tensor_files import read_training
from pamm.tasks import default_task
from pamm.training import run_log
from pamm.training.loop import total_loss
from pamm.training.optim import OptimConfig
from pamm.training.run_log import read_records
from pamm.training.train_config import TrainConfig
from tiny_training import TASKS, assert_same, tiny, weights


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Here and in the processes started: the network is too small for more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
    run_experiment(read_experiment(run / "experiment.json"), run, resume=True)
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
    run_experiment(read_experiment(run / "experiment.json"), run, resume=True)
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
        patch.setattr("pamm.training.loop.evaluate", evaluate)
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
    raw, same = (
        read_training(newest(run, "last") / TRAINING)["weights"] for run in (whole, broken)
    )
    assert all(torch.equal(raw[name], same[name]) for name in raw)
    assert not torch.equal(raw["pame.0.D"], weights(whole)["pame.0.D"])


def test_checkpointing_gradients_changes_no_weight(tmp_path):
    """With drop path, router noise and the balance loss, on a ViT whose blocks are recomputed."""
    for on in (False, True):
        experiment = tiny(steps=2, penalty=1.0, gradient_checkpointing=on)
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
    assert read_experiment(unbroken / "experiment.json") == tiny()
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


@pytest.mark.parametrize(
    ("section", "field", "text", "message"),
    [
        ("train", "steps", '"6"', "train.steps: got '6', want a whole number"),
        ("train", "steps", "6.0", "train.steps: got 6.0, want a whole number"),
        ("train", "steps", "0", "experiment.train: steps: got 0"),
        ("train", "steps", "null", "train.steps: got null, want a whole number"),
        ("train", "steps", "true", "train.steps: got true, want a whole number"),
        ("train", "steps", "[6]", r"train.steps: got \[6\], want a whole number"),
        ("train", "steps", "9" * 5000, "cannot be read as JSON: .*limit"),
        ("train", "precision", '"32"', "train.precision: got '32', want '32-true' or"),
        ("train", "strategy", "1", "train.strategy: got 1, want 'ddp' or 'fsdp'"),
        ("train", "compile", "0", "train.compile: got 0, want true or false"),
        ("optim", "lr", "NaN", "NaN is not JSON"),
        ("optim", "lr", "1e999", "optim.lr: got inf, want a finite number"),
        ("optim", "lr", "-1", "experiment.optim: lr: got -1"),
        ("optim", "lr", '1, "lr": 2', "the key 'lr' comes more than once"),
        ("data", "size", "[24]", r"data.size: got \[24\], want a list"),
        ("data", "size", "24", "data.size: got 24, want a list"),
        ("data", "root", "3", "data.root: got 3, want text or null"),
        ("data", "flip", '{"a": 1}', "data.flip: got {'a': 1}, want a number"),
        ("model", "tasks", "[]", r"model.tasks: got \[\], want {name: value"),
        ("model", "backbone", "[" * 100_000, "nested too deeply"),
        ("model", "backbon", '"x"', "experiment.model: unknown field 'backbon'"),
        ("model", "x" * 10_000, "1", "experiment.model: unknown field"),
    ],
)
def test_wrong_values_in_a_config(tmp_path, section, field, text, message):
    sections = to_json(tiny())
    sections[section].pop(field, None)
    content = json.dumps(sections)
    key = f'"{section}": {{'
    path = tmp_path / "experiment.json"
    path.write_text(content.replace(key, f'{key}"{field}": {text}, '))
    with pytest.raises(PammError, match=message) as error:
        read_experiment(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_tasks_in_another_order_are_another_experiment(unbroken):
    """Per-task weights are stacked in the order of the tasks."""
    experiment = tiny()
    model = replace(experiment.model, tasks=dict(reversed(TASKS.items())))
    with pytest.raises(PammError, match="another experiment: the order of model.tasks was"):
        run_experiment(replace(experiment, model=model), unbroken, resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_without_its_config_neither_goes_on_nor_is_overwritten(unbroken, tmp_path, resume):
    run = copied(unbroken, tmp_path)
    (run / "experiment.json").unlink()
    other = replace(tiny(), optim=OptimConfig(lr=5.0))
    for gone in ("last-000006", "best", "metrics.jsonl"):
        with pytest.raises(
            PammError, match=f"holds '{gone}.* of a run, but no experiment.json that"
        ):
            run_experiment(other, run, resume=resume)
        for path in run.glob(f"{gone}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def copied(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder / "copy"))


def test_a_second_run_in_a_directory_is_refused_and_the_first_goes_on(unbroken, tmp_path):
    process, run = start(tiny(steps=500, validate_every=500), tmp_path), tmp_path / "run"
    try:
        before = (run / "experiment.json").read_bytes()
        for resume in (False, True):
            with pytest.raises(PammError, match="run' is in use by another program: wait for it"):
                run_experiment(tiny(), run, resume=resume)
        assert process.poll() is None
        assert (run / "experiment.json").read_bytes() == before
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_lock_does_not_outlive_a_killed_run(tmp_path):
    process = start(tiny(), tmp_path)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    run_experiment(read_experiment(tmp_path / "run/experiment.json"), tmp_path / "run", resume=True)


def shape(state: dict) -> None:
    state["optimizer"]["state"][3]["exp_avg"] = torch.zeros(2)


def kind(state: dict) -> None:
    state["optimizer"]["state"][3]["exp_avg_sq"] = torch.zeros(2, dtype=torch.int64)


def wider(state: dict) -> None:
    values = state["optimizer"]["state"][3]
    values["exp_avg"] = values["exp_avg"].double()


def name(state: dict) -> None:
    state["optimizer"]["state"][3]["exp"] = state["optimizer"]["state"][3].pop("exp_avg")


def number(state: dict) -> None:
    state["optimizer"]["state"][10_000] = state["optimizer"]["state"].pop(3)


def no_tensor(state: dict) -> None:
    state["optimizer"]["state"][3]["step"] = "2"


def no_state(state: dict) -> None:
    state["optimizer"]["state"] = []


def no_optimizer(state: dict) -> None:
    del state["optimizer"]


def nothing(state: dict) -> None:
    state.clear()


def averages(state: dict) -> None:
    state["weights"] = {}


def groups(state: dict) -> None:
    state["optimizer"]["param_groups"][0]["params"].pop()


def order(state: dict) -> None:
    state["optimizer"]["param_groups"][0]["params"].reverse()


def scaler(state: dict) -> None:
    state["precision"] = {"scale": 2.0}


@pytest.mark.parametrize(
    "change",
    [
        shape,
        kind,
        wider,
        name,
        number,
        no_tensor,
        no_state,
        no_optimizer,
        nothing,
        averages,
        groups,
        order,
        scaler,
    ],
)
def test_a_training_state_of_something_else(unbroken, tmp_path, change):
    """Nothing of it is loaded: a wrong shape used to crash the process in the optimiser's step."""
    path = copied(unbroken, tmp_path) / "last-000006" / TRAINING
    state = read_training(path)
    change(state)
    torch.save(state, path)
    with pytest.raises(PammError, match="training.pt' is damaged: .* is that of another") as error:
        run_experiment(tiny(), tmp_path / "copy", resume=True)
    assert "\n" not in str(error.value)


def test_averages_of_another_model(tmp_path):
    experiment = tiny(steps=1, ema=0.5)
    run_experiment(experiment, tmp_path)
    path = newest(tmp_path, "last") / TRAINING
    state = read_training(path)
    for change in ({"pame.0.D": torch.zeros(1)}, {"pame.0.D": 1.0}, {"x": torch.zeros(1)}):
        torch.save({**state, "weights": state["weights"] | change}, path)
        with pytest.raises(PammError, match="training.pt' holds the weights of another model: 1 o"):
            run_experiment(experiment, tmp_path, resume=True)


def test_a_checkpoint_of_other_labels_or_of_another_model(unbroken, tmp_path):
    path = copied(unbroken, tmp_path) / "last-000006" / "config.json"
    saved = json.loads(path.read_text())
    names = saved["tasks"]["semseg"]["class_names"]
    names[2], names[3] = names[3], names[2]
    path.write_text(json.dumps(saved))
    with pytest.raises(PammError, match="task 'semseg': .* was trained with .* as its class 2"):
        run_experiment(tiny(), tmp_path / "copy", resume=True)
    saved["model"]["scan"] = "zorder"
    path.write_text(json.dumps(saved))
    with pytest.raises(PammError, match="last-000006' holds another model than the one that is t"):
        run_experiment(tiny(), tmp_path / "copy", resume=True)


GOOD = '{"step": 1, "split": "train"}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1]\n" + GOOD.encode(), "line 1 is not a record"),
        (GOOD.encode() + b'{"step": 2\n' + GOOD.encode(), "'line 2' cannot be read as JSON"),
        (b"\xff\n" + GOOD.encode(), "can't decode byte"),
        (b"\n" + GOOD.encode(), "'line 1' cannot be read as JSON"),
        (b'{"step": "1", "split": "train"}\n' + GOOD.encode(), "line 1 is not a record"),
        (b'{"step": 1, "split": "x"}\n' + GOOD.encode(), "line 1 is not a record"),
        (b'{"step": 1, "split": "val"}\n' + GOOD.encode(), "line 1 is not a record"),
        (b'{"step": 1, "split": "val", "total/loss": "0"}\n' + GOOD.encode(), "line 1 is not a"),
        (b"[" * 100_000 + b"\n" + GOOD.encode(), "nested too deeply"),
    ],
)
def test_damaged_records(tmp_path, content, message):
    (tmp_path / "metrics.jsonl").write_bytes(content)
    with pytest.raises(PammError, match=f"metrics.jsonl' is damaged: .*{message}") as error:
        read_records(tmp_path / "metrics.jsonl")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("rest", ["", "\n", '{"step": 2, "spl', "\0\0\0\0", '{"st\0\0\n'])
def test_records_that_end_in_the_middle(tmp_path, rest):
    (tmp_path / "metrics.jsonl").write_text(GOOD + rest)
    assert read_records(tmp_path / "metrics.jsonl") == [{"step": 1, "split": "train"}]


def test_no_records(tmp_path):
    assert read_records(tmp_path / "metrics.jsonl") == []
    (tmp_path / "metrics.jsonl").write_text("")
    assert read_records(tmp_path / "metrics.jsonl") == []


def test_damaged_records_end_a_resumed_run_before_its_first_step(unbroken, tmp_path):
    path = copied(unbroken, tmp_path) / "metrics.jsonl"
    path.write_text("x\n" + path.read_text())
    with pytest.raises(PammError, match="metrics.jsonl' is damaged: 'line 1'"):
        run_experiment(tiny(), tmp_path / "copy", resume=True)


def test_the_curves_are_those_of_the_records(unbroken):
    accumulator = EventAccumulator(str(unbroken / "tensorboard")).Reload()
    points = accumulator.Scalars("train/depth/loss")
    records = [r for r in read_records(unbroken / "metrics.jsonl") if r["split"] == "train"]
    assert [p.step for p in points] == [1, 2, 3, 4, 5, 6]
    assert [p.value for p in points] == pytest.approx([r["depth/loss"] for r in records])
    assert [p.step for p in accumulator.Scalars("val/total/loss")] == [3, 6]


def test_a_full_disk_ends_a_training_that_can_go_on(unbroken, tmp_path, monkeypatch):
    """Whatever cannot be written: a checkpoint, a record, a curve."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")

    def full_after(calls: int, kept: Callable) -> Callable:
        left = iter(range(calls))
        return lambda *arguments: kept(*arguments) if next(left, None) is not None else full()

    for place, fails in {
        "checkpoint.write_training": full,
        "training.run_log.append_line": full_after(3, run_log.append_line),
        "training.run_log.Curves.add": full_after(3, run_log.Curves.add),
    }.items():
        with monkeypatch.context() as patch:
            patch.setattr(f"pamm.{place}", fails)
            words = "training stopped: No space left on device .'somewhere'.. Mend this and go on"
            with pytest.raises(PammError, match=words) as error:
                run_experiment(tiny(), tmp_path, resume=True)
            assert "\n" not in str(error.value)
    assert newest(tmp_path, "last").name in ("last-000002", "last-000004")
    run_experiment(tiny(), tmp_path, resume=True)
    assert_same(unbroken, tmp_path)


LIMITED = """
import resource, sys
from pamm.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
main(sys.argv[2:])
"""


def limited(folder: Path, size: int, *arguments: str) -> subprocess.CompletedProcess:
    """A command that may write no file of more than so many bytes, as on a full disk."""
    (folder / "limited.py").write_text(LIMITED)  # a file, as further processes run it again
    # Nor of compiled modules, whose files older versions of Python leave cut off.
    environment = {"OMP_NUM_THREADS": "1", "COLUMNS": "100", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, str(folder / "limited.py"), str(size), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_files_that_cannot_grow_end_commands_with_one_line_and_no_loss(unbroken, tmp_path):
    config, run = tmp_path / "experiment.json", copied(unbroken, tmp_path)
    config.write_text(json.dumps(to_json(tiny())))
    trained = limited(tmp_path, 50_000, "train", str(config), "--out", str(tmp_path / "run"))
    lines = [line for line in trained.stderr.splitlines() if line.startswith("pamm: ")]
    assert trained.returncode == 2
    assert "Traceback" not in trained.stderr
    assert lines[-1].startswith("pamm: the training stopped: File too large ('")
    assert newest(tmp_path / "run", "last") is None

    two = limited(
        tmp_path,
        50_000,
        "train",
        str(config),
        "--out",
        str(tmp_path / "two"),
        "--train.devices",
        "2",
    )
    assert two.returncode == 2
    assert "Traceback" not in two.stderr, "not of the process that is left, either"
    assert two.stderr.count("pamm: the training stopped") == 1

    scored = limited(tmp_path, 1000, "evaluate", str(run))
    assert scored.returncode == 2
    assert "Traceback" not in scored.stderr
    assert "odsF" in scored.stdout
    assert "the scores cannot be written to" in scored.stderr.splitlines()[-1]
    assert not (run / "last-000006" / "metrics.json").exists()


def test_a_disk_without_room_for_a_checkpoint_is_known_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: (10**12, 10**12, 1000))
    with pytest.raises(PammError, match="0.00 GB free, a checkpoint takes .* choose another --out"):
        run_experiment(tiny(), tmp_path)
    assert not (tmp_path / "experiment.json").exists()


def test_tasks_without_any_label_take_no_part_in_what_is_best():
    tasks = {"depth": default_task("depth", 1), "saliency": default_task("saliency", 2)}
    none = {"loss": math.nan, "images": 0}
    assert total_loss({"depth": {"loss": 2.0, "images": 1}, "saliency": none}, tasks) == 2
    both = {"depth": {"loss": 2.0, "images": 1}, "saliency": {"loss": 0.1, "images": 3}}
    assert total_loss(both, tasks) == pytest.approx(2.5)
    assert math.isnan(total_loss({"depth": none, "saliency": none}, tasks))
    diverged = {"loss": math.nan, "images": 4}
    assert math.isnan(total_loss({"depth": diverged, "saliency": none}, tasks))


def test_a_subset_of_the_tasks_trains(tmp_path):
    run_experiment(tiny(steps=1).with_tasks(["depth"]), tmp_path)
    model = load(tmp_path)
    assert list(model(torch.randn(1, 3, 24, 32))) == ["depth"]
    assert list(model.tasks) == ["depth"]


def test_the_penalty_changes_the_training(tmp_path):
    for weight in (0.0, 100.0):
        run_experiment(tiny(steps=2, penalty=weight), tmp_path / str(weight))
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "0.0", tmp_path / "100.0")


def test_a_diverging_training_says_so_and_keeps_its_checkpoint(tmp_path):
    experiment = replace(tiny(steps=4, checkpoint_every=1), optim=OptimConfig(lr=1000, clip_norm=0))
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


@pytest.mark.parametrize(
    ("backbone", "stride", "batch", "accumulate"),
    [("test_vit", 16, 1, 1), ("test_vit", 16, 4, 4), ("test_resnet", 8, 1, 1)],
)
def test_a_batch_of_one_position_is_refused(tmp_path, backbone, stride, batch, accumulate):
    experiment = tiny(steps=1, batch_size=batch, accumulate=accumulate)
    model = replace(experiment.model, backbone=backbone, stride=stride)
    data = replace(experiment.data, size=(16, 16))
    with pytest.raises(PammError, match="crop of 16x16 is a single position .* larger --data.size"):
        run_experiment(replace(experiment, model=model, data=data), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    two = replace(experiment.train, batch_size=2 * accumulate)
    run_experiment(replace(experiment, model=model, data=data, train=two), tmp_path / "two")
