"""The documents tell the truth: their code runs, their commands parse, what they name exists."""

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tyro
from PIL import Image

import pamm.checkpoint
from pamm import cli
from pamm.cli import tools
from pamm.data import DATASETS, DataConfig, Folder, dataset_type
from pamm.data.encodings import ENCODINGS
from pamm.model import PAMM
from pamm.prediction import MAX_SIDE
from pamm.predictor import Predictor
from pamm.presets import PRESETS, preset
from pamm.runtime.strict_json import to_json

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/architecture.md",
    "docs/data.md",
    "src/pamm/model/README.md",
)
SCALED_DOWN = {
    "backbone": "test_vit", "pretrained": False, "d_model": 16, "d_state": 2, "drop_path": 0.0,
}  # fmt: skip


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def blocks(name: str, language: str) -> list[str]:
    """The fenced code blocks of a document in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", read(name), re.MULTILINE | re.DOTALL)


def prose(name: str) -> str:
    """A document without its code blocks."""
    return re.sub(r"^```.*?^```$", "", read(name), flags=re.MULTILINE | re.DOTALL)


def commands(name: str, program: str) -> list[list[str]]:
    """The arguments of every line of the shell blocks that calls a program."""
    lines = [line for block in blocks(name, "sh") for line in block.splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    return [w[1:] for w in words if w[:1] == [program]]


def table_rows(text: str) -> list[list[str]]:
    """The cells of every row of every table."""
    rows = re.findall(r"^\|(.*)\|$", text, re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in rows]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the README takes for granted: a trained model and a photograph."""
    folder = tmp_path_factory.mktemp("workplace")
    experiment = preset("synthetic-tiny").experiment
    network = PAMM(replace(experiment.model, **SCALED_DOWN))
    model = Predictor(network, dataset_type("synthetic").TASKS)
    pamm.checkpoint.save(folder / "runs" / "demo", "last", 1, model, data=DataConfig())
    (folder / "runs" / "demo" / "experiment.json").write_text(json.dumps(to_json(experiment)))
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(picture).save(folder / "photo.jpg")
    return folder


def test_the_python_code_of_the_readme_runs(workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    first, second = blocks("README.md", "python")
    namespace: dict[str, Any] = {}
    exec(compile(first, "README.md", "exec"), namespace)

    maps = namespace["maps"]
    listed = {}
    for row in table_rows(read("README.md")):
        if found := re.fullmatch(r"`(\w+) \((.*)\)`", row[1]):
            listed[row[0].strip("`")] = (found[1], found[2])
    assert listed.keys() == maps.keys()
    for task, array in maps.items():
        dtype, axes = listed[task]
        assert array.dtype == dtype
        assert array.shape == tuple({"H": 48, "W": 64, "3": 3}[axis] for axis in axes.split(", "))

    capsys.readouterr()
    exec(compile(second, "README.md", "exec"), {})
    printed = capsys.readouterr().out.strip()
    assert second.strip().splitlines()[-1] == f"# {printed}"


@pytest.fixture
def parse(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], int]:
    """Run a command but for its work: names, presets, options, values are looked at; exit code."""
    real = tyro.cli

    def without_the_work(command: Any, **options: Any) -> None:
        real(command, **options)
        raise SystemExit(0)

    def run(arguments: list[str]) -> int:
        with pytest.raises(SystemExit) as exit_:
            cli.main(arguments)
        return int(exit_.value.code or 0)

    monkeypatch.setattr(tyro, "cli", without_the_work)
    monkeypatch.chdir(workplace)
    return run


@pytest.mark.parametrize("arguments", commands("README.md", "pamm"), ids=" ".join)
def test_the_commands_of_the_readme_parse(arguments, parse, capsys):
    assert parse(arguments) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        "train synthetic-tiny --model.scan-order zorder",
        "train synthetic-small --out runs/x",
        "train synthetic-tiny --train.steps many",
        "predict runs/demo photo.jpg --task depth",
        "evaluate runs/demo --checkpoint newest",
        "data make",
    ],
)
def test_a_wrong_command_would_be_noticed(wrong, parse):
    assert parse(wrong.split()) == 2


def test_the_readme_shows_every_command():
    shown = {arguments[0] for arguments in commands("README.md", "pamm")}
    assert shown == cli.COMMANDS.keys()
    shown = {a[1] for a in commands("README.md", "pamm") if a[0] == "data"}
    assert shown == tools.DATA_COMMANDS.keys()
    shown = {a[1] for a in commands("README.md", "pamm") if a[0] == "bench"}
    assert shown == tools.BENCH_COMMANDS.keys()


def test_the_commands_about_data_run(tmp_path, monkeypatch, capsys):
    """On fewer and smaller rooms; the model is scaled down."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAMM_CACHE", str(tmp_path / "cache"))
    scaled = {
        "--size": ["24", "32"], "--train": ["3"], "--val": ["2"], "--train.steps": ["2"],
    }  # fmt: skip
    small = ["--model.backbone", "test_vit", "--model.pretrained", "False"]
    small += ["--model.d-model", "16", "--data.workers", "0"]
    done = []
    for arguments in commands("docs/data.md", "pamm"):
        for option, values in scaled.items():
            if option in arguments:
                at = arguments.index(option) + 1
                arguments[at : at + len(values)] = values
        cli.main([*arguments, *(small if arguments[0] == "train" else [])])
        done.append(arguments[0])
    assert done == ["data", "data", "data", "train", "evaluate"]
    assert (tmp_path / "rooms.png").exists()
    assert "2 images of folder val" in capsys.readouterr().out


def test_the_example_of_a_description_is_one(tmp_path):
    example = blocks("docs/data.md", "toml")[-1]  # the others: tests/data/test_common_layouts.py
    (tmp_path / "pamm.toml").write_text(example)
    tasks = Folder.declared_tasks(tmp_path)
    assert {name: task.channels for name, task in tasks.items()} == {
        "semseg": 3, "materials": 12, "normals": 3, "boundary": 1, "depth": 1,
    }  # fmt: skip


def test_the_table_of_encodings_is_complete():
    listed = {
        row[0].strip("`"): row[3] for row in table_rows(read("docs/data.md")) if len(row) == 4
    }
    for kind, encoding in ENCODINGS.items():
        for field in dataclasses.fields(encoding):
            assert field.name == "resize" or f"`{field.name}" in listed[kind], (kind, field.name)


def test_options_in_the_text_exist(monkeypatch, capsys):
    known = ""
    programs = (
        "train synthetic-tiny, evaluate, compare, predict, pack, backbones, boundary-eval, "
        "describe, bench scan"
    )
    for program in (
        *map(str.split, programs.split(", ")),
        *(["data", name] for name in tools.DATA_COMMANDS),
    ):
        with pytest.raises(SystemExit):
            cli.main([*program, "--help"])
        known += capsys.readouterr().out
    for name in DOCUMENTS:
        for option in re.findall(r"`(--[\w.-]+)", prose(name)):
            assert option in known, f"{name}: {option}"


def test_defaults_in_the_text():
    assert f"or {MAX_SIDE} for a model that does not say" in read("README.md")


def test_every_data_set_is_documented():
    assert DATASETS.keys() <= {row[0].strip("`") for row in table_rows(read("docs/data.md"))}


def test_every_preset_is_in_the_readme():
    named = {row[0].strip("`") for row in table_rows(read("README.md"))}
    assert {name for name in PRESETS if not name.endswith("-baseline")} <= named


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_and_make_targets_exist(name):
    text = read(name)
    for target in re.findall(r"(?<!!)\[[^]]*\]\(((?!https?:)[^)#]+)\)", text):
        assert ((ROOT / name).parent / target).exists(), target
    targets = set(re.findall(r"^(\w[\w-]*):", read("Makefile"), re.MULTILINE))
    for line in re.findall(r"`make ([^`]+)`", text) + re.findall(r"^make (.*)$", text, re.M):
        for word in line.partition("#")[0].split():
            assert "=" in word or word in targets, f"make {line}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_source_files_that_are_named_exist(name):
    folders = ("src", "tests", "benchmarks")
    there = [path for folder in folders for path in (ROOT / folder).rglob("*.*")]
    for file in re.findall(r"`([\w./-]+\.(?:py|cpp|inc))\b", prose(name)):
        named = [path for path in there if path.as_posix().endswith(f"/{file}")]
        assert named or (ROOT / file).exists(), file


def test_the_architecture_names_every_room_and_the_import_order():
    text = read("docs/architecture.md")
    rooms = {row[0].strip("`") for row in table_rows(text)}
    for path in (ROOT / "src" / "pamm").iterdir():
        if path.suffix == ".py" and path.name != "__main__.py":
            assert f"pamm/{path.name}" in rooms
        elif path.is_dir() and (path / "__init__.py").exists():
            assert f"pamm/{path.name}/" in rooms
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    assert "\n".join(contracts[0]["layers"]) + "\n" in blocks("docs/architecture.md", "text")


def test_every_module_has_tests_where_the_map_says():
    rows = [row for row in table_rows(read("tests/README.md")) if row[0].startswith("`")]
    package, tests = ROOT / "src" / "pamm", ROOT / "tests"
    named = set()
    for modules, files in rows:
        for pattern in re.findall("`([^`]+)`", modules):
            found = set(package.glob(pattern))
            assert found, pattern
            named |= found
        for file in re.findall("`([^`]+)`", files):
            assert (tests / file).is_file(), file
    for path in package.rglob("*.py"):
        own = tests / path.relative_to(package).with_name(f"test_{path.name}")
        assert path.name.startswith("__") or own.is_file() or path in named, path


def test_the_tour_of_the_model_names_every_file():
    folder = ROOT / "src" / "pamm" / "model"
    text = (folder / "README.md").read_text("utf-8")
    for path in folder.rglob("*.py"):
        assert path.name == "__init__.py" or f"`{path.name}`" in text


def test_the_recipes_work(tmp_path):
    """CONTRIBUTING's recipes, applied to a copy of the project, leave its tests green: those that
    they add or change, and those that go through all tasks, data sets, models or orders.
    """
    skipped = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info")
    for folder in ("src", "tests", "docs", "benchmarks", "examples"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=skipped)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    touched = set()
    for code in blocks("CONTRIBUTING.md", "python"):
        path = tmp_path / code.partition("\n")[0].removeprefix("# ")
        assert not path.exists()
        path.write_text(code, "utf-8")
        touched.add(path)
    for diff in blocks("CONTRIBUTING.md", "diff"):
        touched |= apply(diff, tmp_path)

    imports = re.compile(
        r"^from pamm\.[\w.]+ import (?:\([^)]*|[^\n]*)\b(?:TASK_TYPES|DATASETS|MODELS|ORDERS)\b",
        re.MULTILINE,
    )
    chosen = [
        path
        for path in sorted((tmp_path / "tests").rglob("test_*.py"))
        if path in touched or imports.search(path.read_text("utf-8"))
    ]
    assert {"test_mask_folder.py", "test_docs.py", "test_models.py", "test_tasks.py"} <= {
        p.name for p in chosen
    }
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("--deselect", "tests/test_docs.py::test_the_recipes_work"),
            *map(str, chosen),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def apply(diff: str, root: Path) -> set[Path]:
    """Apply a unified diff without line numbers; what it removes must be there exactly once.

    Returns:
        The files that it changes.
    """
    changed = set()
    for part in re.split(r"^--- a/.*\n\+\+\+ b/", diff, flags=re.MULTILINE)[1:]:
        name, _, rest = part.partition("\n")
        text = (root / name).read_text("utf-8")
        for hunk in rest.split("@@\n")[1:]:
            lines = hunk.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -")
            new = "".join(line[1:] for line in lines if line[0] in " +")
            assert text.count(old) == 1, f"{name} has {text.count(old)} places for\n{hunk}"
            text = text.replace(old, new)
        (root / name).write_text(text, "utf-8")
        changed.add(root / name)
    return changed
