"""The command line as a user meets it: help, one whole round, and a line for every mistake."""

import contextlib
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pamm.checkpoint import find
from pamm.cli import COMMANDS, main
from pamm.cli.arguments import experiment_of
from pamm.cli.tools import DATA_COMMANDS
from pamm.errors import PammError
from pamm.presets import preset

TINY = [
    "--model.backbone", "test_resnet", "--model.pretrained", "False",
    "--model.d-model", "16", "--model.d-state", "2",
    "--data.size", "24", "32", "--data.train-count", "4", "--data.val-count", "2",
    "--data.workers", "0", "--train.steps", "2", "--train.batch-size", "2",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "tiny"
    main(["train", "synthetic-tiny", "--out", str(run), *TINY])
    return run


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """What a command that must fail prints on standard error, which want no traceback."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main(list(arguments))
    error = capsys.readouterr().err
    assert exit_.value.code == code
    assert error.startswith("pamm: ")
    assert error.count("\n") == 1, error
    return error


def test_one_round(run, tmp_path, capsys):
    main(["evaluate", str(run), "--trivial"])
    out = capsys.readouterr().out
    assert "semseg" in out
    assert "mIoU" in out
    assert json.loads((run / "last-000002" / "metrics.json").read_text())["data"]["images"] == 2

    Image.fromarray(np.full((37, 61, 3), 90, np.uint8)).save(tmp_path / "a.png")
    main(["predict", str(run), str(tmp_path / "a.png"), "--out", str(tmp_path / "out")])
    names = {p.name for p in (tmp_path / "out" / "a").iterdir()}
    assert {"overview.png", "arrays.npz", "depth.png", "semseg.png", "normals.png"} <= names
    assert np.load(tmp_path / "out" / "a" / "arrays.npz")["depth"].shape == (37, 61)


def test_a_run_or_a_checkpoint_in_the_place_of_an_experiment(run):
    where = f"{str(run)!r} is a run directory, its experiment is {str(run / 'experiment.json')!r}"
    folder = find(run)
    for place, message in (
        (run, where),
        (folder, where),
        (folder / "config.json", "not its training"),
    ):
        for command in ("describe", "train"):
            with pytest.raises(SystemExit) as ended:
                main([command, str(place)])
            assert ended.value.code == 2
            with pytest.raises(PammError) as caught:
                experiment_of(str(place))
            assert message in str(caught.value)


def test_a_subset_of_the_tasks_is_predicted(run, tmp_path):
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(tmp_path / "a.png")
    arguments = [str(tmp_path / "a.png"), "--tasks", "depth", "--out", str(tmp_path / "out")]
    arguments += ["--save", "npy", "overlay"]
    main(["predict", str(run), *arguments, "--precision", "bf16-mixed"])
    names = {p.name for p in (tmp_path / "out" / "a").iterdir()}
    assert names == {"depth.npy", "depth.overlay.png"}


def test_bad_images_cost_a_line_each_and_the_others_are_done(run, tmp_path, capsys):
    good = tmp_path / "good.png"
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(good)
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:60])
    (tmp_path / "empty").mkdir()
    bad = [str(tmp_path / name) for name in ("text.jpg", "cut.png", "missing.png", "empty")]
    error = said(
        capsys, "predict", str(run), *bad, "", str(good), "--out", str(tmp_path / "out")
    )  # fmt: skip
    assert "5 of the images or folders could not be used" in error
    assert (tmp_path / "out" / "good" / "overview.png").exists()


def test_resume_from_the_command_line(run, capsys):
    error = said(capsys, "train", "synthetic-tiny", "--out", str(run), *TINY)
    assert "already holds a run: add --resume" in error
    main(["train", "synthetic-tiny", "--out", str(run), "--resume", *TINY])
    assert "trained model" in capsys.readouterr().out


def test_a_saved_configuration_is_a_preset(run, tmp_path, capsys):
    main(["describe", str(run / "experiment.json"), "--size", "37", "61"])
    out = capsys.readouterr().out
    assert "routers" in out
    assert "1 x 1 x 37 x 61" in out


@pytest.mark.parametrize(
    "command", [[], *([c] for c in COMMANDS), *(["data", c] for c in DATA_COMMANDS)]
)
def test_help(command, capsys):
    if command == ["train"]:
        command = ["train", "nyud-vit-b"]
    with contextlib.suppress(SystemExit):
        main([*command, "--help"])
    assert "usage" in capsys.readouterr().out.lower()


def test_data_commands(tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    main(["data", "preview", "--count", "2", "--size", "32", "48", "--out", str(sheet)])
    with Image.open(sheet) as picture:
        assert picture.size[0] > 300
    folder = tmp_path / "NYUDv2"
    arguments = ["--out", str(folder), "--size", "32", "48", "--train", "2", "--val", "1"]
    main(["data", "synthesize", *arguments])
    assert len(list((folder / "images").iterdir())) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "unknown command 'trian': did you mean 'train'"),
        (["data", "preveiw"], "unknown command 'preveiw': did you mean 'preview'"),
        (["train"], "pamm train PRESET: want a preset's name (see `pamm presets`) first, then "
         "options; got nothing"),
        (["train", "--resume", "run"], "first, then options; got '--resume'"),
        (["train", "--model", "padnet"], "first, then options; got nothing"),
        (["train", "--model", "x", "synthetic-tiny"], "unknown model 'x'. Known: baseline, pad"),
        (["train", "--model", "PADNet", "synthetic-tiny"], "did you mean 'padnet'?"),
        (["describe", "synthetic-tiny", "--model"], "--model"),
        (["train", "synthetic-tny"], "'synthetic-tny': did you mean 'synthetic-tiny'"),
        (["train", "missing.json"], "no file 'missing.json'"),
        (["train", "nyud-vit-b"], "data set 'nyud': no folder given; give the folder NYUDv2"),
        (["train", "synthetic-tiny", "--tasks", "dept"], "'dept': did you mean 'depth'"),
        (["train", "synthetic-tiny", "--model.top-k", "99"], "--model.top-k: got 99"),
        (["train", "synthetic-tiny", "--data.flip", "2"], "--data.flip: got 2.0, want 0 to 1"),
        (["train", "synthetic-tiny", "--data.scale", "2", "1"], "scale: got (2.0, 1.0)"),
        (["train", "synthetic-tiny", "--data.workers", "-1"], "workers: got -1"),
        (["train", "synthetic-tiny", "--data.size", "0", "9"], "--data.size: got 0"),
        (["train", "synthetic-tiny", "--data.val-count", "0"], "--data.val-count: got 0"),
        (["train", "synthetic-tiny", "--model.pretrained", "False", "--data.size", "8", "8"], "8"),
        (["train", "synthetic-tiny", "--train.seed", "-1"], "seed: got -1"),
        (["train", "synthetic-tiny", "--out", "/dev/null/run"], "choose another --out"),
        (["train", "synthetic-tiny", "--out", "bytes\udcff"], "cannot be printed; choose another"),
        (["train", "synthetic-tiny", "--train.stpes", "9"], "--train.steps"),
        (["train", "synthetic-tiny", "--train.steps", "many"], "many"),
        (["describe", "nyud"], "unknown preset 'nyud': did you mean"),
        (["evaluate", "nowhere"], "no run or model at 'nowhere'"),
        (["evaluate", "nowhere", "--protocol", "offical"], "offical"),
        (["evaluate", "nowhere", "--scales", "0"], "--scales: got 0.0, want more than 0"),
        (["compare"], "pamm compare RUN...: want at least one run"),
        (["compare", "nowhere"], "no run at 'nowhere'"),
        (["compare", "nowhere", "--out", "x.json"], "want the name of a Markdown file"),
        (["predict", "nowhere", "x.png", "--device", "gpu"], "a GPU is called cuda"),
        (["predict", "nowhere"], "'nowhere': no such image, folder or model; pamm predict [RUN]"),
        (["predict"], "pamm predict [RUN] IMAGE...: want at least one image"),
        (["predict", "box"], "want at least one image or folder of images"),
        (["predict", "box:", "a.png"], "unknown model in the box ''"),
        (["predict", "rooms-small", "a.png"], "comes with pamm: box, box:rooms, box:rooms-small"),
        (["predict", "box:nothing", "a.png"], "unknown model in the box 'nothing'"),
        (["predict", "nowhere", "a.png"], "no run or model at 'nowhere'"),
        (["evaluate", "nowhere", "--device", "gpu0"], "device 'gpu0' cannot be used here"),
        (["data", "preview", "sinthetic"], "'sinthetic': did you mean 'synthetic'"),
    ],
)  # fmt: skip
def test_mistakes_are_one_clear_message(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in said(capsys, *arguments)
    assert not list(tmp_path.iterdir()), "a mistake leaves nothing behind"


#: Command lines that no command can do anything with; all are told before any work.
WRONG = """
    pamm: --version2 | --train | evaluat | "" | " "
    train: | --out x | -x | synthetic-tiny --out | synthetic-tiny extra words
    train synthetic-tiny: --optim.lr nan | --optim.lr inf | --optim.lr 0 | --optim.lr -1
    train synthetic-tiny: --optim.lr fast | --optim.warmup -1 | --optim.layer-decay 0
    train synthetic-tiny: --train.seed 1180591620717411303424 | --train.seed 1.5 | --train.steps 0
    train synthetic-tiny: --train.batch-size 0 | --train.batch-size 7 --train.accumulate 2
    train synthetic-tiny: --train.precision bf16 | --train.strategy zero | --train.ema 1
    train synthetic-tiny: --train.keep 0 | --train.log-every 0 | --train.devices 0
    train synthetic-tiny: --model.d-model 10000000 | --model.d-model 0 | --model.stages 5
    train synthetic-tiny: --model.directions 3 | --model.scan peano | --model.drop-path 1
    train synthetic-tiny: --model.tasks depth 0 | --model.tasks keys 1 | --model.tasks a.b 1
    train synthetic-tiny: --data.workers 1000000 | --data.size 0 0 | --data.size 1
    train synthetic-tiny: --data.scale 0 1 | --data.scale 2 1 | --data.train-count 0
    train synthetic-tiny: --data.name nothing | --data.photometric 2 | --tasks | --tasks dept
    evaluate: | run --batch-size 0 | run --scales 1000 | run --scales nan | run --scales 1 1
    evaluate: run --devices 0 | run --devices 10000000 | run --precision half | run --split test
    evaluate: run --device gpu | run --lists depth | run --checkpoint first | run more words
    predict: | run | run a.png --max-side 0 | run a.png --max-side -5 | run a.png --max-side x
    compare: | run --checkpoint x | run --out x.txt | run --publishd table-1
    describe: | nothing | synthetic-tiny --size 0 0 | synthetic-tiny --size 9 | synthetic-tiny x
    presets: x | --all
    doctor: x | --gpu
    data: nothing
    data preview: nothing | --count 0 | --count many | --size 0 9 | --split test | nyud
    data verify: | nothing | nyud | nyud /nowhere | nyud a b | synthetic
    data prepare: | nyud | nyud /nowhere | nothing x.zip
    data synthesize: | --out x --train 0 | --out x --size 0 0 | --out x --layout coco
    boundary-eval: | a | a b --max-dist 2 | a b --max-dist nan | a b
    bench: nothing
    bench scan: --rounds 0 | --threads 1000000 | --limit 0 | --shapes S9 | --device tpu
    bench model: --presets nothing | --size 0 0 | --precision half | --backends nothing
"""


def wrong_command_lines() -> list[str]:
    found = []
    for line in filter(None, map(str.strip, WRONG.splitlines())):
        command, _, endings = line.partition(":")
        found += [f"{command} {ending.strip()}".strip() for ending in endings.split("|")]
    return [line.removeprefix("pamm ") for line in found]


@pytest.mark.parametrize("line", wrong_command_lines())
def test_nonsense_is_one_line_before_any_work(line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = said(capsys, *shlex.split(line))
    assert len(error) < 600
    assert not list(tmp_path.iterdir()), "a mistake leaves nothing behind"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("name", ["a[/b]", "a$b^{c$", "道路 [red]"])
def test_scores_of_a_run_of_any_name_are_written_and_shown(
    run, name, encoding, tmp_path, monkeypatch
):
    shutil.copytree(run, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    shown = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", shown)
    monkeypatch.setenv("COLUMNS", "200")
    main(["evaluate", name])
    shown.flush()
    text = shown.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    written = json.loads((tmp_path / name / "last-000002" / "metrics.json").read_text("utf-8"))
    assert written["model"] == str(Path(name, "last-000002"))
    assert "semseg" in text
    if name.isascii():
        assert name in text


def test_a_run_directory_is_not_a_preset(run, capsys):
    error = said(capsys, "train", str(run))
    assert "experiment.json" in error
    assert "--resume" in error


def test_help_names_what_is_wanted(capsys):
    for command, wanted in {
        "evaluate": "RUN", "predict": "[RUN] IMAGE...", "compare": "RUN...", "describe": "PRESET",
    }.items():  # fmt: skip
        with pytest.raises(SystemExit):
            main([command, "--help"])
        shown = capsys.readouterr().out
        usage = shown.partition("\n\n")[0]
        assert wanted in usage
        assert "STR" not in usage
    assert "missing from pamm evaluate: RUN Run directory" in said(capsys, "evaluate")


def command_line(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """`python -m pamm` as a process of its own."""
    command = [sys.executable, "-m", "pamm", *arguments]
    return subprocess.run(command, capture_output=True, env={**os.environ, **environment})


@pytest.mark.parametrize(
    "arguments", [["presets"], ["train", "synthetic-tny"], ["--help"], ["compare", "--help"]]
)
def test_what_needs_no_torch_does_not_load_it(arguments):
    code = (
        "import sys\nfrom pamm.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: sys.stderr.write('loaded: ' + ' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    loaded = done.stderr.partition("loaded: ")[2].split()
    assert "tyro" in loaded
    assert not {"torch", "timm", "matplotlib", "scipy"} & set(loaded)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_no_character_ends_a_command_on_any_terminal(encoding, tmp_path):
    done = command_line("evaluate", "道路\n\x1b[2J é", PYTHONIOENCODING=encoding)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert b"\x1b" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [["presets"], ["compare", "--help"], ["--help"], ["train", "--help"]]
)
def test_a_reader_that_has_seen_enough_is_no_error(arguments):
    """As in `pamm presets | head -1`, with the pipe closed before the first word."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "pamm", *arguments]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.stderr == b""
    assert done.returncode == 141


LIGHT = ("pamm", "pamm.cli", "pamm.compare", "pamm.compare.output", "pamm.compare.plot")


@pytest.mark.parametrize("module", [*LIGHT, "pamm.predict_files", "pamm.checkpoint"])
def test_imports_stay_light(module):
    """None of these loads the training stack; the first ones not even torch."""
    code = f"import {module}, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"lightning_fabric", "tensorboard", "matplotlib.pyplot", "sklearn", "scipy"}
    if module in LIGHT:
        heavy |= {"torch", "timm"}
    assert not heavy & set(loaded)


def test_python_m_pamm():
    run = subprocess.run(
        [sys.executable, "-m", "pamm", "--version"], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "0.1.0"


def test_another_model_says_what_it_has_by_default(run, capsys):
    main(["describe", str(run / "experiment.json"), "--model", "padnet", "--size", "32", "32"])
    said = capsys.readouterr().err
    assert said.endswith("experiment.json' is of pamm; padnet has by default channels 256\n")
    for name, other in (("synthetic-tiny", "padnet"), ("synthetic-tiny-padnet", "baseline")):
        main(["describe", name, "--model", other])  # there is a preset of it, in the same recipe
        assert capsys.readouterr().err == ""
        assert experiment_of(name, other) == preset(f"synthetic-tiny-{other}").experiment
    assert experiment_of("synthetic-tiny-padnet", "pamm") == preset("synthetic-tiny").experiment


def test_the_default_of_an_option_that_is_given_is_not_said(run, tmp_path, capsys):
    arguments = ["train", str(run / "experiment.json"), "--model=padnet", "--out", str(tmp_path)]
    error = said(capsys, *arguments, "--model.channels", "16", "--model.backbone", "nothing")
    assert "by default" not in error
    error = said(capsys, *arguments, "--model.d-model", "16")
    assert "unrecognized options: --model.d-model" in error
    assert "experiment.json --model padnet --help`" in error


def test_a_model_that_stands_alone_is_no_experiment(run, tmp_path, capsys):
    alone = shutil.copytree(find(run), tmp_path / "alone")
    for command in ("describe", "train"):
        error = said(capsys, command, str(alone))
        assert "alone' is a model without the experiment.json of its training: give" in error


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rooms as a `folder` data set."""
    root = tmp_path_factory.mktemp("data") / "rooms"
    arguments = ["--size", "24", "32", "--train", "2", "--val", "1", "--out", str(root)]
    main(["data", "synthesize", "--layout", "folder", *arguments])
    return root


def test_data_of_ones_own_from_a_preset(folder, tmp_path, capsys):
    run = tmp_path / "run"
    data = ["--data.name", "folder", "--data.root", str(folder)]
    main(
        ["train", "synthetic-tiny", *data, "--tasks", "depth", "boundary", "--out", str(run), *TINY]
    )
    config = json.loads((run / "experiment.json").read_text())
    assert config["model"]["tasks"] == {"depth": 1, "boundary": 1}
    main(["evaluate", str(run)])
    assert "1 image of folder val" in capsys.readouterr().out


def test_verify_from_the_command_line(folder, tmp_path, capsys):
    main(["data", "verify", "folder", str(folder)])
    assert "0 kinds of errors, " in capsys.readouterr().out
    harmed = tmp_path / "rooms"
    shutil.copytree(folder, harmed)
    (harmed / "images" / "train-000001.png").unlink()
    with pytest.raises(SystemExit) as exit_:
        main(["data", "verify", "folder", str(harmed), "--json"])
    assert exit_.value.code == 1
    report = json.loads(capsys.readouterr().out)
    assert report["findings"][0]["check"] == "missing images"
    assert report["findings"][0]["examples"] == ["train-000001 (train)"]


def test_prepare_from_the_command_line(folder, tmp_path, capsys):
    archive = shutil.make_archive(str(tmp_path / "rooms"), "gztar", folder.parent, folder.name)
    main(["data", "prepare", "folder", archive, "--out", str(tmp_path / "out")])
    out = capsys.readouterr().out
    assert f"ready: --data.root {tmp_path / 'out' / 'rooms'}" in out
    sheet = tmp_path / "sheet.png"
    arguments = ["--root", str(tmp_path / "out" / "rooms"), "--tasks", "depth", "--out", str(sheet)]
    main(["data", "preview", "folder", *arguments])
    assert sheet.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data", "verify", "synthetic"], "is not read from files; want one of nyud"),
        (["data", "verify", "nuyd"], "did you mean 'nyud'"),
        (["data", "verify", "nyud", "/nowhere"], "no folder '/nowhere'"),
        (["data", "verify", "folder"], "no folder given"),
        (["data", "prepare", "nyud", "/nowhere.tar"], "no archive or folder '/nowhere.tar'"),
        (["data", "preview", "nyud", "--size", "9", "9"], "--size: the images of 'nyud' have"),
        (["train", "nyud-vit-b", "--data.root", "/nowhere"], "no folder '/nowhere'"),
        (["train", "synthetic-tiny", "--data.name", "folder"], "no folder given"),
    ],
)
def test_mistakes_with_data_sets(arguments, message, capsys):
    assert message in said(capsys, *arguments)


def test_the_tasks_follow_the_data_set(folder):
    from dataclasses import replace

    from pamm.data import DataConfig

    tiny = preset("synthetic-tiny").experiment
    own = replace(tiny, data=DataConfig(name="folder", root=str(folder)))
    assert own.changed_from(tiny, None).model.tasks == tiny.model.tasks
    assert own.changed_from(tiny, ["normals"]).model.tasks == {"normals": 3}
    assert tiny.changed_from(tiny, ["depth"]).model.tasks == {"depth": 1}
    few = tiny.with_tasks(["depth"])  # as in the experiment.json of a run
    elsewhere = replace(few, data=replace(few.data, root="/elsewhere"))
    assert elsewhere.changed_from(few, None).model.tasks == {"depth": 1}
    chosen = replace(own, model=replace(own.model, tasks={"semseg": 7}))
    assert chosen.changed_from(tiny, None).model.tasks == {"semseg": 7}
    with pytest.raises(PammError, match="did you mean 'depth'"):
        own.changed_from(tiny, ["dept"])
