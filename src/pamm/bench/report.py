"""Tables for the terminal and for a document, and the description of the machine."""

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.table import Table as RichTable

import pamm
from pamm import doctor, native
from pamm.bench.timing import Result
from pamm.runtime.files import write_text
from pamm.runtime.terminal import console
from pamm.runtime.text import for_markdown, for_table

PACKAGES = {"pamm": "pamm-vision", "timm": "timm", "triton": "triton", "mambapy": "mambapy"}
"""What the document names the versions of, and their distributions."""


@dataclass
class Table:
    """Text in columns."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def to_rich(self) -> RichTable:
        table = RichTable(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
        for i, column in enumerate(self.columns):
            table.add_column(column, justify="right" if i else "left")
        for row in self.rows:
            table.add_row(*map(for_table, row))
        return table

    def to_markdown(self) -> str:
        lines = [list(self.columns), ["---"] + ["---:"] * (len(self.columns) - 1)]
        lines += [[for_markdown(cell) for cell in row] for row in self.rows]
        return f"### {self.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine(threads: int) -> dict[str, str]:
    """What the numbers were measured on and with; no name or path of the machine."""
    library = native.library()
    versions = {name: _version(package) for name, package in PACKAGES.items()}
    versions["mamba-ssm"] = _version("mamba-ssm")
    found = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{doctor.processor()}, {os.cpu_count()} cores",
        "instruction set of PyTorch": torch.backends.cpu.get_cpu_capability(),
        "instruction set of the compiled scan": (
            library.pamm_instruction_sets().decode().split()[0] if library else "none built"
        ),
        "compiler of the compiled scan": library.pamm_compiler().decode() if library else "",
        "memory": doctor.memory(),
        "GPU": "; ".join(doctor.gpus()),
        "system": f"{platform.system()} {platform.machine()}, {platform.libc_ver()[0]}".rstrip(
            ", "
        ),
        "threads": str(threads),
        "Python": platform.python_version(),
        "PyTorch": torch.__version__,
        **versions,
    }
    return {name: value for name, value in found.items() if value}


def _version(package: str) -> str:
    if package == "pamm-vision":
        return pamm.__version__
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def show(tables: Iterable[Table], notes: Iterable[str]) -> None:
    """Print to the terminal."""
    terminal = console()
    for table in tables:
        terminal.print(for_table(table.title))
        terminal.print(table.to_rich())
    for note in notes:
        terminal.print(for_table(f"- {note}"))


def write_report(
    out: Path,
    *,
    title: str,
    command: str,
    threads: int,
    tables: Sequence[Table],
    notes: Sequence[str],
    results: Sequence[Result],
    further: Mapping[str, Any],
    picture: str = "",
) -> None:
    """Write all numbers to `out` (JSON), and the tables to the Markdown file beside it.

    Args:
        out: the JSON file.
        title: of the document.
        command: that does it again.
        threads: of PyTorch.
        tables, notes: what is shown.
        results: the numbers behind the tables.
        further: more for the JSON file.
        picture: a Markdown image, if there is one.
    """
    described = machine(threads)
    record = {
        "command": command,
        "machine": described,
        **further,
        "results": [asdict(result) for result in results],
    }
    write_text(out, json.dumps(record, indent=1) + "\n")
    parts = [
        f"# {title}",
        f"`{command}`",
        "\n".join(f"- {name}: {value}" for name, value in described.items()),
        *(table.to_markdown() for table in tables),
        *([picture] if picture else []),
        "\n".join(f"- {note}" for note in notes),
    ]
    write_text(out.with_suffix(".md"), "\n\n".join(part for part in parts if part) + "\n")


def significant(value: float) -> str:
    """Three significant digits, or all those of a whole number, without an exponent.

    >>> significant(0.01234), significant(7.0), significant(1234.5)
    ('0.0123', '7.00', '1234')
    """
    digits = 2
    while digits < 9 and 0 < abs(value) < 10 ** (2 - digits):
        digits += 1
    while digits > 0 and abs(value) >= 10 ** (3 - digits):
        digits -= 1
    return f"{value:.{digits}f}"


def milliseconds(seconds: float) -> str:
    return significant(1e3 * seconds)


def span(seconds: Sequence[float]) -> str:
    """Quickest and slowest, in milliseconds."""
    return f"{milliseconds(min(seconds))}..{milliseconds(max(seconds))}"


def megabytes(number: int | None) -> str:
    """A number of bytes in MB (10^6), as exact as such numbers are."""
    if number is None:
        return "-"
    return "< 1 MB" if number < 10**6 else f"{number / 1e6:,.0f} MB"
