"""A model scored on another data set: tasks and classes by name, the rest left out and told."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score

from pamm.checkpoint import load, save
from pamm.cli import main
from pamm.data import DataConfig, Rooms, Synthetic, build_dataset, write_folder_layout
from pamm.errors import PammError
from pamm.evaluation.evaluate import evaluate_run
from pamm.evaluation.other_data import match
from pamm.model import PAMM, PAMMConfig
from pamm.predictor import Predictor
from pamm.tasks import Boundary, Depth, Saliency, Semseg

TRAINED_ON = DataConfig(size=(24, 32), train_count=4, val_count=3, workers=0)
HERE = ("semseg", "depth", "saliency")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of random weights that was "trained" on plain rooms."""
    torch.manual_seed(3)
    tasks = {name: Synthetic.TASKS[name] for name in HERE}
    config = PAMMConfig(
        tasks={name: task.channels for name, task in tasks.items()},
        backbone="test_resnet", stride=8, d_model=16, d_state=2, drop_path=0.0,
    )  # fmt: skip
    predictor = Predictor(PAMM(config), tasks, image_size=(24, 32), crop_size=(24, 32))
    return save(tmp_path_factory.mktemp("run"), "last", 3, predictor, data=TRAINED_ON)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rooms as files, two of whose classes have other names, with normals and without saliency."""
    root = tmp_path_factory.mktemp("folder")
    tasks = ["semseg", "depth", "normals"]
    rooms = {s: Synthetic(s, size=(24, 32), count=4, tasks=tasks) for s in ("train", "val")}
    write_folder_layout(rooms, root)
    description = root / "pamm.toml"
    text = description.read_text("utf-8")
    for old, new in (('"lamp"', '"light"'), ('"wall"', '"partition"')):
        assert old in text
        text = text.replace(old, new)
    description.write_text(text, "utf-8")
    return root


def test_scores_are_those_of_the_shared_classes(model, folder):
    report = evaluate_run(model, data="folder", root=str(folder))
    assert list(report["scores"]) == ["semseg", "depth"]  # normals are not predicted
    names = Synthetic.TASKS["semseg"].class_names
    shared = [i for i, name in enumerate(names) if name not in ("lamp", "wall")]
    assert report["classes"] == {
        "semseg": {
            "scored": [names[i] for i in shared],
            "only of the model": ["wall", "lamp"],
            "only of the data set": ["partition", "light"],
        }
    }
    network, given, truth = load(model), [], []
    dataset = build_dataset(DataConfig(name="folder", root=str(folder)), "val", tasks=["semseg"])
    for item in (dataset[i] for i in range(len(dataset))):
        with torch.inference_mode():
            logits = network(item["image"][None] / 255)["semseg"][0]
        labels = item["targets"]["semseg"].numpy()
        counts = np.isin(labels, shared)
        given.append(np.array(shared)[logits[shared].argmax(0).numpy()][counts])
        truth.append(labels[counts])
    expected = jaccard_score(
        np.concatenate(truth), np.concatenate(given), labels=shared, average=None, zero_division=0
    )
    assert report["scores"]["semseg"]["mIoU"] == pytest.approx(expected.mean())


def test_the_report_stands_beside_that_of_the_own_data_set(model, folder, capsys):
    own = evaluate_run(model)
    assert own["file"] == "metrics.json"
    assert own["classes"] == {}
    before = (model / "metrics.json").read_bytes()
    main(["evaluate", str(model), "--data.name", "folder", "--data.root", str(folder)])
    printed = capsys.readouterr().out
    assert "semseg: classes scored: floor, ceiling" in printed
    assert "only of the data set: partition, light" in printed
    assert "4 images of folder val" in printed
    path = model / f"metrics-folder-{folder.name}-val.json"
    assert str(path) in printed
    assert json.loads(path.read_text())["data"]["name"] == "folder"
    assert (model / "metrics.json").read_bytes() == before


def test_other_rooms_and_their_held_out_splits(model, monkeypatch):
    few = {name: replace(series, count=5) for name, series in Rooms.SERIES.items()}
    monkeypatch.setattr(Rooms, "SERIES", few)
    report = evaluate_run(model, data="rooms", split="light", tasks=["depth"])
    assert report["data"]["images"] == 5
    assert list(report["scores"]) == ["depth"]
    assert (model / "metrics-rooms-light.json").is_file()
    with pytest.raises(PammError, match="unknown split 'night'.*furniture, light, materials"):
        evaluate_run(model, data="rooms", split="night")


def test_some_tasks_only(model):
    whole, some = evaluate_run(model), evaluate_run(model, tasks=["depth"])
    assert list(some["scores"]) == ["depth"]
    assert some["scores"]["depth"] == whole["scores"]["depth"]


def test_constants_of_the_shared_classes(model, folder):
    report = evaluate_run(model, data="folder", root=str(folder), trivial=True)
    assert report["trivial"].keys() == report["scores"].keys()
    assert 0 < report["trivial"]["semseg"]["mIoU"] < 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "flder"}, "unknown data set 'flder': did you mean 'folder'"),
        ({"data": "folder"}, "no folder given"),
        ({"data": "folder", "root": "/nowhere"}, "/nowhere"),
        ({"tasks": ["normals"]}, "unknown task 'normals'"),
    ],
)
def test_mistakes(model, options, message):
    with pytest.raises(PammError, match=message):
        evaluate_run(model, **options)


def semseg(*names: str, **rest: object) -> Semseg:
    return Semseg(channels=len(names), class_names=names, **rest)


def test_classes_by_hand():
    pair = match({"semseg": semseg("a", "b", "c")}, {"semseg": semseg("c", "x", "a")}, "plain")
    task = pair["semseg"]
    assert task.task.class_names == ("c", "a")
    assert task.task.score == "mIoU_present"
    logits = torch.tensor([[1.0, 9.0, 3.0], [5.0, 9.0, 3.0]]).T.reshape(1, 3, 1, 2)
    assert task.logits(logits).flatten().tolist() == [3.0, 3.0, 1.0, 5.0]
    assert task.task.decode(task.logits(logits)).flatten().tolist() == [0, 1]
    labels = torch.tensor([[[0, 1, 2, 255, -7, 3]]])
    assert task.target(labels).flatten().tolist() == [0, 255, 1, 255, 255, 255]


def test_classes_where_the_ignored_value_is_small():
    """A data set whose unlabelled pixels have the number of a class that is scored."""
    theirs = semseg("c", "a", ignore_index=2)
    pair = match({"semseg": semseg("a", "b", "c", "d")}, {"semseg": theirs}, "official")["semseg"]
    assert pair.target(torch.tensor([0, 1, 2])).tolist() == [0, 1, pair.task.ignore_index]
    assert not 0 <= pair.task.ignore_index < 2


def test_the_same_classes_are_left_as_they_are():
    for ours, theirs in (
        (semseg("a", "b"), semseg("a", "b")),
        (semseg("a", "b"), Semseg(channels=2)),
    ):
        pair = match({"semseg": ours}, {"semseg": theirs}, "official")["semseg"]
        assert (pair.channels, pair.labels) == ((), ())


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        ({"depth": Depth()}, {"saliency": Saliency()}, "there is nothing to score"),
        ({"depth": Depth()}, {"depth": Boundary(name="depth")}, "model's is depth, the data set's"),
        ({"semseg": semseg("a", "b")}, {"semseg": semseg("c", "d")}, "no class of the data set"),
        ({"semseg": semseg("a", "b")}, {"semseg": Semseg(channels=3)}, "has no names for them"),
    ],
)
def test_what_does_not_go_together(ours, theirs, message):
    with pytest.raises(PammError, match=message):
        match(ours, theirs, "official")
