"""Files, folders, patterns and standard input; what was done before; several processes."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fake_network import Fake, photo
from pamm.checkpoint import save as save_model
from pamm.cli import main
from pamm.data import DataConfig
from pamm.model import BaselineConfig, build_model
from pamm.predict_files import predict_files
from pamm.predict_files.inputs import expand, names_images
from pamm.prediction import Look
from pamm.predictor import Predictor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, one of them in a folder inside, and a text."""
    images = tmp_path / "images"
    (images / "more").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.jpg", "more/c.png")):
        Image.fromarray(photo(12, 10 + i)).save(images / name)
    (images / "notes.txt").write_text("no image")
    return images


def names(*paths: str | Path) -> list[str]:
    return [path.name for path in expand(paths, print)[0]]


def test_patterns(folder, capsys):
    assert names(f"{folder}/*.png") == ["a.png"]
    assert names(f"{folder}/**/*.png") == ["a.png", "c.png"]
    assert names(f"{folder}/[ab].*", folder / "b.jpg") == ["a.png", "b.jpg"]
    assert capsys.readouterr().out == ""
    files, failed = expand([f"{folder}/*.tif"], print)
    assert (files, failed) == ([], 1)
    assert "no file or folder is called like this" in capsys.readouterr().out


def test_what_comes_first_on_the_command_line_is_a_model_or_an_image(folder, tmp_path, monkeypatch):
    """A folder of pictures is no model; a run is, even one that wrote pictures, or no model yet."""
    monkeypatch.chdir(tmp_path)
    run, fresh = tmp_path / "run", tmp_path / "fresh"
    (run / "last-000010").mkdir(parents=True)
    Image.fromarray(photo(5, 5)).save(run / "curve.png")
    fresh.mkdir()
    images = ["images", "images/a.png", "images/notes.txt", "images/*.png", "-", "no-such.JPG"]
    images += ["shots/clip.mp4", "owner/photo.heic", str(folder / "more")]
    assert [name for name in images if not names_images(name)] == []
    models = ["run", "fresh", "box", "box:rooms-small", "owner/name", "runs/demo", "", str(run)]
    assert [name for name in models if names_images(name)] == []


def test_a_file_that_is_named_like_a_pattern_is_a_file(folder):
    Image.fromarray(photo(5, 5)).save(folder / "[ab].png")
    assert names(folder / "[ab].png") == ["[ab].png"]


def test_paths_on_standard_input(folder, monkeypatch):
    lines = f"{folder / 'b.jpg'}\n\n{folder / 'more'}\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    assert names(folder / "a.png", "-") == ["a.png", "b.jpg", "c.png"]


def test_nothing_on_standard_input_is_no_success(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    lines: list[str] = []
    assert expand(["-"], lines.append) == ([], 1)
    assert "standard input names no file" in lines[0]


def times(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.rglob("overview.png")} | {
        str(path.parent.name): path.stat().st_mtime_ns for path in out.rglob("summary.json")
    }


def test_what_is_done_is_not_done_again(folder, tmp_path):
    out, lines = tmp_path / "out", []

    def run(**options: object) -> list[str]:
        lines.clear()
        options = {"made_by": "model 1", **options}
        predict_files(Fake(), [folder], out, report=lines.append, **options)
        return ["done before" if "done before" in line else "done" for line in lines]

    assert run() == ["done", "done"]
    assert run() == ["done before"] * 2
    assert run(made_by="model 2") == ["done", "done"]
    assert run(made_by="model 2", look=Look(max_side=8)) == ["done", "done"]
    assert run(made_by=None, look=Look(max_side=8)) == ["done", "done"]
    assert run(save=["summary", "png"]) == ["done", "done"]
    assert run(save=["summary", "png"]) == ["done before"] * 2
    Image.fromarray(photo(12, 30)).save(folder / "a.png")  # another image of the same name
    assert run(save=["summary", "png"]) == ["done", "done before"]
    (out / "b" / "depth.png").unlink()
    assert run(save=["summary", "png"]) == ["done before", "done"]
    everything = ["summary", "png", "mm", "legend", "ply"]
    assert run(save=everything) == ["done", "done"]
    assert run(save=everything) == ["done before"] * 2
    assert run(save=["summary", "png"]) == ["done", "done"]
    (out / "b" / "summary.json").write_text("{ damaged")
    assert run(save=["summary", "png"]) == ["done before", "done"]


def test_the_summary_comes_last(folder, tmp_path, monkeypatch):
    """An image whose writing was interrupted has none."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pamm.predict_files.outputs.panel", full)
    failed = predict_files(Fake(), [folder / "a.png"], tmp_path / "out", report=str, made_by="m")
    assert failed == 1
    assert not (tmp_path / "out" / "a" / "summary.json").exists()


def test_processes_share_the_images(folder, tmp_path):
    paths = [folder, folder / "more", folder / "missing.png"]
    lines: list[list[str]] = [[], []]
    failed = [
        predict_files(
            Fake(), paths, tmp_path / "out", rank=rank, world=2, report=lines[rank].append
        )
        for rank in (0, 1)
    ]
    assert sum(failed) == 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a", "b", "c"]
    assert [len(part) for part in lines] == [2, 2]


def test_images_of_one_stem_get_the_same_names_in_every_process(folder, tmp_path):
    (folder / "more" / "c.png").rename(folder / "more" / "a.png")
    paths = [folder, folder / "more"]
    predict_files(Fake(), paths, tmp_path / "one", report=str)
    for rank in range(3):
        predict_files(Fake(), paths, tmp_path / "three", rank=rank, world=3, report=str)
    for name in ("a", "b", "a-2"):
        one, three = (np.load(tmp_path / o / name / "arrays.npz") for o in ("one", "three"))
        np.testing.assert_array_equal(one["depth"], three["depth"])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    config = BaselineConfig(
        tasks={"depth": 1, "semseg": 5}, backbone="test_resnet", d_model=16, drop_path=0.0
    )
    predictor = Predictor(build_model(config), image_size=(24, 32), crop_size=(24, 32))
    return save_model(tmp_path / "run", "last", 1, predictor, data=DataConfig())


def test_two_processes_from_the_command_line(folder, run, tmp_path):
    command = [
        *(sys.executable, "-m", "pamm", "predict", str(run), str(folder), str(folder / "more")),
        *("--out", str(tmp_path / "two"), "--devices", "2", "--device", "cpu"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" -> ") == 3
    main(["predict", str(run), str(folder), str(folder / "more"), "--out", str(tmp_path / "one")])
    for name in ("a", "b", "c"):
        one, two = (np.load(tmp_path / o / name / "arrays.npz") for o in ("one", "two"))
        np.testing.assert_allclose(one["depth"], two["depth"], atol=1e-3)
        assert json.loads((tmp_path / "two" / name / "summary.json").read_text())["model"]


def test_an_image_that_fails_in_one_of_two_processes(folder, run, tmp_path):
    command = [
        *(sys.executable, "-m", "pamm", "predict", str(run), str(folder), "missing.png"),
        *("--out", str(tmp_path / "two"), "--devices", "2", "--device", "cpu"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.count("1 of the images or folders could not be used") == 1
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == ["a", "b"]
