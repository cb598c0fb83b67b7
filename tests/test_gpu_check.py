"""`make gpu-check`, rehearsed on a CPU: its parts run, and one that fails costs a row."""

import json
import os
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.fixture
def gpu_check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import gpu_check

    return gpu_check


def test_the_parts_run_on_a_cpu(gpu_check, tmp_path, monkeypatch, capsys):
    """All but the benchmarks, which `test_bench.py` runs; a group has a process of its own."""
    monkeypatch.setenv("PAMM_CACHE", str(tmp_path / "cache"))
    place = gpu_check.Place(device="cpu", folder=tmp_path, small=True)
    listed = {n: p for n, p in gpu_check.parts(place).items() if not n.startswith("bench")}
    group = {"training, one process in a group": listed.pop("training, one process in a group")}
    rows = gpu_check.check(listed, place, minutes=10, apart=False)
    rows += gpu_check.check(group, place, minutes=10, apart=True)
    listed |= group
    assert [row.part for row in rows if not row.ok] == [], rows
    assert [row.part for row in rows] == list(listed)
    gpu_check.report(rows, tmp_path / "table", place)
    record = json.loads((tmp_path / "table.json").read_text("utf-8"))
    assert [row["part"] for row in record["rows"]] == list(listed)
    text = (tmp_path / "table.txt").read_text("utf-8")
    assert capsys.readouterr().out.endswith(text)
    assert all(name in text for name in listed)


def fine(_place: object) -> str:
    print("said aloud")
    return "found"


def broken(_place: object) -> str:
    raise ValueError("no\nsuch thing")


def hangs(_place: object) -> str:
    time.sleep(600)
    return ""


def dies(_place: object) -> str:
    os._exit(3)


def test_a_part_that_fails_hangs_or_dies_costs_one_row(gpu_check, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)  # where the children find this module
    place = gpu_check.Place(device="cpu", folder=tmp_path, small=True)
    listed = {"broken": (120, broken), "dies": (120, dies), "fine, too": (120, fine)}
    rows = gpu_check.check({**listed, "hangs": (2, hangs)}, place, minutes=10, apart=True)
    assert [row.ok for row in rows] == [False, False, True, False]
    assert rows[0].result == "ValueError: no"
    assert rows[1].result == "ended with exit code 3"
    assert rows[2].result == "found"
    assert rows[2].memory is not None
    assert (tmp_path / "fine-too.log").read_text("utf-8") == "said aloud\n"
    assert rows[3].result == "took more than 2 s"
    late = gpu_check.check({"fine": (120, fine)}, place, minutes=0, apart=True)
    assert "no time was left" in late[0].result


@pytest.mark.skipif(torch.cuda.is_available(), reason="here it would run")
def test_without_a_gpu_one_line_says_so(gpu_check, tmp_path, capsys):
    assert gpu_check.main(["--out", str(tmp_path / "table")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no GPU here" in error
    assert not list(tmp_path.iterdir())


def test_the_exit_code_says_whether_anything_failed(gpu_check, tmp_path, monkeypatch, capsys):
    arguments = ["--device", "cpu", "--small", "--here", "--out", str(tmp_path / "table")]
    for part, code in ((fine, 0), (broken, 1)):
        monkeypatch.setattr(gpu_check, "parts", lambda _place, part=part: {"part": (60, part)})
        assert gpu_check.main(arguments) == code
        assert (tmp_path / "table.work").exists() == bool(code)
    assert "no such thing" in capsys.readouterr().out
