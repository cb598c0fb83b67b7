"""The benchmarks: right results only, honest limits, and what they leave to read."""

import itertools
import json
import os
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from pamm.bench import compare, growth, model, scan
from pamm.bench.implementations import MAMBAPY, SEQUENTIAL, implementations, missing
from pamm.bench.peak import in_own_process, peak_memory
from pamm.bench.problems import (
    BOTH,
    FORWARD,
    PARTS,
    SHAPES,
    Shape,
    largest_difference,
    make_problem,
    run_part,
)
from pamm.bench.report import significant
from pamm.bench.timing import Result, Settings, interleave
from pamm.cli import main
from pamm.cli.tools import BENCH_COMMANDS
from pamm.errors import PammError

QUICK = Settings(rounds=2)


@pytest.fixture
def no_processes(monkeypatch):
    """Nothing is measured in other processes: 3 and 4 million bytes."""
    found = [(FORWARD, 3_000_000), (BOTH, 4_000_000)]
    monkeypatch.setattr(compare, "in_own_process", lambda *_, seconds: (found, ""))
    monkeypatch.setattr(model, "in_own_process", lambda *_, seconds: ([5_000_000], ""))


@pytest.fixture(autouse=True)
def same_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("shape", [SHAPES["tiny"], Shape(2, 5, 3, 3, 4), Shape(1, 1, 1, 1, 1)])
@pytest.mark.parametrize("name", [SEQUENTIAL, MAMBAPY])
def test_what_is_compared_computes_the_same(name, shape):
    if name in missing("cpu"):
        pytest.skip(missing("cpu")[name])
    problem = make_problem(shape, "cpu")
    scans = implementations("cpu", [name, "reference"])
    results = [run_part(BOTH, scans[n], problem) for n in scans]
    assert len(results[0]) == 8
    assert largest_difference(*results) < 1e-5


def test_what_cannot_run_is_said():
    reasons = missing("cpu")
    assert "mamba-ssm" in reasons
    assert "triton" in reasons
    assert "reference" not in reasons
    assert "for cpu tensors" in missing("cuda")["cpu"] or missing("cpu")["cpu"]
    assert not set(implementations("cpu")) & set(reasons)
    with pytest.raises(PammError, match="'triton' cannot be measured: "):
        implementations("cpu", ["triton"])
    with pytest.raises(PammError, match="did you mean 'mambapy'"):
        implementations("cpu", ["mambapi"])


def test_a_wrong_result_has_no_time(no_processes):
    right = implementations("cpu", ["reference"])["reference"]

    def wrong(*arguments: Tensor) -> Tensor:
        return 1.01 * right(*arguments)

    def undefined(*arguments: Tensor) -> Tensor:
        return right(*arguments) * torch.nan

    scans = {"right": right, "wrong": wrong, "undefined": undefined}
    results = compare.measure_shape("tiny", SHAPES["tiny"], scans, QUICK, lambda _: None)
    assert [(r.part, r.implementation) for r in results] == [
        *itertools.product(PARTS, scans),
    ]
    for result in results:
        if result.implementation == "right":
            assert len(result.seconds) == 2
            assert result.difference == 0
        else:
            assert not result.seconds
            assert result.problem.startswith("differs by")


def test_what_runs_out_of_memory_is_not_timed(monkeypatch):
    found = ([(FORWARD, 7)], "out of memory")
    monkeypatch.setattr(compare, "in_own_process", lambda *_, seconds: found)
    scans = implementations("cpu", ["reference"])
    forward, both = compare.measure_shape("a", SHAPES["tiny"], scans, QUICK, lambda _: None)
    assert forward.seconds
    assert (forward.memory, forward.problem) == (7, "")
    assert not both.seconds
    assert both.problem == "out of memory"


def test_rounds_are_interleaved_and_limited():
    turns: list[str] = []
    calls = {name: (lambda name=name: turns.append(name)) for name in ("a", "b", "c")}
    first = {"a": 1.0, "b": 4.0, "c": 99.0}
    told: list[str] = []
    samples = interleave(calls, first, rounds=3, limit=9.0, report=told.append)
    assert turns == ["a", "b", "a", "b", "a"]
    assert told == ["a", "b", "c"] * 3
    assert [len(samples[name]) for name in calls] == [3, 2, 1]
    assert samples["c"] == [99.0]


@pytest.mark.parametrize(
    ("code", "found", "problem"),
    [
        ("range(3)", [0, 1, 2], ""),
        ("(1 if i < 2 else (_ for _ in ()).throw(MemoryError()) for i in range(9))",
         [], "out of memory"),
        ("(__import__('os').kill(__import__('os').getpid(), 9) for _ in 'a')",
         [], "killed by the system"),
        ("[__import__('time').sleep(99)]", [], "took more than 0 s"),
    ],
    ids=["done", "memory", "killed", "slow"],
)  # fmt: skip
def test_another_process(code, found, problem):
    got, why = in_own_process(eval, code, seconds=0.1 if "sleep" in code else 60)
    assert why.startswith(problem)
    assert bool(why) == bool(problem)
    assert got[: len(found)] == found


def test_a_mistake_in_another_process_is_not_hidden(capfd):
    found = in_own_process(eval, "1 / 0", seconds=60)
    assert found == ([], "ZeroDivisionError: division by zero")
    assert "Traceback" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is free")
def test_another_process_gets_no_more_than_is_free():
    code = (
        "[(peak.forbid_more_than_is_free(), torch.empty(free + 2**31, dtype=torch.uint8).shape)"
        " for peak in [__import__('pamm.bench.peak', fromlist=['peak'])]"
        " for torch in [__import__('torch')]"
        " for free in [peak._kib('/proc/meminfo', 'MemAvailable') * 1024]]"
    )
    assert in_own_process(eval, code, seconds=60) == ([], "out of memory")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only a fresh process can tell")
def test_the_peak_is_that_of_the_call():
    def call() -> Tensor:
        return torch.ones(2**25).add(1)[:5].clone()  # two times 128 MiB, both gone at the end

    for _ in range(2):  # what was freed before hides nothing
        peak, result = peak_memory(call, "cpu")
        assert len(result) == 5
        assert abs(peak - 2**28) < 2**22


def test_bench_scan_writes_what_it_shows(tmp_path, capsys):
    out = tmp_path / "results" / "scan.json"
    main(["bench", "scan", "--shapes", "tiny", "--rounds", "1", "--backends", "reference",
          "--out", str(out)])  # fmt: skip
    record = json.loads(out.read_text())
    text = out.with_suffix(".md").read_text()
    shown = capsys.readouterr().out
    assert [r["implementation"] for r in record["results"]] == ["reference", "reference"]
    assert all(r["seconds"] and r["memory"] >= 0 for r in record["results"])
    assert record["machine"]["threads"] == "1"
    assert record["machine"]["PyTorch"] == torch.__version__
    assert "pamm bench scan --shapes tiny --rounds 1" in record["command"]
    assert str(Path(scan.__file__).parents[3]) not in out.read_text() + text
    for part in PARTS:
        assert f"### tiny, {part}" in text
        assert f"tiny, {part}" in shown
    assert {p.name for p in out.parent.iterdir()} == {"scan.json", "scan.md"}


def test_the_floor(no_processes, tmp_path, monkeypatch):
    """A core of 1e9 multiply-adds per second, two threads."""
    monkeypatch.setattr(scan, "peak_fma_per_second", lambda device: 1e9)
    tables = []
    monkeypatch.setattr(scan, "show", lambda shown, notes: tables.extend(shown))
    scan.bench_scan(
        Settings(rounds=1, threads=2), shapes=["tiny"], growth=False, backends=["reference"],
        out=tmp_path / "a.json", command="",
    )  # fmt: skip
    updates = 8 * 3 * 4 * 2 * 4
    for table, operations in zip(tables, (6, 25.7), strict=True):
        floor = operations * updates / 2e9
        assert f"(floor {significant(1e3 * floor)} ms)" in table.title
        row = dict(zip(table.columns, table.rows[0], strict=True))
        assert row["floor"] == f"{100 * floor / (float(row['ms']) / 1e3):.0f} %"
    assert json.loads((tmp_path / "a.json").read_text())["peak_fma_per_second"] == 1e9


def test_without_the_floor_there_is_no_column():
    result = Result("S1", FORWARD, "cpu", seconds=[0.002, 0.004, 0.003], memory=5_400_000)
    failed = Result("S1", FORWARD, "mambapy", problem="out of memory")
    table = scan.part_table("", [result, failed], floor=None, sequential=0.3)
    assert "floor" not in table.columns
    assert table.rows[0] == ["cpu", "3.00", "2.00..4.00", "3", "100", "5 MB", "-"]
    assert table.rows[1] == ["mambapy", *["-"] * 6]


def test_growth(no_processes, tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "SIDES", (1, 2, 4))
    monkeypatch.setattr(growth, "CHANNELS", 2)
    out = tmp_path / "growth.json"
    main(["bench", "scan", "--shapes", "--growth", "--rounds", "1",
          "--backends", "reference", SEQUENTIAL, "--out", str(out)])  # fmt: skip
    cases = [r["case"] for r in json.loads(out.read_text())["results"]]
    assert cases == [case for case in ("1x1", "2x2", "4x4") for _ in range(4)]
    text = out.with_suffix(".md").read_text()
    assert "(growth.png)" in text
    assert "| tokens | 1² | 2² | 4² |" in text
    with Image.open(tmp_path / "growth.png") as picture:
        assert picture.size[0] > 1000


def test_growth_leaves_out_what_would_take_too_long(monkeypatch):
    seconds = {"quick": 1e-3, "slow": 3.0, "broken": 1e-3}

    def measure(case, shape, scans, settings, report):
        found = [Result(case, FORWARD, name, seconds=[seconds[name]]) for name in scans]
        for result in found:
            if (result.implementation, case) == ("broken", "32x32"):
                result.seconds, result.problem = [], "out of memory"
        return found

    monkeypatch.setattr(growth, "measure_shape", measure)
    scans = dict.fromkeys(seconds, lambda: None)
    results = growth.measure_growth(scans, Settings(limit=10), lambda _: None)
    sides = {name: [r.case for r in results if r.implementation == name] for name in seconds}
    assert len(sides["quick"]) == len(growth.SIDES)
    assert sides["slow"] == ["16x16"]
    assert sides["broken"] == ["16x16", "32x32"]


def test_names_at_the_ends_of_lines_do_not_cover_each_other(tmp_path, monkeypatch):
    results = [
        Result(growth.case_of(side), part, name, seconds=[1e-3 * side**2 * factor])
        for side in growth.SIDES
        for part in PARTS
        for name, factor in (("cpu", 0.01), (SEQUENTIAL, 1), (MAMBAPY, 1.02), ("reference", 1.01))
    ]
    heights = []
    spread = growth.spread

    def checked(panel, points):
        spread(panel, points)
        names = [t for t in panel.texts if t.get_text() != "tokens"]
        boxes = sorted((t.get_window_extent() for t in names), key=lambda box: box.y0)
        heights.append(len(boxes))
        assert all(a.y1 <= b.y0 for a, b in itertools.pairwise(boxes))

    monkeypatch.setattr(growth, "spread", checked)
    growth.draw_growth(results, tmp_path / "a.png", {FORWARD: 0.1})
    assert heights == [5, 4]


def test_bench_model(no_processes, tmp_path, capsys):
    out = tmp_path / "model.json"
    main(["bench", "model", "--presets", "synthetic-tiny", "--size", "32", "40", "--train",
          "--precision", "bf16-mixed", "--rounds", "1", "--backends", "reference",
          "--out", str(out)])  # fmt: skip
    record = json.loads(out.read_text())
    assert record["precision"] == "bf16-mixed"
    assert [(r["case"], r["part"]) for r in record["results"]] == [
        ("synthetic-tiny", "inference"),
        ("synthetic-tiny", "training step"),
    ]
    assert all(r["seconds"] and r["memory"] == 5_000_000 for r in record["results"])
    assert record["sizes"] == {"synthetic-tiny": [32, 40]}
    assert "weights are random" in capsys.readouterr().out


def test_a_model_that_does_not_fit_is_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(model, "in_own_process", lambda *_, seconds: ([], "out of memory"))
    monkeypatch.setattr(model, "make_call", lambda *_: pytest.fail("this would not fit either"))
    main(["bench", "model", "--presets", "pascal-vit-l", "--backends", "reference",
          "--out", str(tmp_path / "model.json")])  # fmt: skip
    assert "pascal-vit-l, inference, reference: out of memory." in capsys.readouterr().out


def test_models_scan_with_the_backend_that_is_measured():
    from pamm.model.pamm import pame

    before = pame.multi_directional_scan
    with model.scan_with("reference"):
        assert pame.multi_directional_scan.keywords == {"backend": "reference"}
    assert pame.multi_directional_scan is before


@pytest.mark.parametrize("command", BENCH_COMMANDS)
def test_help(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["bench", command, "--help"])
    assert exit_.value.code == 0
    assert "--threads" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scna"], "unknown command 'scna': did you mean 'scan'"),
        (["scan", "--shapes", "S9"], "unknown shape 'S9'. Known: S1, S2, S3"),
        (["scan", "--backends", "triton"], "'triton' cannot be measured"),
        (["scan", "--rounds", "0"], "--rounds: got 0, want 1 to"),
        (["scan", "--threads", "-1"], "--threads: got -1, want 1 to"),
        (["scan", "--limit", "0"], "--limit: got 0.0, want more than 0"),
        (["scan", "--device", "gpu"], "device: got 'gpu', want 'cpu' or 'cuda'"),
        (["scan", "--out", "/dev/null/a/b.json"], "Not a directory"),
        (["model", "--presets", "nyud"], "unknown preset 'nyud'"),
        (["model", "--backends", "refernce"], "did you mean 'reference'"),
        (["model", "--backends", "triton"], "'triton' cannot be measured"),
    ],
)
def test_mistakes_are_said_before_anything_is_measured(
    arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(["bench", *arguments])
    assert exit_.value.code == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not os.listdir()
