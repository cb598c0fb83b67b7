"""Evaluation: states of several processes add up, reports are kept, constants are fair."""

import json
import math
import os

import pytest
import torch
from torch import nn

from pamm.checkpoint import find, save
from pamm.data import DataConfig, Synthetic, build_dataset, eval_dataset, evaluation_batches
from pamm.errors import PammError
from pamm.evaluate import constant_scores, departures, evaluate, evaluate_run, image_lists
from pamm.image_list import ImageList, read_image_list
from pamm.model import PAMM, ModelConfig
from pamm.report import print_scores, protocol_lines
from pamm.views import Views

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
    assert report["notes"] == []
    for protocol in report["protocol"].values():
        assert protocol["images"]["list"] == "all"
        assert protocol["images"]["count"] == 5
        assert protocol["preset"] == "official"
        assert (protocol["scales"], protocol["flip"]) == ([1.0], False)
        assert (protocol["precision"], protocol["step"]) == ("32-true", 3)

    rounded = evaluate_run(tmp_path, precision="bf16-mixed")
    assert rounded["precision"] == "bf16-mixed"
    losses = [r["scores"]["depth"]["loss"] for r in (report, rounded)]
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.05)


def test_an_unknown_split(tmp_path):
    save(tmp_path, "last", 3, random_model(), data=DATA)
    with pytest.raises(PammError, match="unknown split 'vall': did you mean 'val'"):
        evaluate_run(tmp_path, split="vall")


def test_the_plain_protocol_computes_saliency_and_chooses_the_miou_otherwise(tmp_path):
    save(tmp_path, "last", 3, random_model(), data=DATA)
    official, plain = (evaluate_run(tmp_path, protocol=p) for p in ("official", "plain"))
    assert official["tasks"]["semseg"]["score"] == "mIoU"
    assert plain["tasks"]["semseg"]["score"] == "mIoU_present"
    assert plain["tasks"]["human_parts"]["score"] == "mIoU_present"
    assert plain["protocol"]["saliency"]["cuts"] == "p at 255 levels"
    maxf = [r["scores"]["saliency"]["maxF"] for r in (official, plain)]
    assert maxf[0] != maxf[1]
    for report in (official, plain):
        del report["scores"]["saliency"]
    assert official["scores"] == plain["scores"], "these hold both kinds of mean"


def test_a_list_of_images_for_one_task(tmp_path):
    model = random_model()
    save(tmp_path, "last", 3, model, data=DATA)
    names = tmp_path / "some.txt"
    names.write_bytes("\ufeffval-000003\n\nval-000001\r\n".encode())  # as Windows' editors do
    report = evaluate_run(tmp_path, lists={"normals": names}, batch_size=1, trivial=True)
    whole = evaluate_run(tmp_path, batch_size=1, trivial=True)
    images = report["protocol"]["normals"]["images"]
    assert (images["list"], images["count"]) == ("some.txt", 2)
    assert images["sha256"] != whole["protocol"]["normals"]["images"]["sha256"]
    for task in TASKS:
        for kind in ("scores", "trivial"):
            assert (report[kind][task] == whole[kind][task]) == (task != "normals")

    batches = list(evaluation_batches(eval_dataset(DATA, tasks=["normals"])))
    alone = evaluate(model, [batches[1], batches[3]], {"normals": TASKS["normals"]})
    assert report["scores"]["normals"] == alone["normals"]
    assert "normals: over the 2 images of some.txt" in protocol_lines(report)


def test_a_list_within_batches(tmp_path):
    """Two images of a batch of four, of another none."""
    model = random_model()
    listed = {"normals": ImageList(name="x", ids=frozenset(["val-000001", "val-000003"]))}
    scores = [
        evaluate(model, evaluation_batches(eval_dataset(DATA), batch_size=b), TASKS, lists=listed)
        for b in (1, 4)
    ]
    assert scores[0]["normals"] == pytest.approx(scores[1]["normals"], abs=1e-3)
    assert scores[0]["normals"]["loss"] > 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "val-000001\nval-000009\n",
            "1 of 2 ids are not among the 5 images of synthetic val, such",
        ),
        ("val-000001.png\n", "want ids like 'val-000000'"),
        ("val-000001\nval-000001\n", "'val-000001' comes more than once"),
        ("\n \n", "is empty"),
        (b"\xff\xfe\x00", "not a text file"),
        (None, "cannot be read: No such file"),
    ],
)
def test_lists_that_do_not_fit(tmp_path, text, words):
    path = tmp_path / "list.txt"
    if isinstance(text, bytes):
        path.write_bytes(text)
    elif text is not None:
        path.write_text(text)
    with pytest.raises(PammError, match=words):
        image_lists(eval_dataset(DATA), TASKS, {"depth": path}, where="synthetic val")


def test_a_list_for_an_unknown_task(tmp_path):
    with pytest.raises(PammError, match="unknown task 'dept': did you mean 'depth'"):
        image_lists(eval_dataset(DATA), TASKS, {"dept": tmp_path / "x"}, where="synthetic val")


def test_the_report_says_where_published_scores_are_over_other_images(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(Synthetic, "published_images", {"boundary": 3, "flow": 7})
    lists = {task: ImageList(name="all", ids=frozenset("abcde")) for task in TASKS}
    (note,) = departures(eval_dataset(DATA), lists)
    assert "boundary: computed over 5 images, the published scores over 3;" in note
    lists["boundary"] = ImageList(name="x", ids=frozenset("abc"))
    assert departures(eval_dataset(DATA), lists) == []

    save(tmp_path, "last", 3, random_model(), data=DATA)
    report = evaluate_run(tmp_path)
    assert report["notes"] == [note]
    print_scores(report)
    assert "--lists boundary FILE" in " ".join(capsys.readouterr().out.split())
    assert evaluate_run(tmp_path, split="train")["notes"] == []


def test_several_views_are_scored_and_reported(tmp_path):
    save(tmp_path, "last", 3, random_model(), data=DATA)
    plain = evaluate_run(tmp_path)
    same = evaluate_run(tmp_path, views=Views(scales=(1,)))
    assert same == plain
    report = evaluate_run(tmp_path, views=Views(scales=(0.5, 1), flip=True))
    protocol = report["protocol"]["depth"]
    assert (protocol["scales"], protocol["flip"]) == ([0.5, 1.0], True)
    assert report["scores"]["normals"]["mErr"] != plain["scores"]["normals"]["mErr"]
    assert "official, scales 0.5, 1, each also mirrored" in protocol_lines(report)[0]


def test_constants_want_images_of_one_size():
    small = eval_dataset(DATA)
    large = eval_dataset(DataConfig(size=(32, 32), val_count=2, workers=0))

    class Both:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> dict:
            return (small, large)[index][0]

    with pytest.raises(PammError, match="no constant prediction of 'depth': a mean over images of"):
        constant_scores(Both(), small, {"depth": TASKS["depth"]})  # type: ignore[arg-type]


def test_ids_of_bytes_that_are_no_text_are_listed_and_described(tmp_path):
    names = [os.fsdecode(b"caf\xe9"), "道路"]
    (tmp_path / "list.txt").write_bytes(b"\n".join(map(os.fsencode, names)))
    images = read_image_list(tmp_path / "list.txt", names, where="here")
    assert images.ids == frozenset(names)
    assert images.describe()["count"] == 2
