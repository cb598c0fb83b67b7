"""Models on disk: what is saved comes back, and what is damaged or foreign is said so."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from pamm.checkpoint import find, load, newest, save
from pamm.data import DataConfig
from pamm.errors import PammError
from pamm.model import PAMM, ModelConfig
from pamm.tasks import default_task

TASKS = {"semseg": 5, "depth": 1}


def small(**changes: object) -> PAMM:
    config = {"tasks": TASKS, "backbone": "test_vit", "d_model": 16, "d_state": 2, **changes}
    model = PAMM(ModelConfig(**config))
    model.tasks = {name: default_task(name, c) for name, c in model.config.tasks.items()}
    return model


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    save(run, "last", 7, small(), data=DataConfig(), training={"x": torch.ones(2)})
    save(run, "best", 3, small(), data=DataConfig())
    return run


def test_a_saved_model_comes_back(tmp_path):
    model = small().eval()
    folder = save(tmp_path, "last", 1, model, data=DataConfig())
    loaded = load(tmp_path)
    assert loaded.config == model.config
    assert loaded.tasks == model.tasks
    assert not loaded.training
    image = torch.randn(1, 3, 20, 30)
    with torch.inference_mode():
        for task, logits in load(folder)(image).items():
            assert torch.equal(logits, model(image)[task])


def test_last_and_best(run):
    assert find(run).name == "last-000007"
    assert find(run, checkpoint="best").name == "best-000003"


def test_the_last_few_stay_and_what_a_killed_process_left_goes(tmp_path):
    (tmp_path / ".last-000002.tmp").mkdir()
    for step in (1, 2, 3, 3):
        save(tmp_path, "last", step, small(), data=DataConfig(), keep=2)
    save(tmp_path, "best", 1, small(), data=DataConfig())
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["best-000001", "last-000002", "last-000003"]


def test_only_the_newest_of_a_kind_stays(tmp_path):
    for step in (1, 20, 3):
        save(tmp_path, "last", step, small(), data=DataConfig())
    assert [p.name for p in tmp_path.iterdir()] == ["last-000003"]


def test_a_subset_of_the_tasks(run):
    model = load(run, tasks=["depth"])
    assert list(model.config.tasks) == list(model.tasks) == ["depth"]


def test_pretrained_weights_are_not_fetched_again(tmp_path):
    """A model whose backbone was pretrained loads where that source is gone."""
    model = small()
    object.__setattr__(model.config, "pretrained", str(tmp_path / "gone.pth"))
    save(tmp_path / "run", "last", 1, model, data=DataConfig())
    assert load(tmp_path / "run").config.pretrained is False


def damaged(run: Path, folder: Path, file: str, change: object) -> Path:
    shutil.copytree(find(run), folder)
    path = folder / file
    if callable(change):
        path.write_bytes(change(path.read_bytes()))
    else:
        path.unlink()
    return folder


def another_width(content: bytes) -> bytes:
    config = json.loads(content)
    config["model"]["d_model"] = 32
    return json.dumps(config).encode()


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("model.safetensors", lambda b: b[:1000], "not a whole safetensors file"),
        ("model.safetensors", None, "holds no model"),
        ("config.json", None, "no file .*config.json"),
        ("config.json", lambda b: b[:50], "cannot be read as JSON"),
        ("config.json", lambda b: b"[]", "does not describe a PAMM model"),
        ("config.json", another_width, "weights of another model"),
        ("config.json", lambda b: b.replace(b'"d_state"', b'"d_stat"'), "unknown field 'd_stat'"),
        ("config.json", lambda b: b.replace(b'"format": 1', b'"format": 9'), "has format 9"),
    ],
)
def test_damage_is_said(run, tmp_path, file, change, message):
    with pytest.raises(PammError, match=message):
        load(damaged(run, tmp_path / "copy", file, change))


def test_nothing_there(tmp_path):
    with pytest.raises(PammError, match="no run or model at"):
        load(tmp_path / "nothing")
    with pytest.raises(PammError, match="holds no model"):
        load(tmp_path)
    assert newest(tmp_path, "last") is None


def test_an_unknown_kind_of_checkpoint(run):
    with pytest.raises(PammError, match="want 'last' or 'best'"):
        load(run, checkpoint="bset")


def test_a_hub_id(run, monkeypatch):
    monkeypatch.setattr("pamm.hub.unreachable", lambda address: "")
    import huggingface_hub

    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda repository, **_: str(find(run))
    )
    assert load("someone/pamm-rooms").config.tasks == TASKS


def test_a_hub_that_has_no_such_model(monkeypatch):
    monkeypatch.setattr("pamm.hub.unreachable", lambda address: "")
    import huggingface_hub

    def fail(*_: object, **__: object) -> str:
        raise OSError("no connection\nmore lines")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(PammError, match=r"no folder 'someone/nothing' here.*\(no connection\)"):
        load("someone/nothing")


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "tpu", ""])
def test_a_device_that_there_is_not_is_one_line(device, tmp_path):
    """Before the model is looked for, as on the command line."""
    with pytest.raises(PammError, match="^device '.*' cannot be used here: [^\n]*want auto"):
        load(tmp_path / "nowhere", device=device)


def test_a_task_that_the_model_has_not_is_refused(run, tmp_path):
    folder = Path(shutil.copytree(find(run), tmp_path / "copy"))
    config = json.loads((folder / "config.json").read_text())
    config["tasks"]["/up"] = next(iter(config["tasks"].values()))
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(PammError, match="^[^\n]*unknown task '/up'[^\n]*$"):
        load(folder)
