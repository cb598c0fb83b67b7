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

from pamm.cli import main
from pamm.errors import PammError
from pamm.evaluation.boundary_maps import boundary_eval, read_probability, read_truth
from pamm.metrics import BoundaryF
from pamm.metrics.boundary_forms import FORMS
from pamm.metrics.edges import outlines

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


def _scores(maps, form="seism", max_dist=0.02):
    metric = BoundaryF(max_dist, form=FORMS[form])
    for levels, truth in maps.values():
        lines = outlines(truth) if FORMS[form].outline_truth else truth
        metric.update(
            torch.from_numpy(levels / 255)[None, None],
            torch.from_numpy(lines.astype(np.int64))[None, None],
        )
    return metric.compute()


@pytest.mark.parametrize("form", FORMS)
def test_scores_are_those_of_the_metric_in_every_form(maps, folders, form):
    report = boundary_eval(*folders, max_dist=0.02, form=form)
    assert report["scores"] == _scores(maps, form)
    assert report["images"] == 3
    assert report["annotators"] == [1, 1]
    assert report["protocol"]["max_dist"] == 0.02
    assert report["protocol"]["form"] == form
    assert len(report["curve"]["precision"]) == (101 if form.startswith("seism") else 99)


def test_the_form_is_that_of_published_tables_unless_named(folders):
    expected = boundary_eval(*folders, form="seism")
    assert boundary_eval(*folders)["scores"] == expected["scores"]
    assert boundary_eval(*folders)["protocol"]["form"] == "seism"


def test_thresholds_by_number(folders):
    report = boundary_eval(*folders, max_dist=0.02, form="thin", thresholds=4)
    assert report["curve"]["threshold"] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert report["protocol"]["thresholds"] == 4
    with pytest.raises(PammError, match="thresholds: got 0, want 1 to 1000"):
        boundary_eval(*folders, thresholds=0)


def test_some_images_by_a_list(maps, folders, tmp_path):
    (tmp_path / "some.txt").write_text("c\na\n")
    (folders[0] / "b.png").unlink()  # not asked for
    report = boundary_eval(*folders, max_dist=0.02, images=tmp_path / "some.txt")
    assert report["scores"] == _scores({name: maps[name] for name in "ac"})
    assert report["images"] == 2
    assert report["protocol"]["images"]["list"] == "some.txt"
    assert report["protocol"]["images"]["count"] == 2
    (tmp_path / "some.txt").write_text("c\nd\n")
    with pytest.raises(PammError, match="1 of 2 ids are not among the 3 images .* such as 'd'"):
        boundary_eval(*folders, images=tmp_path / "some.txt")


def test_contour_maps_on_the_grid_between_pixels(maps, folders, tmp_path):
    """Of (2H + 1, 2W + 1): every second row and column, from the third on."""
    (tmp_path / "ucm").mkdir()
    for name, (levels, _) in maps.items():
        grid = np.random.default_rng(1).random([2 * side + 1 for side in levels.shape])
        grid[2::2, 2::2] = levels / 255
        savemat(tmp_path / "ucm" / f"{name}.mat", {"ucm2": grid})
    expected = boundary_eval(*folders, form="thin")["scores"]
    assert boundary_eval(tmp_path / "ucm", folders[1], form="thin")["scores"] == expected


@pytest.mark.parametrize("form", ["seism", "hed"])
def test_the_truth_of_a_form(form, tmp_path):
    rng = np.random.default_rng(2)
    labels = np.kron(rng.integers(1, 5, (5, 6)), np.ones((7, 8))).astype(np.uint16)
    lines = thin(ndimage.laplace(labels.astype(int)) != 0)
    people = np.empty(2, dtype=object)
    for i in range(2):
        people[i] = {"Segmentation": np.roll(labels, i), "Boundaries": lines.astype(np.uint8)}
    savemat(tmp_path / "bsds.mat", {"groundTruth": people})
    savemat(tmp_path / "pascal.mat", {"LabelMap": labels})
    Image.fromarray(lines.astype(np.uint8) * 255).save(tmp_path / "nyud.png")
    bsds, pascal, nyud = (
        read_truth(tmp_path / name, FORMS[form]) for name in ("bsds.mat", "pascal.mat", "nyud.png")
    )
    if form == "seism":
        assert np.array_equal(bsds, [outlines(labels), outlines(np.roll(labels, 1))])
        assert np.array_equal(pascal, [outlines(labels)])
        assert np.array_equal(nyud, [outlines(lines)])
    else:
        assert np.array_equal(bsds, [lines, lines])
        assert pascal.all()
        assert np.array_equal(nyud, [lines])


@pytest.mark.parametrize("spelling", ["PNG", "Npy", "NPZ", "MAT"])
def test_other_spellings_of_endings(maps, folders, tmp_path, spelling):
    expected = boundary_eval(*folders, max_dist=0.02)["scores"]
    for k, folder in enumerate(("p2", "t2")):
        (tmp_path / folder).mkdir()
        for name, arrays in maps.items():
            path, array = tmp_path / folder / f"{name}.{spelling}", arrays[k].astype(np.uint8)
            with open(path, "wb") as file:
                if spelling == "PNG":
                    Image.fromarray(array * (1 if k == 0 else 255)).save(file, format="PNG")
                elif spelling == "Npy":
                    np.save(file, array)
                elif spelling == "NPZ":
                    np.savez_compressed(file, boundary=array)
                else:
                    savemat(file, {"boundary": array})
    assert boundary_eval(tmp_path / "p2", tmp_path / "t2", max_dist=0.02)["scores"] == expected


def test_pictures_of_grey_in_colour(maps, folders):
    """Equal red, green and blue, opaque, or a palette of greys: all the same map."""
    expected = boundary_eval(*folders, max_dist=0.02)["scores"]
    for folder in folders:
        a, b, c = (folder / f"{name}.png" for name in NAMES)
        Image.open(a).convert("RGB").save(a)
        Image.open(b).convert("RGBA").save(b)
        Image.open(c).convert("LA").save(c)
    assert boundary_eval(*folders, max_dist=0.02)["scores"] == expected
    turned = Image.fromarray(255 - maps["a"][0])
    turned.putpalette([255 - level for level in range(256) for _ in range(3)])
    turned.save(folders[0] / "a.png")
    assert boundary_eval(*folders, max_dist=0.02)["scores"] == expected


def _coloured(folder):
    grey = np.asarray(Image.open(folder / "b.png").convert("L"))
    picture = np.stack([0 * grey, grey, grey], axis=-1)
    Image.fromarray(picture).save(folder / "b.png")


def _transparent(folder):
    grey = np.asarray(Image.open(folder / "b.png").convert("L"))
    Image.fromarray(np.stack([0 * grey, 0 * grey, 0 * grey, grey], -1)).save(folder / "b.png")


def _palette(folder):
    picture = Image.open(folder / "b.png").convert("L")
    picture.putpalette([value for level in range(256) for value in (level, 0, 255 - level)])
    picture.save(folder / "b.png")


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
    expected = boundary_eval(*folders, max_dist=0.02, form="hed")["scores"]
    assert boundary_eval(predictions, truths, max_dist=0.02, form="hed")["scores"] == expected


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
    assert np.array_equal(read_truth(tmp_path / "t" / "a.mat", FORMS["hed"]), np.stack(marked))
    report = boundary_eval(tmp_path / "p", tmp_path / "t", max_dist=0.03, form="hed")
    assert report["annotators"] == [3, 3]
    metric = BoundaryF(0.03, form=FORMS["hed"])
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
    assert "form seism: cut off to 8 bits" in said
    assert "not used, as without ground truth: 1 prediction\n" in said
    assert json.loads(out.read_text())["scores"] == scores
    with Image.open(out.with_suffix(".png")) as plot:
        assert min(plot.size) > 500


@pytest.mark.parametrize("out", ["mine.png", "mine.csv", ".", "p/a.png/mine.json"])
def test_a_report_that_cannot_be_written_is_known_before_the_work(
    folders, tmp_path, out, monkeypatch, capsys
):
    monkeypatch.setattr(
        "pamm.evaluation.boundary_maps.boundary_eval", lambda *_, **__: pytest.fail("worked")
    )
    with pytest.raises(SystemExit) as end:
        main(["boundary-eval", *map(str, folders), "--out", str(tmp_path / out)])
    assert end.value.code == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("pamm: ")]
    assert "--out" in line


def test_what_a_list_leaves_out_is_not_said_to_lack_a_truth(folders, tmp_path, capsys):
    names = sorted(path.stem for path in folders[1].iterdir())
    (tmp_path / "list.txt").write_text(names[0] + "\n")
    images, out = ["--list", str(tmp_path / "list.txt")], ["--out", str(tmp_path / "mine.json")]
    main(["boundary-eval", *map(str, folders), "--max-dist", "0.02", *images, *out])
    rest = f"not used, as not in the list or without ground truth: {len(names) - 1} predictions"
    assert rest in capsys.readouterr().out


def test_scores_are_printed_where_the_report_cannot_be_written(
    folders, tmp_path, monkeypatch, capsys
):
    def full(path: Path, _text: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("pamm.evaluation.boundary_maps.write_text", full)
    with pytest.raises(SystemExit) as end:
        main(["boundary-eval", *map(str, folders), "--out", str(tmp_path / "mine.json")])
    assert end.value.code == 2
    assert "ODS " in capsys.readouterr().out


def test_the_command_says_why_nothing_matches(tmp_path, capsys):
    for folder, column in (("p", 10), ("t", 30)):
        lines = np.zeros((40, 50), np.uint8)
        lines[:, column] = 255
        (tmp_path / folder).mkdir()
        Image.fromarray(lines).save(tmp_path / folder / "a.png")
    out = tmp_path / "report.json"
    main(["boundary-eval", str(tmp_path / "p"), str(tmp_path / "t"), "--out", str(out)])
    assert "nothing lies near enough to a boundary" in capsys.readouterr().out
    assert json.loads(out.read_text())["scores"]["odsF"] == 0


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
        (lambda p, t: [f.unlink() for f in t.iterdir()], "holds no .png, .npy, .npz, .mat file"),
        (lambda p, t: _coloured(p), "p/b.png' is coloured; want grey"),
        (lambda p, t: _coloured(t), "t/b.png' is coloured; want grey"),
        (lambda p, t: _palette(p), "p/b.png' is coloured; want grey"),
        (lambda p, t: _transparent(p), "p/b.png' is transparent in places"),
        (lambda p, t: _transparent(t), "t/b.png' is transparent in places"),
        (lambda p, t: _instead(t, np.full((48, 36), np.nan)), "b.npy' holds values that are not"),
        (lambda p, t: (p / "b.png").rename(p / "b.npz"), "b.npz': "),
        (lambda p, t: _people(t, np.zeros((48, 36, 3))), "not as in the Berkeley"),
        (lambda p, t: _people(t, "words"), "not as in the Berkeley"),
        (lambda p, t: _people(t, np.zeros((48, 36)), np.zeros((36, 48))), "not as in the Berkeley"),
        (lambda p, t: _people(t), "not as in the Berkeley"),
        (
            lambda p, t: (p / "b.png").unlink() or (p / "b.npz").write_bytes(b"\x93NUMPY"),
            "b.npz': File is not a zip file",
        ),
        (lambda p, t: _all(p, lambda a: a // 255), r"no map of .*p' has a boundary of 0.001 or"),
        (lambda p, t: _all(t, lambda a: 0 * a), r"no file of .*t' has a boundary; want lines"),
        (
            lambda p, t: [f.rename(f.with_stem(f"{f.stem}_x")) for f in p.iterdir()],
            r"lacks 3 of the 3 images .* such as 'a'; want <id>.png or",
        ),
    ],
)
def test_mistakes_are_one_line(break_it, message, folders):
    break_it(*folders)
    with pytest.raises(PammError, match=message) as caught:
        boundary_eval(*folders, max_dist=0.02)
    assert "\n" not in str(caught.value)


def _people(folder, *marked):
    people = np.empty(len(marked), dtype=object)
    for i, boundaries in enumerate(marked):
        people[i] = {"Segmentation": boundaries, "Boundaries": boundaries}
    (folder / "b.png").unlink()
    savemat(folder / "b.mat", {"groundTruth": people})


def _all(folder, change):
    for path in folder.iterdir():
        Image.fromarray(change(np.asarray(Image.open(path)))).save(path)


def _instead(folder, array):
    (folder / "b.png").unlink()
    np.save(folder / "b.npy", array)


def test_command_line_mistakes(folders, tmp_path, capsys):
    for arguments in (
        [str(tmp_path / "nowhere"), str(folders[1])],
        [*map(str, folders), "--max-dist", "7"],
        [*map(str, folders), "--form", "heed"],
        [*map(str, folders), "--thresholds", "0"],
        [*map(str, folders), "--list", str(tmp_path / "nowhere.txt")],
    ):
        with pytest.raises(SystemExit) as stop:
            main(["boundary-eval", *arguments])
        assert stop.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1
