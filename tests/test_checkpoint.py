"""Models on disk: what is saved comes back, and what is damaged or foreign is said so."""

import contextlib
import errno
import json
import os
import shutil
import stat
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from pamm.checkpoint import check_labels, find, load, newest, save
from pamm.data import DataConfig
from pamm.errors import PammError
from pamm.model import PAMM, PADNet, PADNetConfig, PAMMConfig
from pamm.predictor import Predictor
from pamm.runtime.tensor_files import _Noting, read_training, read_weights, write_training
from pamm.tasks import Boundary, Depth, Semseg

TASKS = {"semseg": 5, "depth": 1}


def small(**changes: object) -> Predictor:
    config = {"tasks": TASKS, "backbone": "test_vit", "d_model": 16, "d_state": 2, **changes}
    return Predictor(PAMM(PAMMConfig(**config)))


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
    assert loaded.network.config == model.network.config
    assert loaded.tasks == model.tasks
    assert not loaded.training
    image = torch.randn(1, 3, 20, 30)
    with torch.inference_mode():
        for task, logits in load(folder)(image).items():
            assert torch.equal(logits, model(image)[task])


def test_the_order_of_tasks_survives_sorted_keys(run, tmp_path):
    """The weights are stacked in it."""
    folder = damaged(
        run, tmp_path / "copy", "config.json",
        lambda content: json.dumps(json.loads(content), sort_keys=True).encode(),
    )  # fmt: skip
    assert list(json.loads((folder / "config.json").read_text())["tasks"]) == ["depth", "semseg"]
    image, whole, sorted_ = torch.rand(1, 3, 20, 30), load(run), load(folder)
    assert list(sorted_.network.config.tasks) == list(TASKS)
    with torch.inference_mode():
        for task, logits in whole(image).items():
            assert torch.equal(sorted_(image)[task], logits)


def test_an_older_file_whose_tasks_are_in_two_orders_is_refused(run, tmp_path):
    def older(content: bytes, turned: bool) -> bytes:
        config = json.loads(content)
        del config["task_order"]
        if turned:
            config["tasks"] = dict(reversed(config["tasks"].items()))
        return json.dumps(config).encode()

    load(damaged(run, tmp_path / "a", "config.json", partial(older, turned=False)))
    with pytest.raises(PammError, match="stacked in the order of model.tasks, semseg, depth, but"):
        load(damaged(run, tmp_path / "b", "config.json", partial(older, turned=True)))


def test_a_model_whose_tasks_are_some_of_its_network_comes_back(tmp_path):
    config = PADNetConfig(tasks=TASKS, backbone="test_vit", channels=8)
    part = Predictor(PADNet(config)).eval().subset("depth")
    save(tmp_path, "last", 1, part, data=DataConfig())
    image, loaded = torch.rand(1, 3, 20, 30), load(tmp_path)
    assert list(loaded.tasks) == ["depth"]
    with torch.inference_mode():
        assert torch.equal(loaded(image)["depth"], part(image)["depth"])


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
    assert list(model.network.config.tasks) == list(model.tasks) == ["depth"]


def test_pretrained_weights_are_not_fetched_again(tmp_path):
    """A model whose backbone was pretrained loads where that source is gone."""
    model = small()
    object.__setattr__(model.network.config, "pretrained", str(tmp_path / "gone.pth"))
    save(tmp_path / "run", "last", 1, model, data=DataConfig())
    assert load(tmp_path / "run").network.config.pretrained is False


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
        ("config.json", lambda b: b.replace(b'"format": 2', b'"format": 9'), "has format 9"),
    ],
)
def test_damage_is_said(run, tmp_path, file, change, message):
    with pytest.raises(PammError, match=message):
        load(damaged(run, tmp_path / "copy", file, change))


def edited(**changes: object) -> object:
    """A change of config.json by hand: model__d_state=3 sets that one value."""

    def change(content: bytes) -> bytes:
        config = json.loads(content)
        for key, value in changes.items():
            *path, last = key.split("__")
            part = config
            for step in path:
                part = part[step]
            part[last] = value
        return json.dumps(config).encode()

    return change


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": []}, "model: want an object"),
        ({"model": None}, "model: want an object"),
        ({"model__d_model": "16"}, "model.d_model: got '16', want a whole number"),
        ({"model__d_state": 2.0}, "model.d_state: got 2.0, want a whole number"),
        ({"model__drop_path": None}, "model.drop_path: got null, want a number"),
        ({"model__drop_path": float("nan")}, "NaN is not JSON"),
        ({"model__backbone": 3}, "model.backbone: got 3, want text"),
        ({"model__backbone": "test_vitt"}, "test_vitt"),
        ({"model__tasks": ["depth"]}, "model.tasks: got \\['depth'\\], want {name: value"),
        ({"model__tasks": {"depth": 1}}, "contradicts itself"),
        ({"model__tasks__depth": True}, "model.tasks.depth: got true, want a whole number"),
        ({"model__nothing": 1}, "model: unknown field 'nothing'"),
        ({"tasks": []}, "tasks: want an object"),
        ({"tasks__depth": 1}, "tasks.depth without 'type'"),
        ({"tasks__depth": {}}, "tasks.depth without 'type'"),
        ({"tasks__depth__type": ["depth"]}, "tasks.depth without 'type'"),
        ({"tasks__depth__type": "dept"}, "tasks.depth: unknown task 'dept': did you mean 'dep"),
        ({"tasks__depth__channels": 3}, "tasks.depth: .*channels is 3, want 1"),
        ({"tasks__depth__channels": "1"}, "tasks.depth.channels: got '1', want a whole number"),
        ({"tasks__depth__max_depth": [80]}, "tasks.depth.max_depth: got \\[80\\], want a number"),
        ({"tasks__depth__title": "x"}, "tasks.depth"),
        ({"tasks__semseg__class_names": ["wall", 2]}, "class_names\\[1\\]: got 2, want text"),
        ({"tasks__semseg__channels": 6}, "contradicts itself"),
        ({"image_size": 128}, "image_size: got 128, want a list"),
        ({"image_size": [128]}, "image_size: got \\[128\\], want a list"),
        ({"step": "7"}, "step: got '7', want a whole number"),
        ({"task_order": ["depth"]}, "task_order is depth, the model's tasks are semseg, depth"),
        ({"task_order": "depth"}, "task_order: got 'depth', want a list"),
        ({"tasks__depth__name": "far"}, "tasks.depth.name: got 'far', want 'depth'"),
        ({"tasks__depth__unit": "cm"}, "tasks.depth: unknown field 'unit'.*Known: channels, loss"),
        ({"crop_size": [10**9, 10**9]}, "crop_size: got 1000000000, want 1 to 32,768"),
        ({"format": "2"}, "format: got '2', want a whole number"),
        ({"format": True}, "format: got true, want a whole number"),
        ({"format": 2.0}, "format: got 2.0, want a whole number"),
        ({"format": None}, "format: got null, want a whole number"),
        ({"format": 2**70}, "has format 1180591620717411303424, this version .* reads 1 and 2"),
        ({"model__mean": "grey"}, "model.mean: got 'grey', want a list of 3 or null"),
        ({"model__name": "PADNet"}, "unknown model 'PADNet': did you mean 'padnet'"),
        ({"model__name": "x"}, "unknown model 'x'. Known: baseline, padnet, pamm"),
        ({"model__name": ["padnet"]}, r"name: got \['padnet'\], want one of pamm, baseline"),
    ],
)
def test_what_was_edited_by_hand_and_does_not_fit(run, tmp_path, changes, message):
    with pytest.raises(PammError, match=message) as error:
        load(damaged(run, tmp_path / "copy", "config.json", edited(**changes)))
    assert "\n" not in str(error.value)


def test_a_byte_order_mark_in_config(run, tmp_path):
    load(damaged(run, tmp_path / "copy", "config.json", lambda content: b"\xef\xbb\xbf" + content))


def test_why_a_file_cannot_be_read(run, tmp_path, monkeypatch):
    folder = damaged(run, tmp_path / "copy", "model.safetensors", None)
    (folder / "model.safetensors").mkdir()
    with pytest.raises(PammError, match="model.safetensors' cannot be read: Is a directory"):
        load(folder)
    with pytest.raises(PammError, match="cannot be read: File name too long"):
        load("x" * 300)

    def refuse(*_: object, **__: object) -> None:  # as root may read anything
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(PammError, match="model.safetensors' cannot be read: Permission denied"):
            read_weights(find(run) / "model.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", refuse)
        with pytest.raises(PammError, match="cannot be read: Permission denied"):
            load(run)
    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(PammError, match=f"{run.name}' cannot be read: Permission denied"):
        load(run)


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
def test_everybody_may_read_what_the_umask_lets_them(tmp_path):
    former = os.umask(0o022)
    try:
        folder = save(tmp_path, "last", 1, small(), data=DataConfig(), training={"a": 1})
    finally:
        os.umask(former)
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == ["config.json", "model.safetensors", "training.pt"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o644}


def full_weights(*_: object) -> None:
    text = "Error while serializing: I/O error: No space left on device (os error 28)"
    raise SafetensorError(text)


def full_training(_state: object, file: object) -> None:
    """As PyTorch: what the file said is lost on it."""
    with contextlib.suppress(OSError):
        file.write(b"x")
    raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534")


class Full:
    def write(self, _content: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_text(path: Path, _text: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "training.pt"])
def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path, monkeypatch, file):
    model = small()
    before = save(tmp_path, "last", 1, model, data=DataConfig(), training={"a": 1})
    if file == "model.safetensors":
        monkeypatch.setattr("pamm.runtime.tensor_files.save_file", full_weights)
    elif file == "config.json":
        monkeypatch.setattr("pamm.checkpoint.write_text", full_text)
    else:
        monkeypatch.setattr("torch.save", full_training)
        monkeypatch.setattr("pamm.runtime.tensor_files._Noting", lambda _: noting)
        noting = _Noting(Full())
    with pytest.raises(OSError, match="No space left on device") as error:
        save(tmp_path, "last", 2, model, data=DataConfig(), training={"a": 2})
    assert error.value.errno == errno.ENOSPC
    assert error.value.filename.endswith(file)
    assert newest(tmp_path, "last") == before
    assert [path.name for path in tmp_path.iterdir()] == ["last-000001"]
    load(tmp_path)
    assert read_training(before / "training.pt") == {"a": 1}


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: content[:-20] + b"\0" * 20,
        lambda content: b"not a training",
        lambda content: content[100:],
    ],
)
def test_a_damaged_training_state(tmp_path, change):
    write_training({"x": torch.arange(1000.0)}, tmp_path / "training.pt")
    content = (tmp_path / "training.pt").read_bytes()
    (tmp_path / "training.pt").write_bytes(change(content))
    with pytest.raises(PammError, match="training.pt' is damaged: it is not a whole file") as error:
        read_training(tmp_path / "training.pt")
    assert "\n" not in str(error.value)


def test_code_in_a_training_state_does_not_run(tmp_path):
    class Call:
        def __reduce__(self) -> tuple:
            return (os.mkdir, (str(tmp_path / "made"),))

    torch.save({"x": Call()}, tmp_path / "training.pt")
    with pytest.raises(PammError, match="is damaged") as error:
        read_training(tmp_path / "training.pt")
    assert "weights_only" not in str(error.value)
    assert not (tmp_path / "made").exists()
    torch.save([1], tmp_path / "training.pt")
    with pytest.raises(PammError, match="it holds no training state"):
        read_training(tmp_path / "training.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"channels": 6, "class_names": ()},
            r"with semseg \(channels: 5\), the data set has semseg \(channels: 6\)",
        ),
        ({"ignore_index": 254}, "with 255 for pixels without a label, the data set has 254"),
        (
            {"class_names": ("a", "b", "d", "c", "e")},
            "with 'c' as its class 2, the data set has 'd'",
        ),
    ],
)
def test_labels_that_are_not_those_of_the_training(change, message):
    old = Semseg(channels=5, class_names=("a", "b", "c", "d", "e"))
    check_labels({"semseg": old}, {"semseg": replace(old, loss_weight=2.0)}, where="it was trained")
    check_labels({"semseg": old}, {"semseg": replace(old, class_names=())}, where="it was trained")
    new = {"semseg": replace(old, **change), "depth": Depth()}
    with pytest.raises(PammError, match=f"task 'semseg': it was trained {message}"):
        check_labels({"semseg": old}, new, where="it was trained")


def test_another_kind_of_task_of_the_same_name():
    with pytest.raises(PammError, match=r"with boundary \(channels: 1\), the data set has depth"):
        check_labels({"x": Boundary(name="x")}, {"x": Depth(name="x")}, where="it was trained")


def test_nothing_there(tmp_path):
    with pytest.raises(PammError, match="'' names no run"):
        find("")
    with pytest.raises(PammError, match="no run or model at"):
        load(tmp_path / "nothing")
    with pytest.raises(PammError, match="holds no model"):
        load(tmp_path)
    assert newest(tmp_path, "last") is None


def test_an_unknown_kind_of_checkpoint(run):
    with pytest.raises(PammError, match="want 'last' or 'best'"):
        load(run, checkpoint="bset")


def test_a_hub_id(run, monkeypatch):
    monkeypatch.setattr("pamm.runtime.hub.unreachable", lambda address: "")
    import huggingface_hub

    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda repository, **_: str(find(run))
    )
    assert load("someone/pamm-rooms").network.config.tasks == TASKS


def test_a_hub_that_has_no_such_model(monkeypatch):
    monkeypatch.setattr("pamm.runtime.hub.unreachable", lambda address: "")
    import huggingface_hub

    def fail(*_: object, **__: object) -> str:
        raise OSError("no connection\nmore lines")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(PammError, match=r"no folder 'someone/nothing' here.*\(no connection\)"):
        load("someone/nothing")


def test_the_sizes_of_the_training_come_back(tmp_path):
    model = small()
    model.image_size, model.crop_size = (480, 640), (96, 128)
    save(tmp_path / "new", "last", 1, model, data=DataConfig())
    loaded = load(tmp_path / "new", tasks="depth")
    assert (loaded.image_size, loaded.crop_size) == ((480, 640), (96, 128))
    assert list(loaded.tasks) == ["depth"]

    path = find(tmp_path / "new") / "config.json"
    older = json.loads(path.read_text())
    del older["crop_size"]
    path.write_text(json.dumps(older))
    assert (load(tmp_path / "new").image_size, load(tmp_path / "new").crop_size) == (
        (480, 640),
        None,
    )


@pytest.mark.parametrize("value", ["640", [480], [0, 3], [1.5, 2], {"h": 1}])
def test_a_size_that_is_none_is_said(run, tmp_path, value):
    def change(content: bytes) -> bytes:
        return json.dumps({**json.loads(content), "image_size": value}).encode()

    with pytest.raises(PammError, match="config.json': image_size"):
        load(damaged(run, tmp_path / "copy", "config.json", change))


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
    with pytest.raises(PammError, match="^[^\n]*contradicts itself[^\n]*'/up'[^\n]*$"):
        load(folder)
