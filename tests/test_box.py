"""The models that come with the package: found by name, whole, small, and of use."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pamm
from fake_network import photo
from pamm.box import BOX, MODELS, box_folder, is_in_box
from pamm.checkpoint import CONFIG, WEIGHTS, find, read_description
from pamm.cli import main
from pamm.data import EvalTransform, Rooms, Synthetic, collate, write_folder_layout
from pamm.errors import PammError
from pamm.evaluation.constants import constant_scores
from pamm.evaluation.evaluate import evaluate
from pamm.presets import PRESETS
from pamm.tasks.match import Match

MEGABYTES = {"rooms": 30, "rooms-small": 16}


def test_box_is_the_first_of_them():
    assert find(BOX) == find(f"{BOX}:{MODELS[0]}") == box_folder(BOX)
    with pytest.raises(PammError, match="unknown model in the box 'romms'.*rooms"):
        find("box:romms")


def test_a_folder_called_box_has_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "box" / "last-000001").mkdir(parents=True)
    assert find("./box") == Path("box/last-000001")
    assert find("box") == box_folder("box")


@pytest.mark.parametrize("name", MODELS)
def test_what_ships(name):
    """The network and the images of the preset of its name, with a card, within its size."""
    folder = box_folder(f"box:{name}")
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert size <= MEGABYTES[name] * 1_000_000
    assert {file.name for file in folder.iterdir()} == {WEIGHTS, CONFIG, "README.md"}
    saved, preset = read_description(folder), PRESETS[name].experiment
    for field in ("name", "tasks", "backbone", "stride", "d_model"):
        assert getattr(saved.model, field) == getattr(preset.model, field), field
    assert saved.crop_size == preset.data.size
    assert saved.step > 0
    said = json.loads((folder / CONFIG).read_text())
    assert said["data"]["name"] == "rooms"
    assert said["data"]["root"] is None  # no path of the machine that trained it


@pytest.mark.parametrize("name", MODELS)
def test_rooms_that_training_never_had(name):
    """Six of other materials: every task is far better than what never looks at the image."""
    model = pamm.load(f"box:{name}")
    rooms = Rooms("materials", size=model.crop_size, count=6)
    matches = {task: Match(task=rules) for task, rules in model.tasks.items()}
    blind = constant_scores(Rooms("train", size=model.crop_size, count=6), rooms, matches)
    batch = collate([EvalTransform(rooms.tasks)(rooms[i]) for i in range(len(rooms))])
    scores = evaluate(model, [batch], model.tasks)
    for task, rules in model.tasks.items():
        ours, constant = scores[task][rules.score], blind[task][rules.score]
        if rules.higher_is_better:
            assert ours > constant + 0.15, (task, ours, constant)
        else:
            assert ours < 0.75 * constant, (task, ours, constant)


def test_predicting_takes_it_where_no_model_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo(60, 80)).save("photo.png")
    main(["predict", "photo.png", "--save", "npy", "summary"])
    assert "with the model in the box, box:rooms" in capsys.readouterr().err
    Path("box").mkdir()  # a folder of pictures of this name is not meant
    Image.fromarray(photo(60, 80)).save("box/photo.png")
    main(["predict", "box", "photo.png", "--save", "npy", "summary", "--out", "named"])
    assert "in the box" not in capsys.readouterr().err
    assert os.listdir("named") == ["photo"]
    expected = pamm.predict(pamm.load(), "photo.png")
    for task, array in expected.items():
        for out in ("predictions", "named"):
            assert np.array_equal(np.load(f"{out}/photo/{task}.npy"), array)


def test_a_report_goes_where_the_user_is(tmp_path, monkeypatch, capsys):
    """Nothing is written into the package."""
    monkeypatch.chdir(tmp_path)
    rooms = {split: Synthetic(split, size=(56, 70), count=2) for split in ("train", "val")}
    write_folder_layout(rooms, tmp_path / "mine")
    before = sorted(os.listdir(box_folder("box:rooms-small")))
    main(["evaluate", "box:rooms-small", "--data.name", "folder", "--data.root", "mine"])
    report = Path("runs/box-rooms-small/metrics-folder-mine-val.json")
    assert f"report: {report}" in capsys.readouterr().out
    assert set(json.loads(report.read_text())["scores"]) == set(Synthetic.TASKS)
    assert sorted(os.listdir(box_folder("box:rooms-small"))) == before


def test_a_training_starts_from_it(tmp_path, capsys):
    """All of it is taken, without the package that its backbone came from."""
    rooms = {split: Synthetic(split, size=(56, 70), count=2) for split in ("train", "val")}
    write_folder_layout(rooms, tmp_path / "mine")
    options = {
        "--train.init": "box:rooms-small", "--data.name": "folder", "--train.steps": "1",
        "--data.root": str(tmp_path / "mine"), "--out": str(tmp_path / "run"),
        "--data.workers": "0", "--train.batch-size": "2", "--optim.lr": "1e-9",
        "--optim.warmup": "0",
    }  # fmt: skip
    typed = [word for option in options.items() for word in option]
    main(["train", "rooms-small", "--data.size", "56", "70", *typed])
    assert "starting from box:rooms-small" in capsys.readouterr().out
    trained = pamm.load(tmp_path / "run").network.state_dict()
    for key, tensor in pamm.load("box:rooms-small").network.state_dict().items():
        if "running" not in key and "num_batches" not in key:
            assert torch.allclose(trained[key], tensor, atol=1e-6), key


def test_what_is_in_the_box_is_in_the_box(tmp_path):
    assert all(is_in_box(box_folder(f"box:{name}")) for name in MODELS)
    assert not is_in_box(tmp_path / "rooms")
