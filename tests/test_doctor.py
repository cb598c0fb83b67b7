"""The report is complete, and says what to do where something is missing or broken."""

from types import SimpleNamespace

import pytest
import torch

from pamm import doctor, native
from pamm.cli import main
from pamm.ops import available_backends, scan


def test_the_command_prints_all_rows_aligned(capsys):
    main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    rows = doctor.rows()
    width = max(len(name) for name, _ in rows) + 2
    assert [line[:width].strip() for line in lines] == [name for name, _ in rows]
    assert all(line[width] != " " for line in lines)


def test_what_is_there():
    rows = dict(doctor.rows())
    assert rows["torch"] == torch.__version__
    assert rows["threads in use"] == str(torch.get_num_threads())
    assert rows["auto on a CPU"] == ("cpu" if "cpu" in available_backends() else "reference")
    for name in available_backends():
        assert rows[f"scan: {name}"] == "available"
    if native.library():
        assert rows["compiled library"] == str(native.PATH)


@pytest.mark.parametrize("broken", [False, True])
def test_without_a_library(broken, tmp_path, monkeypatch):
    monkeypatch.setattr(native, "PATH", tmp_path / "_native.so")
    if broken:
        native.PATH.write_text("no library")
    rows = dict(doctor.rows())
    assert rows["compiled library"] == "none"
    assert rows["scan: cpu"] == f"not available: {native.problem()}"
    assert rows["auto on a CPU"] == "reference"


@pytest.mark.parametrize("installed", [False, True])
def test_with_a_gpu(installed, monkeypatch):
    gpu = SimpleNamespace(name="Card", total_memory=80 * 2**30, major=9, minor=0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: gpu)
    monkeypatch.setattr(scan.util, "find_spec", lambda _: installed or None)
    rows = dict(doctor.rows())
    assert rows["GPU"] == "Card, 80 GiB, compute capability 9.0"
    assert rows["auto on a GPU"] == ("triton" if installed else "reference")
    assert rows["scan: triton"].startswith("available" if installed else "not available: Triton is")


def test_a_system_that_tells_nothing(monkeypatch):
    def denied(*_: str) -> str:
        raise PermissionError

    monkeypatch.setattr(doctor.Path, "read_text", denied)
    assert doctor.memory() == "unknown"
    assert doctor.processor()
