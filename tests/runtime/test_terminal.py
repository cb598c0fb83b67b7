"""What is printed is the same at any width of the terminal, and names are no markup."""

from pathlib import Path

import pytest
from rich.table import Table

import pamm
from pamm.cli import main
from pamm.runtime.terminal import console

NAME = "a[/b]:smile:" + "/of/a/long/path" * 20


def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    capsys.readouterr()
    table = Table()
    table.add_column("name")
    table.add_row(NAME, "1.2345")
    console().print(NAME)
    console().print(table)
    return capsys.readouterr().out


def test_tables_and_lines_are_whole_at_any_width(capsys, monkeypatch):
    narrow, wide = (printed(capsys, monkeypatch, width) for width in (20, 200))
    assert narrow == wide
    assert narrow.splitlines()[0] == NAME
    assert sum(NAME in line and "1.2345" in line for line in narrow.splitlines()) == 1
    assert max(map(len, narrow.splitlines())) < len(NAME) + 20


def test_a_command_prints_the_same_at_any_width(capsys, monkeypatch):
    outputs = []
    for width in (20, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        main(["describe", "synthetic-tiny", "--size", "32", "48"])
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


def test_there_is_one_console():
    """Nothing else in the package prints through rich, whose own consoles break and crop lines."""
    room = Path(pamm.__file__).parent
    makers = [path.name for path in room.rglob("*.py") if "Console(" in path.read_text("utf-8")]
    assert makers == ["terminal.py"]
    titled = [path for path in room.rglob("*.py") if "Table(title=" in path.read_text("utf-8")]
    assert not titled
