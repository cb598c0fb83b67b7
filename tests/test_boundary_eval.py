"""`pamm boundary-eval`: files of every kind give the metric's scores, mistakes one line."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from scipy.io import savemat
from skimage.morphology import thin

from pamm.boundary_eval import boundary_eval, read_probability, read_truth
from pamm.cli import main
from pamm.errors import PammError
from pamm.metrics import BoundaryF

NAMES = ("a", "b", "c")


@pytest.fixture
def maps():
    """{id: (probability of 256 levels, truth)}, images of different sizes."""
    rng = np.random.default_rng(0)
    result = {}
    for name, size in zip(NAMES, [(40, 50), (48, 36), (31, 64)], strict=True):
        classes = np.argmax(ndimage.gaussian_filter(rng.random((5, *size)), (0, 5, 5)), axis=0)
        truth = thin(ndimage.laplace(classes) != 0)
        noise = ndimage.gaussian_filter(rng.random(size), 1)
        levels = np.rint(255 * np.clip(0.7 * truth + 0.3 * noise, 0, 1)).astype(np.uint8)
        result[name] = (levels, truth)
    return result


@pytest.fixture
def folders(maps, tmp_path):
    """Predictions and truths as PNG files."""
    for name, (levels, truth) in maps.items():
        for folder, array in (("p", levels), ("t", truth.astype(np.uint8) * 255)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(array).save(tmp_path / folder / f"{name}.png")
    return tmp_path / "p", tmp_path / "t"


def _scores(maps, max_dist=0.02):
    metric = BoundaryF(max_dist)
    for levels, truth in maps.values():
        metric.update(
            torch.from_numpy(levels / 255)[None, None],
            torch.from_numpy(truth.astype(np.int64))[None, None],
        )
    return metric.compute()


def test_scores_are_those_of_the_metric(maps, folders):
    report = boundary_eval(*folders, max_dist=0.02)
    assert report["scores"] == _scores(maps)
    assert report["images"] == 3
    assert report["annotators"] == [1, 1]
    assert report["protocol"]["max_dist"] == 0.02
    assert len(report["curve"]["precision"]) == 101


def test_every_kind_of_file_gives_the_same(maps, folders, tmp_path):
    predictions, truths = tmp_path / "p2", tmp_path / "t2"
    (predictions / "a").mkdir(parents=True)
    truths.mkdir()
    np.save(predictions / "a" / "boundary.npy", maps["a"][0] / 255)
    (predictions / "a" / "overview.png").write_bytes(b"not looked at")
    savemat(predictions / "b.mat", {"edges": maps["b"][0] / 255.0, "note": "a text"})
    wide = Image.fromarray(maps["c"][0].astype(np.uint16) * 257)
    wide.save(predictions / "c.png")
    assert read_probability(predictions / "c.png").max() <= 1
    np.save(truths / "a.npy", maps["a"][1])
    savemat(truths / "b.mat", {"boundary": maps["b"][1].astype(np.uint8)})
    people = np.empty(1, dtype=object)
    people[0] = {"Segmentation": np.ones((31, 64)), "Boundaries": maps["c"][1].astype(np.uint8)}
    savemat(truths / "c.mat", {"groundTruth": people})
    expected = boundary_eval(*folders, max_dist=0.02)["scores"]
    assert boundary_eval(predictions, truths, max_dist=0.02)["scores"] == expected


def test_several_people_marked_an_image(maps, tmp_path):
    levels, truth = maps["a"]
    people = np.empty(3, dtype=object)
    marked = [truth, np.roll(truth, 1, axis=0), np.zeros_like(truth)]
    for i, boundary in enumerate(marked):
        people[i] = {"Segmentation": np.ones(truth.shape), "Boundaries": boundary.astype(np.uint8)}
    for folder in ("p", "t"):
        (tmp_path / folder).mkdir()
    savemat(tmp_path / "t" / "a.mat", {"groundTruth": people})
    Image.fromarray(levels).save(tmp_path / "p" / "a.png")
    assert np.array_equal(read_truth(tmp_path / "t" / "a.mat"), np.stack(marked))
    report = boundary_eval(tmp_path / "p", tmp_path / "t", max_dist=0.03)
    assert report["annotators"] == [3, 3]
    metric = BoundaryF(0.03)
    target = torch.from_numpy(np.stack(marked).astype(np.int64))[None]
    metric.update(torch.from_numpy(levels / 255)[None, None], target)
    assert report["scores"] == metric.compute()


def test_command_writes_report_and_plot(maps, folders, tmp_path, capsys):
    Image.fromarray(maps["a"][0]).save(folders[0] / "more.png")
    out = tmp_path / "reports" / "mine.json"
    main(["boundary-eval", *map(str, folders), "--max-dist", "0.02", "--out", str(out)])
    said = capsys.readouterr().out
    scores = _scores(maps)
    assert f"ODS {scores['odsF']:.4f}" in said
    assert "1 predictions have no ground truth" in said
    assert json.loads(out.read_text())["scores"] == scores
    with Image.open(out.with_suffix(".png")) as plot:
        assert min(plot.size) > 500


@pytest.mark.parametrize("out", ["mine.png", ".", "p/a.png/mine.json"])
def test_a_report_that_cannot_be_written_is_known_before_the_work(
    folders, tmp_path, out, monkeypatch, capsys
):
    monkeypatch.setattr("pamm.boundary_eval.boundary_eval", lambda *_, **__: pytest.fail("worked"))
    with pytest.raises(SystemExit) as end:
        main(["boundary-eval", *map(str, folders), "--out", str(tmp_path / out)])
    assert end.value.code == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("pamm: ")]
    assert "--out" in line


def test_scores_are_printed_where_the_report_cannot_be_written(
    folders, tmp_path, monkeypatch, capsys
):
    def full(path: Path, _text: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("pamm.boundary_eval.write_text", full)
    with pytest.raises(SystemExit) as end:
        main(["boundary-eval", *map(str, folders), "--out", str(tmp_path / "mine.json")])
    assert end.value.code == 2
    assert "ODS " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda p, t: (p / "b.png").unlink(), r"lacks 1 of the 3 images .* such as 'b'"),
        (lambda p, t: (p / "b.png").write_bytes(b"\x89PNG"), "b.png' is not an image in a format"),
        (lambda p, t: np.save(p / "b.npy", np.zeros((3, 3))), "both .*b.npy' and .*b.png'"),
        (lambda p, t: _instead(p, np.full((48, 36), 2.5)), "values from 2.5 to 2.5; want prob"),
        (lambda p, t: _instead(p, np.full((48, 36), np.nan)), "values from nan to nan; want prob"),
        (lambda p, t: _instead(p, np.zeros((48, 35))), "is 48x35 pixels, its ground truth .*48x36"),
        (lambda p, t: _instead(p, np.zeros((2, 48, 36))), r"holds b.npy \(2, 48, 36\); want one"),
        (lambda p, t: (p / "b.png").rename(p / "b.mat"), "b.mat': damaged, or no MATLAB file"),
        (
            lambda p, t: (
                savemat((t / "b.png").with_suffix(".mat"), {"groundTruth": np.eye(3)})
                or (t / "b.png").unlink()
            ),
            "not as in the Berkeley Segmentation Data Set",
        ),
        (lambda p, t: [f.unlink() for f in t.iterdir()], "holds no .png, .npy, .mat file"),
    ],
)
def test_mistakes_are_one_line(break_it, message, folders):
    break_it(*folders)
    with pytest.raises(PammError, match=message) as caught:
        boundary_eval(*folders, max_dist=0.02)
    assert "\n" not in str(caught.value)


def _instead(folder, array):
    (folder / "b.png").unlink()
    np.save(folder / "b.npy", array)


def test_command_line_mistakes(folders, tmp_path, capsys):
    for arguments in (
        [str(tmp_path / "nowhere"), str(folders[1])],
        [*map(str, folders), "--max-dist", "7"],
    ):
        with pytest.raises(SystemExit) as stop:
            main(["boundary-eval", *arguments])
        assert stop.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1
