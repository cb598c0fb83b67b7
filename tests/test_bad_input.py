"""Damaged files and wrong values, made by machine: each costs one clear message, never a traceback.

Every file that a command reads is damaged in every way of `DAMAGES`, every value of a run's
experiment.json, of a model's config.json and of a pamm.toml is replaced by every value of `WRONG`.
A command may take what it is given or refuse it; it must not crash, hang, or lose what it has been
given to keep.
"""

import faulthandler
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pamm.cli import main

SECONDS = 120  # after which a command counts as hanging

TINY = [
    "--model.backbone", "test_resnet", "--model.pretrained", "False",
    "--model.d-model", "16", "--model.d-state", "2",
    "--data.size", "24", "32", "--data.train-count", "2", "--data.val-count", "1",
    "--data.workers", "0", "--train.batch-size", "2",
]  # fmt: skip


def upside_down(content: bytes) -> bytes:
    return content[::-1]


def flipped(content: bytes) -> bytes:
    """One bit in every hundredth byte."""
    return bytes(b ^ (1 << i % 8) if i % 100 == 50 else b for i, b in enumerate(content))


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "last byte": lambda content: content[:-1],
    "twice": lambda content: content + content,
    "zeros": lambda content: bytes(len(content)),
    "text": lambda content: b"this is a text, and nothing else\n",
    "UTF-16": lambda content: "\ufeff{}".encode("utf-16"),
    "upside down": upside_down,
    "flipped bits": flipped,
    "length of the future": lambda content: b"\xff" * 8 + content[8:],
    "null in front": lambda content: b"\0" + content,
}

WRONG: dict[str, Any] = {
    "null": None,
    "text": "x",
    "empty text": "",
    "minus": -1,
    "huge": 10**30,
    "fraction": 0.5,
    "infinity": float("inf"),
    "not a number": float("nan"),
    "list": [1],
    "table": {"a": 1},
    "yes": True,
}


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values in nested tables and lists."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from leaves(value, (*path, key))
    else:
        yield path


def replaced(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of the tree with another value at one place."""
    if not path:
        return value
    return {**tree, path[0]: replaced(tree[path[0]], path[1:], value)}


def answer(capfd: pytest.CaptureFixture[str], *arguments: str, codes: tuple[int, ...] = ()) -> str:
    """Run a command; "done", or what it says on standard error where it refuses."""
    capfd.readouterr()
    code: Any = 0
    faulthandler.dump_traceback_later(SECONDS, exit=True, file=sys.__stderr__)
    try:
        main(list(arguments))
    except SystemExit as exit_:
        code = exit_.code
    finally:
        faulthandler.cancel_dump_traceback_later()
    error = capfd.readouterr().err
    assert code in (0, 2, *codes), f"exit code {code}: {error}"
    assert "Traceback" not in error
    if code == 0:
        return "done"
    lines = [line for line in error.splitlines() if line.startswith("pamm: ")]
    assert lines or code != 2 or "╭" in error, f"no line of ours: {error}"  # or the options' box
    longest = 600 + max(map(len, arguments))
    assert all(len(line) < longest for line in lines), error
    return error


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with a report."""
    run = tmp_path_factory.mktemp("bad") / "run"
    main(["train", "synthetic-tiny", "--out", str(run), *TINY, "--train.steps", "2"])
    main(["evaluate", str(run)])
    return run


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)).save(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of the user's own: every kind of label file once."""
    folder = tmp_path_factory.mktemp("bad") / "mine"
    arguments = ["--layout", "folder", "--out", str(folder), "--size", "24", "32"]
    main(["data", "synthesize", *arguments, "--train", "2", "--val", "2"])
    return folder


def copy_of(place: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(place, tmp_path / "copy"))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_damaged_model(run, photo, tmp_path, capfd, name, damage):
    model = copy_of(run / "last-000002", tmp_path)
    file = model / name
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    said = answer(capfd, "predict", str(model), str(photo), "--out", str(tmp_path / "out"))
    assert said == "done" or str(model) in said or name in said


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["experiment.json", "metrics.jsonl", "training.pt"])
def test_a_damaged_run_that_is_to_go_on(run, tmp_path, capfd, name, damage):
    copy = copy_of(run, tmp_path)
    file = next(copy.rglob(name)) if name == "training.pt" else copy / name
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    arguments = ["--out", str(copy), "--resume", *TINY, "--train.steps", "2"]
    answer(capfd, "train", "synthetic-tiny", *arguments)
    assert (copy / "last-000002" / "model.safetensors").exists()  # nothing finished is lost


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_report(run, tmp_path, capfd, damage, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy = copy_of(run, tmp_path)
    file = next(copy.rglob("metrics.json"))
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    answer(capfd, "compare", str(copy), str(run), "--baseline", str(run))


def test_wrong_values_in_a_report(run, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy = copy_of(run, tmp_path)
    file = next(copy.rglob("metrics.json"))
    report = json.loads(file.read_text("utf-8"))
    for path in leaves(report):
        for value in WRONG.values():
            file.write_text(json.dumps(replaced(report, path, value)), "utf-8")
            answer(capfd, "compare", str(copy), "--published", "none")


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_values_in_an_experiment(run, tmp_path, capfd, wrong):
    given = json.loads((run / "experiment.json").read_text("utf-8"))
    for number, path in enumerate(leaves(given)):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(replaced(given, path, WRONG[wrong])), "utf-8")
        answer(capfd, "describe", str(file), "--size", "24", "32")


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_values_in_a_model(run, photo, tmp_path, capfd, wrong):
    model = copy_of(run / "last-000002", tmp_path)
    file = model / "config.json"
    given = json.loads(file.read_text("utf-8"))
    for path in leaves(given):
        file.write_text(json.dumps(replaced(given, path, WRONG[wrong])), "utf-8")
        out = tmp_path / "inside" / "out"
        answer(capfd, "predict", str(model), str(photo), "--out", str(out), "--tasks", "depth")
    assert {p.name for p in (tmp_path / "inside").glob("*")} <= {"out"}  # nothing beside it


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_labels_are_found(folder, tmp_path, capfd, damage):
    """Each kind of file of the data set, damaged one at a time."""
    copy = copy_of(folder, tmp_path)
    kinds = {(p.parent.name, p.suffix): p for p in sorted(copy.rglob("*")) if p.is_file()}
    assert len(kinds) > 6
    for file in kinds.values():
        content = file.read_bytes()
        file.write_bytes(DAMAGES[damage](content))
        answer(capfd, "data", "verify", "folder", str(copy), codes=(1,))
        file.write_bytes(content)


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_values_in_a_description(folder, tmp_path, capfd, wrong):
    copy = copy_of(folder, tmp_path)
    file = copy / "pamm.toml"
    lines = file.read_text("utf-8").splitlines()
    written = json.dumps(WRONG[wrong]) if WRONG[wrong] is not None else "nothing"
    written = {"Infinity": "inf", "NaN": "nan", '{"a": 1}': "{a = 1}"}.get(written, written)
    for number, line in enumerate(lines):
        key, is_value, _ = line.partition("=")
        if not is_value or line.lstrip().startswith("#"):
            continue
        changed = [*lines[:number], f"{key}= {written}", *lines[number + 1 :]]
        file.write_text("\n".join(changed), "utf-8")
        answer(capfd, "data", "verify", "folder", str(copy), codes=(1,))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("suffix", [".png", ".npy"])
@pytest.mark.parametrize("side", ["predictions", "truths"])
def test_damaged_boundary_maps(tmp_path, capfd, side, suffix, damage):
    values = np.zeros((20, 30), np.uint8)
    values[10] = 255
    for place, ending in (("predictions", suffix), ("truths", suffix)):
        (tmp_path / place).mkdir()
        for name in ("a", "b"):
            file = tmp_path / place / (name + ending)
            np.save(file, values / 255.0) if ending == ".npy" else Image.fromarray(values).save(
                file
            )
    file = tmp_path / side / f"b{suffix}"
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    out = tmp_path / "report.json"
    answer(
        capfd, "boundary-eval", str(tmp_path / "predictions"), str(tmp_path / "truths"),
        "--out", str(out),
    )  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_archive(folder, tmp_path, capfd, damage):
    archive = Path(shutil.make_archive(str(tmp_path / "data"), "gztar", folder.parent, "mine"))
    archive.write_bytes(DAMAGES[damage](archive.read_bytes()))
    out = tmp_path / "out"
    answer(capfd, "data", "prepare", "folder", str(archive), "--out", str(out), codes=(1,))


ODD_PATHS = {
    "empty": "",
    "a dot": ".",
    "the root": os.sep,
    "a null device": os.devnull,
    "of 300 characters": "x" * 300,
    "of 5000 characters": "x" * 5000,
    "with a line break": "a\nb.png",
    "with markup": "[bold]a[/bold].png",
    "with a formula": "$a^{b$.png",
    "with a percent sign": "%s%d%n.png",
    "with a zero": "a\0b.png",
    "of another language": "道路/é.png",
    "a pattern": "*.png",
    "with a tilde": "~nobody/a.png",
    "not UTF-8": os.fsdecode(b"\xff\xfe.png"),
    "an address": "http://localhost:1/a.png",
}


@pytest.mark.parametrize("odd", ODD_PATHS)
def test_odd_paths(run, photo, tmp_path, capfd, odd, monkeypatch):
    """Where any command takes a path; what is not odd in the same command is still done."""
    monkeypatch.chdir(tmp_path)
    path = ODD_PATHS[odd]
    answer(capfd, "predict", str(run), path, str(photo), "--out", str(tmp_path / "good"))
    assert (tmp_path / "good" / "photo" / "overview.png").exists()
    answer(capfd, "predict", path, str(photo), "--out", "model")
    answer(capfd, "evaluate", path)
    answer(capfd, "compare", path, "--out", "a.md")
    answer(capfd, "boundary-eval", path, path, "--out", "b.json")
    answer(capfd, "data", "verify", "folder", path, codes=(1,))
    answer(capfd, "data", "prepare", "nyud", path, "--out", "data", codes=(1,))
    answer(capfd, "describe", path)
    answer(capfd, "train", "synthetic-tiny", "--data.name", "folder", "--data.root", path)
