"""Several data sets at once: an image counts for what its own data set has labels for."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pamm.checkpoint import find
from pamm.cli import main
from pamm.config import Experiment, run_experiment
from pamm.data import (
    DataConfig,
    Several,
    Synthetic,
    dataset_tasks,
    eval_dataset,
    evaluation_batches,
    train_dataset,
    training_batches,
    write_folder_layout,
)
from pamm.data.several import read_members
from pamm.errors import PammError
from pamm.evaluation.evaluate import evaluate_run
from pamm.model import BaselineConfig
from pamm.training.optim import OptimConfig
from pamm.training.train_config import TrainConfig

SIZE = (24, 32)
DEPTH_AND_CLASSES = """
[[data]]
name = "synthetic"
weight = 1
tasks = ["depth"]

[[data]]
name = "folder"
root = "photographs"
weight = 3
tasks = ["semseg", "saliency"]
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Depth of plain rooms, classes and saliency of a folder."""
    folder = tmp_path_factory.mktemp("several")
    rooms = {split: Synthetic(split, size=SIZE, count=4) for split in ("train", "val")}
    write_folder_layout(rooms, folder / "photographs")
    (folder / "mix.toml").write_text(DEPTH_AND_CLASSES)
    return folder / "mix.toml"


@pytest.fixture
def config(file: Path) -> DataConfig:
    return DataConfig(
        name="several", root=str(file), size=SIZE, train_count=4, val_count=3, workers=0
    )


def test_the_tasks_are_those_of_all(config):
    tasks = dataset_tasks(config)
    assert list(tasks) == ["depth", "semseg", "saliency"]
    assert tasks["semseg"].class_names == Synthetic.TASKS["semseg"].class_names


def test_an_image_counts_for_what_it_has_labels_for(config):
    dataset = Several("train", size=SIZE, count=4, root=config.root)
    assert len(dataset) == 8
    own = Synthetic("train", size=SIZE, count=4)
    for index in range(8):
        sample, room = dataset[index], own[index % 4]
        assert torch.equal(sample["image"], room["image"])
        assert sample["id"].startswith("synthetic/" if index < 4 else "folder/")
        for name, target in sample["targets"].items():
            labelled = bool(dataset.tasks[name].is_labelled(target).any())
            assert labelled == ((name == "depth") == (index < 4)), (index, name)
            if labelled and name != "saliency":
                torch.testing.assert_close(target, room["targets"][name], rtol=0, atol=1e-3)
    with pytest.raises(IndexError):
        dataset[8]


def test_some_tasks_need_some_data_sets_only(config):
    dataset = train_dataset(config, tasks=["depth"])
    assert list(dataset.parts) == ["synthetic"]
    assert len(dataset) == 4


def test_batches_hold_them_by_their_weights(config):
    batches = training_batches(train_dataset(config), batch_size=8, seed=0)
    ids = [name for _, batch in zip(range(20), batches, strict=False) for name in batch["id"]]
    share = sum(name.startswith("folder/") for name in ids) / len(ids)
    assert share == pytest.approx(0.75)
    assert len(set(ids)) == 8


def test_the_loss_of_a_task_is_that_of_the_images_with_labels(config):
    """As if the others were not in the batch."""
    dataset = train_dataset(config)
    batch = next(iter(training_batches(dataset, batch_size=8, seed=3)))
    torch.manual_seed(0)
    for name, task in dataset.tasks.items():
        logits = torch.randn(8, task.channels, *SIZE, requires_grad=True)
        target = batch["targets"][name]
        labelled = [i for i in range(8) if task.is_labelled(target[i]).any()]
        assert 0 < len(labelled) < 8
        whole = task.loss(logits, target)
        alone = task.loss(logits[labelled], target[labelled])
        torch.testing.assert_close(whole, alone)
        whole.backward()
        others = [i for i in range(8) if i not in labelled]
        assert not logits.grad[others].any()


def experiment(config: DataConfig) -> Experiment:
    return Experiment(
        model=BaselineConfig(
            tasks={"depth": 1, "semseg": 16, "saliency": 2},
            backbone="test_resnet",
            d_model=16,
            drop_path=0.1,
        ),
        data=config,
        optim=OptimConfig(lr=1e-3),
        train=TrainConfig(
            steps=4, batch_size=4, checkpoint_every=1, validate_every=4, keep=4, log_every=1
        ),
    )


@pytest.fixture(scope="module")
def run(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = DataConfig(
        name="several", root=str(file), size=SIZE, train_count=4, val_count=3, workers=0
    )
    folder = tmp_path_factory.mktemp("run")
    run_experiment(experiment(config), folder)
    return folder


def test_an_interrupted_training_goes_on_bit_by_bit(config, run, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    for step in (3, 4):
        shutil.rmtree(broken / f"last-{step:06d}")
    run_experiment(experiment(config), broken, resume=True)
    one, two = (load_file(find(folder) / "model.safetensors") for folder in (run, broken))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_training_does_not_go_on_with_another_list(config, run, tmp_path):
    changed, broken = tmp_path / "mix.toml", tmp_path / "broken"
    shutil.copytree(run, broken)
    text = DEPTH_AND_CLASSES.replace("weight = 3", "weight = 2")
    changed.write_text(text.replace("photographs", str(Path(config.root).parent / "photographs")))
    other = replace(config, root=str(changed))
    with pytest.raises(PammError, match="lists other data sets than when"):
        run_experiment(experiment(other), broken, resume=True)
    assert json.loads((run / "data.json").read_text())[1]["weight"] == 3


def test_scores_of_all_and_of_each(run, capsys):
    main(["evaluate", str(run)])
    printed = capsys.readouterr().out
    for part in ("6 images of several val", "3 images of synthetic val", "3 images of folder val"):
        assert part in printed
    folder = find(run)
    whole = json.loads((folder / "metrics.json").read_text())
    assert {t: p["images"]["count"] for t, p in whole["protocol"].items()} == {
        "depth": 3, "semseg": 3, "saliency": 3,
    }  # fmt: skip
    rooms = json.loads((folder / "metrics-synthetic-val.json").read_text())
    photographs = json.loads((folder / "metrics-folder-val.json").read_text())
    for task, alone in (("depth", rooms), ("semseg", photographs), ("saliency", photographs)):
        for score, value in whole["scores"][task].items():
            assert alone["scores"][task][score] == pytest.approx(value, rel=1e-4), (task, score)
    assert list(photographs["scores"]) == ["semseg", "saliency"]  # not the folder's depth
    with pytest.raises(PammError, match="unknown data set 'fodler': did you mean 'folder'"):
        evaluate_run(run, data="fodler")
    alone = evaluate_run(run, data="folder")
    assert alone["scores"]["semseg"] == photographs["scores"]["semseg"]


def test_validation_batches_are_whole_where_images_are_alike(config, tmp_path):
    """Those of a folder may be of any size."""
    assert len(list(evaluation_batches(eval_dataset(config), batch_size=8))) == 6
    text = '[[data]]\nname = "synthetic"\n[[data]]\nname = "rooms"\n'
    (tmp_path / "rooms.toml").write_text(text)
    rooms = eval_dataset(replace(config, root=str(tmp_path / "rooms.toml")), tasks=["depth"])
    (batch,) = evaluation_batches(rooms, batch_size=8)
    assert len(batch["id"]) == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "want tables \\[\\[data\\]\\]"),
        ("x = 1", "want tables \\[\\[data\\]\\]"),
        ("[[data]]\n", "data set 1"),
        ('[[data]]\nname = "nyyd"\n', "unknown data set 'nyyd': did you mean 'nyud'"),
        ('[[data]]\nname = "several"\n', "cannot be one of several itself"),
        ('[[data]]\nname = "synthetic"\nwieght = 2\n', "wieght"),
        ('[[data]]\nname = "synthetic"\nweight = 0\n', "weight: got 0, want more than 0"),
        ('[[data]]\nname = "synthetic"\nweight = "x"\n', "weight"),
        ('[[data]]\nname = "synthetic"\n' * 2, "there is a 'synthetic' before: give it a line"),
        (
            '[[data]]\nname = "synthetic"\nweight = 1\n[[data]]\nname = "rooms"\n',
            "give one to every data set, or to none",
        ),
        ('[[data]]\nname = "synthetic"\ntasks = ["dept"]\n', "'dept': did you mean 'depth'"),
        ('[[data]]\nname = "folder"\nroot = "nowhere"\n', "nowhere"),
        ("[[data]\n", "cannot be read as TOML"),
    ],
)
def test_mistakes_in_the_file(text, message, tmp_path):
    (tmp_path / "mix.toml").write_text(text)
    with pytest.raises(PammError, match=message):
        Several.declared_tasks(tmp_path / "mix.toml")


def test_no_file(tmp_path):
    with pytest.raises(PammError, match="no file given that lists them"):
        Several.declared_tasks(None)
    with pytest.raises(PammError, match="no file '.*none.toml' that lists them"):
        Several.declared_tasks(tmp_path / "none.toml")


def test_tasks_of_one_name_must_be_the_same(file, tmp_path):
    shutil.copytree(file.parent / "photographs", tmp_path / "mine")
    description = tmp_path / "mine" / "pamm.toml"
    description.write_text(description.read_text().replace('"lamp"', '"light"'))
    text = '[[data]]\nname = "synthetic"\n[[data]]\nname = "folder"\nroot = "mine"\n'
    (tmp_path / "mix.toml").write_text(text)
    with pytest.raises(PammError, match="task 'semseg' of 'folder' is not that of 'synthetic'"):
        Several.declared_tasks(tmp_path / "mix.toml")
    (tmp_path / "mix.toml").write_text(text + 'tasks = ["depth"]\n')
    assert list(Several.declared_tasks(tmp_path / "mix.toml")) == list(Synthetic.TASKS)


def test_paths_are_relative_to_the_file(file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    synthetic, folder = read_members(file)
    assert synthetic.root is None
    assert folder.root == str(file.parent / "photographs")
    assert [m.label for m in (synthetic, folder)] == ["synthetic", "folder"]
