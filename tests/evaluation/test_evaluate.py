"""Evaluation: states of several processes add up, reports are kept, constants are fair."""

import errno
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import pad

from pamm.checkpoint import find, save
from pamm.cli import main
from pamm.data import (
    DATASETS,
    DataConfig,
    Synthetic,
    build_dataset,
    eval_dataset,
    evaluation_batches,
)
from pamm.errors import PammError
from pamm.evaluation.constants import are_of_one_size, constant_scores
from pamm.evaluation.evaluate import evaluate, evaluate_run, image_lists
from pamm.evaluation.image_list import ImageList, read_image_list
from pamm.evaluation.report import Unfinished, departures
from pamm.evaluation.score_table import print_scores, protocol_lines
from pamm.model import PAMM, PAMMConfig
from pamm.predictor import Predictor
from pamm.tasks.match import Match
from pamm.views.augmentation import TestTimeAugmentation

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


def random_model() -> Predictor:
    channels = {name: task.channels for name, task in TASKS.items()}
    config = PAMMConfig(tasks=channels, backbone="test_vit", d_model=16, d_state=2)
    return Predictor(PAMM(config), TASKS).eval()


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
            assert same, (task, key)


def test_the_batch_size_does_not_change_the_scores():
    model, dataset = random_model(), eval_dataset(DATA)
    one = evaluate(model, evaluation_batches(dataset, batch_size=1), TASKS)
    many = evaluate(model, evaluation_batches(dataset, batch_size=4), TASKS)
    for task in TASKS:
        main = TASKS[task].score
        assert one[task][main] == pytest.approx(many[task][main], abs=1e-3)


def test_a_model_is_not_touched():
    """Not even for the time of the evaluation: another thread may train it meanwhile."""
    model, seen = random_model().train(), []
    before = {key: value.clone() for key, value in model.state_dict().items()}

    def batches():
        for batch in evaluation_batches(eval_dataset(DATA)):
            seen.append(all(module.training for module in model.modules()))
            yield batch

    scores = evaluate(model, batches(), TASKS)
    assert seen == [True] * 5
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert scores == evaluate(model.eval(), evaluation_batches(eval_dataset(DATA)), TASKS)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_of_another_type_is_scored(dtype):
    model = random_model()
    exact = evaluate(model, evaluation_batches(eval_dataset(DATA)), TASKS)
    scores = evaluate(model.to(dtype), evaluation_batches(eval_dataset(DATA)), TASKS)
    assert scores["depth"]["RMSE"] == pytest.approx(exact["depth"]["RMSE"], rel=0.02)


def test_names_in_python_are_refused_as_on_the_command_line(tmp_path):
    save(tmp_path, "last", 3, random_model(), data=DATA)
    with pytest.raises(PammError, match="a GPU is called cuda"):
        evaluate_run(tmp_path, device="gpu")
    with pytest.raises(PammError, match="unknown precision 'bf16'"):
        evaluate_run(tmp_path, precision="bf16")


def test_constants_by_hand():
    train, test = eval_dataset(DATA, "train"), eval_dataset(DATA)
    scores = constant_scores(
        train, test, {name: Match(task=TASKS[name]) for name in ("depth", "semseg")}
    )
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
    assert report["constant"] == "per position"
    assert report["notes"] == []
    counts = {name: protocol["images"]["count"] for name, protocol in report["protocol"].items()}
    assert counts == {**dict.fromkeys(TASKS, 5), "human_parts": 4}  # nobody is in one of the rooms
    for protocol in report["protocol"].values():
        assert protocol["images"]["list"] == "all"
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
    assert alone["normals"].pop("images") == 2
    assert report["scores"]["normals"] == alone["normals"]
    assert "normals: over the 2 images of some.txt that are labelled" in protocol_lines(report)


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
    counts = dict.fromkeys(TASKS, 5)
    (note,) = departures(eval_dataset(DATA), counts)
    assert "boundary: computed over 5 images, the published scores over 3;" in note
    assert departures(eval_dataset(DATA), {**counts, "boundary": 3}) == []

    save(tmp_path, "last", 3, random_model(), data=DATA)
    report = evaluate_run(tmp_path)
    assert report["notes"] == [note]
    print_scores(report)
    assert "--lists boundary FILE" in " ".join(capsys.readouterr().out.split())
    assert evaluate_run(tmp_path, split="train")["notes"] == []


def test_several_views_are_scored_and_reported(tmp_path):
    save(tmp_path, "last", 3, random_model(), data=DATA)
    plain = evaluate_run(tmp_path)
    same = evaluate_run(tmp_path, augmentation=TestTimeAugmentation(scales=(1,)))
    assert same == plain
    report = evaluate_run(tmp_path, augmentation=TestTimeAugmentation(scales=(0.5, 1), flip=True))
    protocol = report["protocol"]["depth"]
    assert (protocol["scales"], protocol["flip"]) == ([0.5, 1.0], True)
    assert report["scores"]["normals"]["mErr"] != plain["scores"]["normals"]["mErr"]
    assert "official, scales 0.5, 1, each also mirrored" in protocol_lines(report)[0]


class Partial(Synthetic):
    """Rooms of which only the second one is labelled for saliency, and the last one for depth."""

    def load(self, index: int) -> dict:
        sample = super().load(index)
        kept = {"saliency": [1], "depth": [len(self) - 1]}
        for name, task in self.tasks.items():
            if index not in kept.get(name, [index]):
                sample["targets"][name] = task.missing(*sample["image"].shape[-2:])
        return sample


class Mixed(Partial):
    """The same in several sizes, with more pixels that are not labelled."""

    same_size = False

    def load(self, index: int) -> dict:
        sample = super().load(index)
        more = (0, index % 3, 0, 2 * (index % 2))
        for name, target in sample["targets"].items():
            sample["targets"][name] = pad(target, more, value=self.tasks[name].pad_value)
        image = pad(sample["image"], more)
        return {**sample, "image": image, "size": tuple(image.shape[-2:])}


@pytest.fixture
def partial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "partial", Partial)
    monkeypatch.setitem(DATASETS, "mixed", Mixed)


def test_neither_batches_nor_processes_change_the_loss(partial):
    """Images without a label count as no image, not as a loss of 0."""
    model, dataset = random_model(), eval_dataset(replace(DATA, name="partial"))
    one = evaluate(model, evaluation_batches(dataset, batch_size=1), TASKS)
    for batch_size in (2, 3, 5):
        many = evaluate(model, evaluation_batches(dataset, batch_size=batch_size), TASKS)
        for task in TASKS:
            assert many[task]["loss"] == pytest.approx(one[task]["loss"], rel=1e-5), task
            assert many[task]["images"] == one[task]["images"]
    assert {name: s["images"] for name, s in one.items()} == {
        **dict.fromkeys(TASKS, 5), "human_parts": 4, "saliency": 1, "depth": 1,
    }  # fmt: skip
    (saliency,) = [b for b in evaluation_batches(dataset) if b["id"] == ["val-000001"]]
    with torch.no_grad():
        alone = TASKS["saliency"].loss(
            model(saliency["image"])["saliency"], saliency["targets"]["saliency"]
        )
    assert one["saliency"]["loss"] == pytest.approx(alone.item(), rel=1e-5)


def test_the_loss_of_a_data_set_is_that_of_one_batch():
    model, dataset = random_model(), eval_dataset(DATA)
    scores = evaluate(model, evaluation_batches(dataset, batch_size=2), TASKS)
    (batch,) = evaluation_batches(dataset, batch_size=5)
    with torch.no_grad():
        logits = model(batch["image"])
    for name, task in TASKS.items():
        loss = task.loss(logits[name], batch["targets"][name]).item()
        assert scores[name]["loss"] == pytest.approx(loss, rel=1e-5), name


def test_a_data_set_without_any_label_for_a_task():
    dataset = eval_dataset(DATA, tasks=["depth"])
    batches = [
        {**b, "targets": {"depth": torch.zeros_like(b["targets"]["depth"])}}
        for b in evaluation_batches(dataset)
    ]
    scores = evaluate(random_model(), batches, {"depth": TASKS["depth"]})["depth"]
    assert math.isnan(scores["loss"])
    assert math.isnan(scores["RMSE"])
    assert scores["images"] == 0


def test_the_report_counts_the_images_that_were_scored(partial, tmp_path, monkeypatch):
    monkeypatch.setattr(Partial, "published_images", {"saliency": 5, "depth": 1})
    save(tmp_path, "last", 3, random_model(), data=replace(DATA, name="partial"))
    report = evaluate_run(tmp_path)
    assert report["data"]["images"] == 5
    counts = {name: p["images"]["count"] for name, p in report["protocol"].items()}
    expected = {**dict.fromkeys(TASKS, 5), "human_parts": 4, "saliency": 1, "depth": 1}
    assert counts == expected
    (note,) = report["notes"]
    assert note.startswith("saliency: computed over 1 image, the published scores over 5;")
    lines = protocol_lines(report)
    assert "saliency: over the 1 image of 5 that are labelled" in lines
    assert not [line for line in lines if line.startswith("normals")]
    assert all("images" not in scores for scores in report["scores"].values())


def test_a_score_over_no_pixel_says_so(tmp_path, capsys):
    """As of views from the air, all of which is farther than the depth's limit."""
    model = random_model()
    model.tasks = {**model.tasks, "depth": replace(TASKS["depth"], max_depth=0.1)}
    save(tmp_path, "last", 3, model, data=DATA)
    report = evaluate_run(tmp_path, trivial=True)
    assert report["scores"]["depth"]["RMSE"] is None
    print_scores(report)
    printed = " ".join(capsys.readouterr().out.split())
    why = "depth: not scored, as no pixel has a label that counts (depth up to 0.1 m does)"
    assert why in printed
    assert "nan" not in printed


def test_constants_for_images_of_several_sizes(partial, tmp_path):
    """What fits all of them is one value for all positions."""
    save(tmp_path, "last", 3, random_model(), data=replace(DATA, name="mixed"))
    report = evaluate_run(tmp_path, trivial=True)
    assert report["constant"] == "one for all positions"
    assert report == json.loads((find(tmp_path) / "metrics.json").read_text())
    train, test = (eval_dataset(replace(DATA, name="mixed"), s) for s in ("train", "val"))
    depths = torch.cat([train[i]["targets"]["depth"].flatten() for i in range(4)])
    target = test[4]["targets"]["depth"]
    errors = target[target > 0] - depths[depths > 0].mean()
    expected = errors.square().mean().sqrt().item()
    assert report["trivial"]["depth"]["RMSE"] == pytest.approx(expected, rel=1e-5)
    assert set(report["trivial"]) == set(TASKS)


def test_files_of_one_size_keep_a_constant_per_position(partial, tmp_path, monkeypatch):
    monkeypatch.setattr(Partial, "same_size", False)
    save(tmp_path, "last", 3, random_model(), data=replace(DATA, name="partial"))
    assert evaluate_run(tmp_path, trivial=True)["constant"] == "per position"


def test_constants_per_position_want_images_of_one_size(partial):
    train, test = eval_dataset(replace(DATA, name="mixed"), "train"), eval_dataset(DATA)
    assert not are_of_one_size(train, test)
    assert not are_of_one_size(test, train)
    assert are_of_one_size(test)
    with pytest.raises(ValueError, match="a mean over images of several sizes"):
        constant_scores(train, test, {"depth": Match(task=TASKS["depth"])})


def never(*_: object, **__: object) -> None:
    pytest.fail("this can be known before the work")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "vall"}, "unknown split"),
        ({"lists": {"depth": "nothing.txt"}}, "cannot be read"),
        ({"root": "elsewhere", "trivial": True}, "no training images"),
    ],
)
def test_what_can_be_known_is_said_before_the_work(tmp_path, monkeypatch, options, message):
    save(tmp_path, "last", 3, random_model(), data=DATA)
    monkeypatch.setattr("pamm.evaluation.evaluate.evaluate", never)
    init = Synthetic.__init__

    def without_training(self: Synthetic, split: str, **rest: object) -> None:
        if split == "train" and Path(str(rest["root"])).name == "elsewhere":
            raise PammError("no training images")
        init(self, split, **{**rest, "root": None})

    monkeypatch.setattr(Synthetic, "__init__", without_training)
    with pytest.raises(PammError, match=message):
        evaluate_run(tmp_path, **options)


def test_a_folder_that_takes_no_report_is_known_before_the_work(tmp_path, monkeypatch):
    folder = save(tmp_path, "last", 3, random_model(), data=DATA)
    (folder / "metrics.json").mkdir()
    monkeypatch.setattr("pamm.evaluation.evaluate.evaluate", never)
    with pytest.raises(PammError, match="metrics.json' cannot be written: it is a folder; let"):
        evaluate_run(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"channels": 17, "class_names": (*TASKS["semseg"].class_names, "more")},
        {"class_names": (*TASKS["semseg"].class_names[:-1], "other")},
    ],
)
def test_a_data_set_with_other_classes_than_in_training(tmp_path, monkeypatch, change):
    save(tmp_path, "last", 3, random_model(), data=DATA)
    changed = replace(TASKS["semseg"], **change)
    monkeypatch.setattr(Synthetic, "TASKS", {**TASKS, "semseg": changed})
    monkeypatch.setattr("pamm.evaluation.evaluate.evaluate", never)
    with pytest.raises(PammError, match="task 'semseg': .*last-000003' was trained with ") as error:
        evaluate_run(tmp_path)
    assert "\n" not in str(error.value)


def full(path: object, *_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def test_scores_that_cannot_be_written_are_not_lost(tmp_path, monkeypatch, capsys):
    save(tmp_path, "last", 3, random_model(), data=DATA)
    whole = evaluate_run(tmp_path)
    monkeypatch.setattr("pamm.evaluation.report.write_text", full)
    with pytest.raises(Unfinished, match="metrics.json': No space left on device$") as error:
        evaluate_run(tmp_path)
    assert error.value.report == whole
    with pytest.raises(SystemExit) as end:
        main(["evaluate", str(tmp_path), "--device", "cpu"])
    assert end.value.code == 2
    output = capsys.readouterr()
    assert "odsF" in output.out
    assert output.err.splitlines()[-1].startswith("pamm: the scores cannot be written to ")


def test_scores_stay_where_no_constants_can_be_made(tmp_path, monkeypatch, capsys):
    save(tmp_path, "last", 3, random_model(), data=DATA)
    load = Synthetic.load

    def damaged(self: Synthetic, index: int) -> dict:
        if self.split == "train":
            raise PammError("'x.png' is damaged")
        return load(self, index)

    monkeypatch.setattr(Synthetic, "load", damaged)
    with pytest.raises(SystemExit) as end:
        main(["evaluate", str(tmp_path), "--device", "cpu", "--trivial"])
    assert end.value.code == 2
    output = capsys.readouterr()
    assert "odsF" in output.out
    assert "no constant predictions to compare with: 'x.png' is damaged" in output.err
    report = json.loads((find(tmp_path) / "metrics.json").read_text())
    assert set(report["scores"]) == set(TASKS)
    assert "trivial" not in report


def test_ids_of_bytes_that_are_no_text_are_listed_and_described(tmp_path):
    names = [os.fsdecode(b"caf\xe9"), "道路"]
    (tmp_path / "list.txt").write_bytes(b"\n".join(map(os.fsencode, names)))
    images = read_image_list(tmp_path / "list.txt", names, where="here")
    assert images.ids == frozenset(names)
    assert images.describe()["count"] == 2
