"""From image files to folders of files: what is written, and one line for every odd path."""

import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fake_network import CHANNELS, Fake, photo, write_huge_png
from pamm.errors import PammError
from pamm.evaluation.boundary_maps import boundary_eval
from pamm.pictures.images import read_image
from pamm.predict_files import predict_files
from pamm.predict_files import run as module
from pamm.predict_files.outputs import inside, shown
from pamm.prediction import Look, predict
from pamm.predictor import Predictor
from pamm.tasks import Depth, Semseg


@pytest.fixture
def model() -> Fake:
    return Fake()


def assert_nearly(written: Any, arrays: dict[str, np.ndarray]) -> None:
    """Classes are what they were; fractions have 16 bits."""
    assert set(written) == set(arrays)
    for name, array in arrays.items():
        assert written[name].dtype == (np.uint8 if array.dtype == np.uint8 else np.float16)
        np.testing.assert_allclose(written[name], array, rtol=5e-4, atol=5e-4)


def test_files_get_a_picture_an_array_and_an_overview(model: Fake, tmp_path: Path) -> None:
    Image.fromarray(photo(37, 61)).save(tmp_path / "small.png")
    lines: list[str] = []
    failed = predict_files(model, [tmp_path / "small.png"], tmp_path / "out", report=lines.append)
    assert failed == 0
    folder = tmp_path / "out" / "small"
    names = [f"{task}.png" for task in CHANNELS]
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [*names, "arrays.npz", "overview.png", "summary.json"]
    )
    assert_nearly(np.load(folder / "arrays.npz"), predict(model, photo(37, 61)))
    assert read_image(folder / "depth.png").shape == (37, 61, 3)
    assert read_image(folder / "overview.png").shape[1] > 600
    assert len(lines) == 1
    assert lines[0].startswith("[1/1] ")
    assert "(61x37)" in lines[0]
    assert str(folder) in lines[0]


def test_images_of_one_stem_do_not_overwrite_each_other(model: Fake, tmp_path: Path) -> None:
    paths = []
    for seed, name in enumerate(["a/x.png", "b/x.png", "b/x.bmp", "b/x-2.png", "b/X.png"]):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(photo(5, 6, seed)).save(path)
        paths.append(path)
    lines: list[str] = []
    assert predict_files(model, [*paths, paths[0]], tmp_path / "out", report=lines.append) == 0
    folders = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert folders == ["X-4", "x", "x-2", "x-2-2", "x-3"]
    for seed, name in enumerate(["x", "x-2", "x-3", "x-2-2", "X-4"]):
        written = np.load(tmp_path / "out" / name / "arrays.npz")
        assert_nearly(written, predict(model, photo(5, 6, seed)))
    assert len(lines) == 5


def test_bad_files_cost_a_line_each_and_the_others_are_done(model: Fake, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    Image.fromarray(photo(64, 64)).save(tmp_path / "good.png")
    whole = (tmp_path / "good.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "nothing").mkdir()
    names = ["text.jpg", "nothing", "cut.png", "missing.png", "good.png"]
    lines: list[str] = []
    paths = [tmp_path / name for name in names]
    assert predict_files(model, paths, tmp_path / "out", report=lines.append) == 4
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["good"]
    assert len(lines) == 5
    assert all("\n" not in line for line in lines)
    for name in names:
        assert sum(name in line for line in lines) == 1
    assert sum("failed" in line for line in lines) == 4


def test_mistakes_that_hit_all_images_are_raised_at_once(model: Fake, tmp_path: Path) -> None:
    with pytest.raises(PammError, match="unknown task"):
        predict_files(model, [], tmp_path, tasks=["dept"])
    with pytest.raises(PammError, match="max_side"):
        predict_files(model, [], tmp_path, look=Look(max_side=-1))


def test_what_is_saved_can_be_chosen(model: Fake, tmp_path: Path) -> None:
    Image.fromarray(photo(30, 20)).save(tmp_path / "a.png")

    def written(*save: Any) -> list[str]:
        out = tmp_path / "-".join(save)
        predict_files(
            model, [tmp_path / "a.png"], out, tasks=["depth", "semseg"], save=save, report=str
        )
        return sorted(p.name for p in (out / "a").iterdir())

    assert written("png") == ["depth.png", "semseg.png"]
    assert written("npz") == ["arrays.npz"]
    assert written("overview") == ["overview.png"]
    assert written("overlay") == ["depth.overlay.png", "semseg.overlay.png"]
    assert written("npy", "npz") == ["arrays.npz", "depth.npy", "semseg.npy"]
    exact = predict(model, photo(30, 20), tasks=["depth", "semseg"])
    for name, array in exact.items():
        np.testing.assert_array_equal(np.load(tmp_path / "npy-npz" / "a" / f"{name}.npy"), array)
    assert_nearly(np.load(tmp_path / "npy-npz" / "a" / "arrays.npz"), exact)
    over = read_image(tmp_path / "overlay" / "a" / "semseg.overlay.png").astype(int)
    picture = read_image(tmp_path / "png" / "a" / "semseg.png").astype(int)
    assert np.abs(2 * over - picture - photo(30, 20)).max() <= 1
    with pytest.raises(PammError, match="unknown output 'pgn': did you mean 'png'"):
        written("pgn")
    with pytest.raises(PammError, match="save: got nothing"):
        written()


def test_numbers_that_16_bits_do_not_hold_keep_32(model: Fake, tmp_path: Path) -> None:
    model = Fake({"depth": 1})
    with torch.no_grad():
        model.heads["depth"].bias.fill_(70_000)
    Image.fromarray(photo(6, 5)).save(tmp_path / "a.png")
    predict_files(model, [tmp_path / "a.png"], tmp_path / "out", report=str)
    written = np.load(tmp_path / "out" / "a" / "arrays.npz")["depth"]
    assert written.dtype == np.float32
    np.testing.assert_array_equal(written, predict(model, photo(6, 5))["depth"])


def test_a_large_image_takes_a_few_bytes_a_pixel(model: Fake, tmp_path: Path) -> None:
    """Of what NumPy allocates: the image, the array and the picture of one task at a time."""
    model = Predictor(model, image_size=(32, 32))
    Image.fromarray(photo(3000, 2000)).save(tmp_path / "a.png")
    tracemalloc.start()
    try:
        assert predict_files(model, [tmp_path / "a.png"], tmp_path / "out", report=str) == 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6_000_000 * 24


@pytest.mark.parametrize(
    "name",
    [
        "./...jpg",
        "..hidden.jpg",
        "a b.jpg",
        "a\nb.jpg",
        "\x1b[31m.jpg",
        "x" * 251 + ".jpg",
        "..jpg",
    ],
)
def test_whatever_an_image_is_called_it_is_written_under_out(
    model: Fake, tmp_path: Path, name: str
) -> None:
    place = tmp_path / "images" / name
    place.parent.mkdir()
    Image.fromarray(photo(8, 8)).save(place, format="PNG")
    out, lines = tmp_path / "results" / "out", []
    assert predict_files(model, [place], out, save=["npz"], report=lines.append) == 0
    assert [p.name for p in (tmp_path / "results").iterdir()] == ["out"]
    (folder,) = out.iterdir()
    assert [p.name for p in folder.iterdir()] == ["arrays.npz"]
    assert len(lines) == 1
    assert lines[0].isprintable()


def test_names_of_files_that_are_not_text_are_done_and_shown_escaped(
    model: Fake, tmp_path: Path
) -> None:
    broken = os.fsencode(tmp_path) + b"/caf\xe9.png"
    try:
        with open(broken, "wb") as file:
            Image.fromarray(photo(8, 8)).save(file, format="PNG")
    except OSError:
        pytest.skip("this disk has names in Unicode only")
    Image.fromarray(photo(8, 8)).save(tmp_path / "next.png")
    lines: list[str] = []
    assert predict_files(model, [tmp_path], tmp_path / "out", report=lines.append) == 0
    assert len(lines) == 2
    assert "caf\\udce9.png" in lines[0]
    for line in lines:
        line.encode("ascii")
    assert sorted(os.listdir(os.fsencode(tmp_path / "out"))) == [b"caf\xe9", b"next"]


def test_every_odd_path_is_a_line_and_the_rest_is_done(
    model: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(photo(8, 8)).save(tmp_path / "good.png")
    monkeypatch.chdir(tmp_path)
    locked = tmp_path / "locked"
    locked.mkdir()
    real = Path.iterdir

    def iterdir(self: Path) -> Any:
        if self == locked:
            raise PermissionError(13, "Permission denied")
        return real(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)  # a superuser may read everything
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "round.png").symlink_to(tmp_path / "round.png")
    write_huge_png(tmp_path / "huge.png", 13000, 13000)
    (tmp_path / "phone.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    said = {
        locked: "cannot be read: Permission denied",
        "": "'' names no image",
        "n" * 300 + ".jpg": "File name too long",
        "no\nthing.jpg": "no such file",
        "nul\0.jpg": "null",
        "pipe.png": "is a pipe, a socket or a device",
        "round.png": "symbolic links",
        "huge.png": "13000x13000 pixels: more than 134 million",
        "phone.jpg": "is a HEIC photograph",
        "good.png": "(8x8)",
    }
    lines: list[str] = []
    failed = predict_files(model, list(said), tmp_path / "out", report=lines.append)
    assert failed == len(said) - 1
    assert len(lines) == len(said)
    for text in said.values():
        assert sum(text in line for line in lines) == 1, text
    assert all(line.isprintable() for line in lines)
    assert os.listdir(tmp_path / "out") == ["good"]


def test_photographs_that_are_not_read_are_not_left_out_in_silence(
    model: Fake, tmp_path: Path
) -> None:
    (tmp_path / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypmif1" + bytes(100))
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    lines: list[str] = []
    assert predict_files(model, [tmp_path], tmp_path / "out", report=lines.append) == 2
    assert "no such file" in lines[0]
    assert "HEIC photograph" in lines[1]


@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "Input/output error")])
def test_what_happens_to_one_image_does_not_end_the_others(
    model: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(photo(8, 8)).save(tmp_path / name)
    real = module.read_image

    def read(path: Path) -> Any:
        if path.name == "a.png":
            raise error
        return real(path)

    monkeypatch.setattr(module, "read_image", read)
    lines: list[str] = []
    assert predict_files(model, [tmp_path], tmp_path / "out", report=lines.append) == 1
    assert "failed" in lines[0]
    assert os.listdir(tmp_path / "out") == ["b"]


@pytest.mark.parametrize("name", ["../up", "/absolute", "a/b", "..", "", "nul\0"])
def test_a_task_that_is_named_like_a_path_writes_nothing(tmp_path: Path, name: str) -> None:
    model = Fake({"depth": 1})
    tasks = {name: Depth()}
    model.forward = lambda image: {name: image[:, :1]}  # type: ignore[method-assign]
    Image.fromarray(photo(8, 8)).save(tmp_path / "a.png")
    before = sorted(tmp_path.rglob("*"))
    lines: list[str] = []
    out = tmp_path / "results" / "out"
    assert predict_files(model, [tmp_path / "a.png"], out, tasks=tasks, report=lines.append) == 1
    assert "cannot write" in lines[0]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path)
    with pytest.raises(PammError, match="is not in"):
        inside(tmp_path / "out", "a")
    assert inside(tmp_path / "out", "b") == tmp_path / "out" / "b"
    assert inside(tmp_path / "new" / "folder", "b").parent == tmp_path / "new" / "folder"


def test_no_name_is_not_the_current_folder(model: Fake, tmp_path: Path) -> None:
    with pytest.raises(PammError, match="'' names no folder"):
        predict_files(model, [], "")


def test_what_an_earlier_call_left_is_named(model, tmp_path) -> None:
    Image.new("RGB", (9, 7)).save(tmp_path / "a.png")
    lines: list[str] = []
    for save in (["png", "npz"], ["overview"]):
        predict_files(model, [tmp_path / "a.png"], tmp_path / "o", save=save, report=lines.append)
    assert "from before" not in lines[0]
    left = ["arrays.npz", *sorted(f"{name}.png" for name in CHANNELS)]
    assert lines[1].endswith(f"; there from before: {', '.join(left)}")


def test_a_folder_that_cannot_be_written_to_is_noticed_before_the_work(model, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    lines: list[str] = []
    with pytest.raises(PammError, match="file.*is not a folder that may be written to; choose"):
        predict_files(model, [tmp_path], tmp_path / "file" / "out", report=lines.append)
    assert lines == []


def test_a_path_is_shown_on_one_line() -> None:
    assert shown(Path("straße/道.png")) == "straße/道.png"
    assert shown(Path("a\nb\udce9.png")) == "a\\nb\\udce9.png"


def test_names_of_classes_in_any_script_are_drawn(tmp_path: Path) -> None:
    names = ("route", "é", "道路", "$x^{", "[/b]")
    model, tasks = Fake({"semseg": 5}), {"semseg": Semseg(channels=5, class_names=names)}
    Image.fromarray(photo(40, 40)).save(tmp_path / "a.png")
    lines: list[str] = []
    assert (
        predict_files(
            model, [tmp_path / "a.png"], tmp_path / "out", tasks=tasks, report=lines.append
        )
        == 0
    ), lines


def test_the_boundaries_that_it_writes_can_be_scored(model: Fake, tmp_path: Path) -> None:
    (tmp_path / "truths").mkdir()
    Image.fromarray(photo(40, 50)).save(tmp_path / "a.png")
    truth = (np.arange(50) == 20) * np.ones((40, 1))
    np.save(tmp_path / "truths" / "a.npy", truth)
    scores = {}
    for save in ("npy", "png"):
        out = tmp_path / save
        predict_files(model, [tmp_path / "a.png"], out, save=[save], report=str)
        scores[save] = boundary_eval(out, tmp_path / "truths")["scores"]["odsF"]
    assert scores["png"] == pytest.approx(scores["npy"], abs=0.1)
