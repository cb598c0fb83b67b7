"""Evaluation: states of several processes add up, reports are kept, constants are fair."""

import json
import math

import pytest
import torch
from torch import nn

from pamm.checkpoint import find, save
from pamm.data import DataConfig, Synthetic, build_dataset, eval_dataset, evaluation_batches
from pamm.errors import PammError
from pamm.evaluate import constant_scores, evaluate, evaluate_run
from pamm.model import PAMM, ModelConfig

DATA = DataConfig(size=(24, 32), train_count=4, val_count=5, workers=0)
TASKS = Synthetic.TASKS


class Oracle(nn.Module):
    """Knows the labels of the batch that is asked for next, and turns them into perfect logits."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))
        self.dataset = build_dataset(DATA, "val")
        self.seen = 0

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        items = [self.dataset[self.seen + i]["targets"] for i in range(len(image))]
        self.seen += len(image)
        logits = {}
        for name, task in TASKS.items():
            target = torch.stack([item[name] for item in items])
            if name in ("semseg", "human_parts", "saliency"):
                labels = target.reshape(len(image), *target.shape[-2:]).long()
                one_hot = nn.functional.one_hot(labels.clamp(max=task.channels - 1), task.channels)
                logits[name] = 20.0 * one_hot.movedim(-1, 1)
            else:
                logits[name] = 20.0 * target if name == "boundary" else target.float()
        return logits


def test_perfect_predictions_get_perfect_scores():
    scores = evaluate(Oracle(), evaluation_batches(eval_dataset(DATA), batch_size=2), TASKS)
    assert scores["semseg"]["mIoU_present"] == 1
    assert scores["human_parts"]["mIoU_present"] == 1
    assert scores["saliency"]["maxF"] == pytest.approx(1)
    assert scores["normals"]["mErr"] == pytest.approx(0, abs=1e-3)
    assert scores["depth"]["RMSE"] == 0
    assert scores["depth"]["loss"] == 0
    assert scores["boundary"]["odsF"] > 0.6  # borders of 5 of 24 pixels are suppressed


def random_model() -> PAMM:
    channels = {name: task.channels for name, task in TASKS.items()}
    model = PAMM(ModelConfig(tasks=channels, backbone="test_vit", d_model=16, d_state=2)).eval()
    model.tasks = dict(TASKS)
    return model


def test_the_shares_of_two_processes_add_up_to_the_whole():
    """To the last digit; a process's sum over all is simulated by adding the other's state."""
    model = random_model()
    dataset = eval_dataset(DATA)
    whole = evaluate(model, evaluation_batches(dataset), TASKS)
    shares: list[list[torch.Tensor]] = []
    for rank in range(2):
        mine: list[torch.Tensor] = []

        def total(state: torch.Tensor, mine: list = mine, rank: int = rank) -> torch.Tensor:
            mine.append(state.clone())
            return state + shares[0][len(mine) - 1] if rank else state

        share = evaluate(model, evaluation_batches(dataset, rank=rank, world=2), TASKS, total=total)
        shares.append(mine)
    for task, scores in share.items():
        for key, value in scores.items():
            expected = whole[task][key]
            same = value == expected or (math.isnan(value) and math.isnan(expected))
            close = key == "loss" and value == pytest.approx(expected)  # summed in another order
            assert same or close, (task, key)


def test_the_batch_size_does_not_change_the_scores():
    model, dataset = random_model(), eval_dataset(DATA)
    one = evaluate(model, evaluation_batches(dataset, batch_size=1), TASKS)
    many = evaluate(model, evaluation_batches(dataset, batch_size=4), TASKS)
    for task in TASKS:
        main = TASKS[task].score
        assert one[task][main] == pytest.approx(many[task][main], abs=1e-3)


def test_a_model_keeps_its_mode():
    model = random_model().train()
    evaluate(model, evaluation_batches(eval_dataset(DATA)), TASKS)
    assert model.training


def test_constants_by_hand():
    train, test = eval_dataset(DATA, "train"), eval_dataset(DATA)
    scores = constant_scores(train, test, {"depth": TASKS["depth"], "semseg": TASKS["semseg"]})
    mean = torch.stack([train[i]["targets"]["depth"] for i in range(4)]).mean(0)
    errors = torch.stack([test[i]["targets"]["depth"] - mean for i in range(5)])
    assert scores["depth"]["RMSE"] == pytest.approx(errors.square().mean().sqrt().item(), rel=1e-5)
    assert 0 < scores["semseg"]["mIoU"] < 0.2


def test_the_report_of_a_run(tmp_path):
    save(tmp_path, "last", 3, random_model(), data=DATA)
    report = evaluate_run(tmp_path, trivial=True)
    assert report == json.loads((find(tmp_path) / "metrics.json").read_text())
    assert report["step"] == 3
    assert report["data"] == {"name": "synthetic", "split": "val", "images": 5, "size": [24, 32]}
    assert set(report["scores"]) == set(report["trivial"]) == set(report["protocol"]) == set(TASKS)
    assert report["protocol"]["saliency"]["protocol"] == "official"
    assert report["protocol"]["boundary"]["max_dist"] == 0.011
    assert report["precision"] == "32-true"

    rounded = evaluate_run(tmp_path, precision="bf16-mixed")
    assert rounded["precision"] == "bf16-mixed"
    losses = [r["scores"]["depth"]["loss"] for r in (report, rounded)]
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.05)


def test_an_unknown_split(tmp_path):
    save(tmp_path, "last", 3, random_model(), data=DATA)
    with pytest.raises(PammError, match="unknown split 'vall': did you mean 'val'"):
        evaluate_run(tmp_path, split="vall")
