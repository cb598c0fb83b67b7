"""Runs in one table: gains as the paper computes them, and nothing compared that differs."""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pamm.checkpoint import save
from pamm.cli import main
from pamm.compare import compare
from pamm.compare.delta_g import delta_g
from pamm.compare.output import print_comparison, ranked, write_comparison
from pamm.compare.plot import draw_gains, limits
from pamm.compare.published import published
from pamm.data import DataConfig, Synthetic
from pamm.errors import PammError
from pamm.evaluation.evaluate import evaluate_run
from pamm.model import PAMM, PAMMConfig
from pamm.predictor import Predictor
from pamm.runtime.text import printable

VIT_B = {
    "semseg": 79.12,
    "human_parts": 67.83,
    "saliency": 85.25,
    "normals": 13.4,
    "boundary": 73.4,
}
OURS = {"semseg": 78.0, "human_parts": 67.0, "saliency": 85.0, "normals": 13.6, "boundary": 72.0}
PLAIN = {"semseg": "mIoU_present", "human_parts": "mIoU_present"}


def write_run(
    run: Path,
    scores: Mapping[str, float | None],
    *,
    data: str = "pascal_context",
    split: str = "val",
    images: int = 5105,
    lists: Mapping[str, int] | None = None,
    step: int = 40_000,
    kind: str = "last",
    size: tuple[int, int] = (512, 512),
    names: Mapping[str, str] | None = None,
    notes: tuple[str, ...] = (),
    **how: Any,
) -> str:
    """A report as `pamm evaluate` writes it, with scores as printed in papers."""
    report: dict[str, Any] = {
        "backbone": "vit_base_patch16_384.augreg_in21k_ft_in1k",
        "data": {"name": data, "split": split, "images": images, "size": list(size)},
        "tasks": {},
        "protocol": {},
        "scores": {},
        "notes": list(notes),
    }
    common = {"preset": "official", "scales": [1.0], "flip": False, "precision": "32-true"}
    for task, value in scores.items():
        score = published().scores[task]
        unit = "fraction" if score.unit == "%" else score.unit
        key = (names or {}).get(task, score.score)
        seen = (lists or {}).get(task, images)
        report["tasks"][task] = {
            "score": key, "unit": unit, "higher_is_better": score.higher_is_better,
        }  # fmt: skip
        report["scores"][task] = {
            key: value / 100 if value and unit == "fraction" else value,
            "loss": 1.0,
        }
        report["protocol"][task] = {
            "images": {
                "list": "all" if seen == images else "list.txt",
                "count": seen,
                "sha256": hashlib.sha256(f"{data} {split} {seen}".encode()).hexdigest(),
            },
            **common,
            "step": step,
            **how,
        }
    folder = run / f"{kind}-{step:06d}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(report))
    return str(run)


def test_the_papers_row_beside_the_paper(tmp_path):
    """A run with the scores of PAMM ViT-B has the gain that the paper prints for it."""
    run = write_run(tmp_path / "b", VIT_B)
    result = compare([run])
    mine, *rows = result.lines
    assert result.baseline == "Baseline, ViT-L"
    assert mine.scores == pytest.approx(VIT_B)
    assert round(mine.delta_g or 0, 2) == 1.86
    assert [c.task for c in result.columns] == list(VIT_B)
    for line, row in zip(rows, published().table("table-1", "pascal_context").rows, strict=True):
        assert line.source == "table-1"
        assert line.scores == row.scores
        assert line.delta_g == pytest.approx(row.delta_g, abs=0.0051)
    assert not any(line.marked for line in result.lines)
    assert result.notes == ("Δg is the mean relative gain over Baseline, ViT-L",)


def test_gains_over_a_run(tmp_path):
    runs = [write_run(tmp_path / "a", OURS), write_run(tmp_path / "b", VIT_B)]
    result = compare(runs[1:], baseline=runs[0])
    base, full, *rows = result.lines
    assert (base.name, full.name) == tuple(runs)
    assert set(base.gains.values()) == {0.0}
    assert full.delta_g == pytest.approx(delta_g(VIT_B, OURS, {"normals"}))
    assert full.gains["normals"] == pytest.approx(100 * (13.6 - 13.4) / 13.6)
    assert rows[-1].delta_g == pytest.approx(
        delta_g(published().table("table-1", "pascal_context").rows[-1].scores, OURS, {"normals"})
    )
    assert any("not as printed" in note for note in result.notes)
    named_twice = compare(runs, baseline=runs[0])
    assert named_twice == result


def test_other_tables_of_the_paper(tmp_path):
    run = write_run(tmp_path / "b", VIT_B)
    result = compare([run], table="table-2")
    assert result.baseline == "Baseline, ViT-B"
    assert round(result.lines[0].delta_g or 0, 2) == 2.76
    doubt = "PP for C, ViT-B: Printed with two check marks"
    assert any(doubt in note for note in compare([run], table="table-4").notes)
    assert any(doubt in note for note in compare([run], table="table-4", baseline=run).notes)
    assert len(compare([run], table="none").lines) == 1
    with pytest.raises(PammError, match="'table-11': did you mean 'table-1'"):
        compare([run], table="table-11")


def test_where_the_papers_own_gains_do_not_follow_a_note_says_so(tmp_path):
    scores = {"semseg": 50.0, "depth": 0.55, "normals": 19.0, "boundary": 77.0}
    result = compare([write_run(tmp_path / "n", scores, data="nyud", images=654)])
    text = "\n".join(result.notes)
    assert "MQTransformer, Swin-L: the paper prints Δg 3.04, but its scores give 1.95" in text
    assert "M3ViT, ViT-B: the paper prints Δg -1.65, but not all scores" in text
    assert len(result.notes) == 3


def test_fewer_tasks_than_the_others(tmp_path):
    runs = [write_run(tmp_path / "a", OURS), write_run(tmp_path / "s", {"semseg": 80.0})]
    result = compare(runs)
    assert result.lines[0].delta_g is not None
    assert result.lines[1].delta_g is None
    assert result.lines[1].gains == pytest.approx({"semseg": 100 * (80 - 78.67) / 78.67})
    assert any("differ in tasks" in note for note in result.notes)
    alone = compare(runs[1:])
    assert [c.task for c in alone.columns] == ["semseg"]
    assert any("the paper's is over boundary, human_parts" in note for note in alone.notes)


def test_a_score_that_is_no_number_is_left_out(tmp_path):
    line = compare([write_run(tmp_path / "a", {**OURS, "boundary": None})]).lines[0]
    assert "boundary" not in line.scores
    assert line.delta_g is None


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"data": "nyud"}, "data name is 'pascal_context' and 'nyud'"),
        ({"split": "train"}, "data split is 'val' and 'train'"),
        ({"images": 100}, "data images is 5105 and 100"),
        ({"lists": {"boundary": 2498}}, "boundary: images count is 5105 and 2498"),
        ({"preset": "plain", "names": PLAIN}, "preset is 'official' and 'plain'"),
        ({"scales": [0.5, 1.0]}, r"scales is \[1.0\] and \[0.5, 1.0\]"),
        ({"flip": True}, "flip is False and True"),
        ({"max_dist": 0.011}, "max_dist is None and 0.011"),
    ],
)
def test_what_differs_is_not_compared(tmp_path, other, words):
    runs = [write_run(tmp_path / "a", OURS), write_run(tmp_path / "b", OURS, **other)]
    with pytest.raises(PammError, match=f"cannot be compared: .*{words}; evaluate both"):
        compare(runs)


def test_runs_without_a_common_task_must_agree_too(tmp_path):
    one = write_run(tmp_path / "a", {"semseg": 70.0})
    two = write_run(tmp_path / "b", {"boundary": 70.0}, flip=True)
    with pytest.raises(PammError, match="cannot be compared: flip is False and True"):
        compare([one, two])


def test_differences_that_are_only_marked(tmp_path):
    runs = [
        write_run(tmp_path / "a", OURS),
        write_run(tmp_path / "b", OURS, precision="bf16-mixed", size=(448, 448), step=20_000),
    ]
    text = "\n".join(compare(runs).notes)
    assert "differ in precision" in text
    assert "differ in image size" in text
    assert "512x512" in text


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"scales": [0.5, 1.0], "flip": True}, "scales 0.5, 1, each also mirrored, the published"),
        ({"images": 7}, "on 7 images, the published scores on 5105"),
        ({"notes": ("boundary: computed over 5105 images",)}, "boundary: computed over 5105"),
    ],
)
def test_scores_unlike_the_published_ones_have_a_dagger(tmp_path, capsys, how, words):
    run = write_run(tmp_path / "a", OURS, **how)
    result = compare([run])
    assert [line.marked for line in result.lines[:2]] == [True, False]
    (note,) = [note for note in result.notes if note.startswith("†")]
    assert words in note
    write_comparison(result, tmp_path / "x.md", plot=None)
    assert f"| {run} † |" in (tmp_path / "x.md").read_text("utf-8")


def test_a_list_of_images_is_named(tmp_path):
    result = compare([write_run(tmp_path / "a", OURS, lists={"boundary": 2498})])
    assert not result.lines[0].marked
    assert "boundary: over the 2498 images of list.txt" in result.notes


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"preset": "plain", "names": PLAIN}, "--protocol plain, published scores are official"),
        ({"split": "train"}, "on the part 'train', published ones on val"),
    ],
)
def test_runs_that_have_no_place_beside_the_paper(tmp_path, how, words):
    run = write_run(tmp_path / "a", OURS, **how)
    result = compare([run])
    assert [line.source for line in result.lines] == ["run"]
    assert any(words in note for note in result.notes)
    assert result.baseline == ""
    with pytest.raises(PammError, match=words):
        compare([run], table="table-1")


def test_which_report_is_read(tmp_path):
    run = tmp_path / "a"
    write_run(run, OURS, step=900)
    write_run(run, VIT_B, step=1000)
    write_run(run, {**OURS, "semseg": 70.0}, step=500, kind="best")
    assert compare([str(run)]).lines[0].scores["semseg"] == pytest.approx(79.12)
    assert compare([str(run)], checkpoint="best").lines[0].scores["semseg"] == pytest.approx(70)
    folders = [str(run / "last-001000"), str(run / "best-000500" / "metrics.json")]
    assert [x.name for x in compare(folders).lines[:2]] == folders


def broken(path: Path, **changes: Any) -> None:
    report = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in {**report, **changes}.items() if v is not None}))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p: p.unlink(), "metrics.json: run `pamm evaluate .*a` first"),
        (lambda p: p.write_text("{"), "cannot be read as JSON"),
        (lambda p: p.write_text("[]"), "not a report .* run `pamm evaluate .*a` again"),
        (lambda p: broken(p, backbone=None), "not a report .*KeyError: 'backbone'"),
        (lambda p: broken(p, tasks={}), "has no task"),
        (lambda p: broken(p, scores={"semseg": {"mIoU": "x"}}), "not a report"),
        (lambda p: p.parent.rename(p.parents[1] / "other"), "holds no last-<step> folder"),
    ],
)
def test_reports_that_cannot_be_used(tmp_path, spoil, words):
    run = write_run(tmp_path / "a", {"semseg": 50.0})
    spoil(tmp_path / "a" / "last-040000" / "metrics.json")
    with pytest.raises(PammError, match=words):
        compare([run])


def test_no_run_at_all(tmp_path):
    with pytest.raises(PammError, match="at least one run"):
        compare([])
    with pytest.raises(PammError, match="no run at"):
        compare([str(tmp_path / "nowhere")])


def test_ranks_are_of_the_printed_numbers_and_of_the_right_direction(tmp_path):
    column = compare([write_run(tmp_path / "a", OURS)]).columns[3]
    assert (column.task, column.higher_is_better) == ("normals", False)
    assert ranked(["13.40", "-", "13.9", "14.0"], column) == [
        ("13.40", "best"), ("-", ""), ("13.9", "second"), ("14.0", ""),
    ]  # fmt: skip
    assert ranked(["1", "1"], None) == [("1", ""), ("1", "")]


def test_the_table_on_the_terminal_and_in_markdown(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "mine", VIT_B)
    main(["compare", "mine", "--out", "out/table.md"])
    printed = capsys.readouterr().out
    assert "mErr ° ↓" in printed
    table = [line for line in printed.splitlines() if not line.startswith("- ")]
    assert max(map(len, table)) <= 80
    row = next(line for line in printed.splitlines() if "mine" in line)
    assert row.split() == ["mine", "79.12", "67.83", "85.25", "13.40", "73.40", "1.86"]

    text = (tmp_path / "out" / "table.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert rows[2].startswith(
        "| mine | vit_base_patch16_384 | 79.12 | 67.83 | **85.25** | <u>13.40"
    )
    assert rows[-1].endswith("| **75.30** | **3.60** |")
    assert "(table.png)" in text
    assert "arXiv 2511.14503" in text
    record = json.loads((tmp_path / "out" / "table.json").read_text("utf-8"))
    assert record["lines"][0]["delta_g"] == pytest.approx(1.8584, abs=1e-4)
    assert record["baseline"] == "Baseline, ViT-L"
    with Image.open(tmp_path / "out" / "table.png") as picture:
        assert picture.width > 800


def test_the_plot_takes_any_number_of_lines_and_missing_gains(tmp_path):
    runs = [write_run(tmp_path / "a", OURS), write_run(tmp_path / "s", {"semseg": 80.0})]
    few = compare(runs, baseline=runs[0], table="none")
    many = compare(runs)
    heights = []
    for comparison in (few, many):
        draw_gains(comparison, tmp_path / "plot.png")
        with Image.open(tmp_path / "plot.png") as picture:
            heights.append(picture.height)
            assert picture.convert("L").getextrema() == (0, 255)
    assert heights[0] < heights[1]


def test_from_models_to_the_table(tmp_path, capsys):
    """The built-in rooms have no published rows; reports are those of `pamm evaluate`."""
    data = DataConfig(size=(24, 32), train_count=2, val_count=2, workers=0)
    channels = {name: task.channels for name, task in Synthetic.TASKS.items()}
    reports = []
    for i in range(2):
        torch.manual_seed(i)
        model = PAMM(PAMMConfig(tasks=channels, backbone="test_vit", d_model=16, d_state=2))
        model = Predictor(model, Synthetic.TASKS)
        save(tmp_path / f"run{i}", "last", 3, model, data=data)
        reports.append(evaluate_run(tmp_path / f"run{i}"))
    runs = [str(tmp_path / f"run{i}") for i in range(2)]
    result = compare(runs)
    assert [line.source for line in result.lines] == ["run", "run"]
    assert result.title == "synthetic, val"
    assert result.notes[-1].startswith("no gains")
    normals = [report["scores"]["normals"]["mErr"] for report in reports]
    assert [line.scores["normals"] for line in result.lines] == normals
    print_comparison(result)
    assert f"{normals[0]:.2f}" in capsys.readouterr().out
    result = compare(runs, baseline=runs[1])
    assert result.lines[1].gains["normals"] == pytest.approx(
        100 * (normals[1] - normals[0]) / normals[1]
    )
    with pytest.raises(PammError, match="no published table has the data set 'synthetic'"):
        compare(runs, table="table-1")
    evaluate_run(tmp_path / "run1", protocol="plain")
    with pytest.raises(PammError, match="cannot be compared"):
        compare(runs)


def test_a_score_without_a_unit_is_a_plain_number(tmp_path, capsys):
    run = write_run(tmp_path / "a", {"semseg": 50.0})
    path = tmp_path / "a" / "last-040000" / "metrics.json"
    report = json.loads(path.read_text())
    report["tasks"]["error"] = {"score": "MAE", "unit": "", "higher_is_better": False}
    report["scores"]["error"] = {"MAE": 0.122}
    report["protocol"]["error"] = report["protocol"]["semseg"]
    path.write_text(json.dumps(report))
    print_comparison(result := compare([run], table="none"))
    assert result.lines[0].scores == {"semseg": 50.0, "error": 0.122}
    assert "0.1220" in capsys.readouterr().out


def test_a_report_from_before_units_is_not_read_as_per_cent(tmp_path):
    run = write_run(tmp_path / "a", {"semseg": 50.0})
    path = tmp_path / "a" / "last-040000" / "metrics.json"
    path.write_text(path.read_text().replace('"fraction"', '""'))
    with pytest.raises(PammError, match="run `pamm evaluate .*` again"):
        compare([run])


ODD = [
    "a[/b]",
    "a$b^{c$",
    "[red]",
    ":smile:",
    "a|b",
    "道路",
    "two\nlines",
    "bytes\udcff",
    "\x1b[2J",
]


@pytest.mark.parametrize("name", ODD)
def test_names_of_runs_are_shown_as_they_are(name, tmp_path, capsys, monkeypatch):
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        pytest.skip("in this locale no file can have this name")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    write_run(Path(name), OURS)
    write_run(Path("base"), VIT_B)
    main(["compare", name, "--baseline", "base", "--out", "out.md"])
    printed = capsys.readouterr().out
    assert printable(name) in printed
    lines = Path("out.md").read_text("utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1
    assert json.loads(Path("out.json").read_text("utf-8"))["lines"][1]["name"] == name
    assert Path("out.png").exists()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_the_table_on_a_terminal_without_its_characters(encoding, tmp_path, monkeypatch):
    run = write_run(tmp_path / "a", OURS, images=7)
    shown = io.TextIOWrapper(io.BytesIO(), encoding=encoding)  # strict: what it has not, it raises
    monkeypatch.setattr("sys.stdout", shown)
    print_comparison(compare([run]))
    shown.flush()
    text = shown.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert "Delta_g" in text
    assert "\\u" not in text


def test_gains_share_one_scale():
    low, high = limits([[1.0, -2.0], [None, 10.0], [None]])
    assert (low, high) == (pytest.approx(-6.2), pytest.approx(14.2))
    assert limits([[None]]) == (-0.05, 1.0)


@pytest.mark.parametrize("out", ["file/table.md", "folder.md"])
def test_a_table_that_cannot_be_written_is_known_before_the_work(
    tmp_path, out, monkeypatch, capsys
):
    monkeypatch.setattr("pamm.compare.compare", lambda *_, **__: pytest.fail("worked"))
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.md").mkdir()
    with pytest.raises(SystemExit) as end:
        main(["compare", "run", "--out", str(tmp_path / out)])
    assert end.value.code == 2
    assert capsys.readouterr().err.rstrip().endswith("choose another --out")
