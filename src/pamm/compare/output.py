"""A comparison on the terminal, as Markdown and as JSON."""

import json
import os
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from rich import box
from rich.table import Table
from rich.text import Text

from pamm.compare.comparison import Comparison
from pamm.compare.published import decimals, published
from pamm.compare.reports import Column
from pamm.runtime.files import write_text
from pamm.runtime.strict_json import to_json
from pamm.runtime.terminal import console
from pamm.runtime.text import cell, for_markdown, for_table, utf8

BEST, SECOND = "best", "second"
DAGGER = " †"
"""After the name of a model whose scores are not made exactly as the published ones."""


def print_comparison(comparison: Comparison) -> None:
    """The table and its notes on the terminal; best in bold, second best underlined."""
    styles = {BEST: "bold", SECOND: "underline", "": ""}
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("model")
    for heading in headings(comparison):
        task, _, score = heading.partition(" ")
        table.add_column(Text("\n").join([for_table(task), for_table(score)]), justify="right")
    rows = zip(comparison.lines, cells_of(comparison), strict=True)
    for source, group in groupby(rows, key=lambda pair: pair[0].source):
        if source != "run":
            table.add_section()
            table.add_row(f"{source} of the paper")
        for line, cells in group:
            name = line.label + (DAGGER if line.marked else "")
            table.add_row(for_table(name), *(for_table(text, styles[rank]) for text, rank in cells))
    terminal = console()
    terminal.print(for_table(comparison.title))
    terminal.print(table)
    for note in comparison.notes:
        terminal.print(for_table(f"- {note}"))


def write_comparison(comparison: Comparison, out: Path, *, plot: Path | None) -> None:
    """Write a Markdown file, and all numbers as JSON beside it.

    Args:
        comparison: what to write.
        out: the Markdown file.
        plot: a picture to show in it, if there is one.
    """
    marks: dict[str, Callable[[str], str]] = {
        BEST: lambda text: f"**{text}**",
        SECOND: lambda text: f"<u>{text}</u>",
        "": lambda text: text,
    }
    lines = [["model", "backbone", *map(for_markdown, headings(comparison))]]
    lines.append(["---", "---"] + ["---:"] * (len(comparison.columns) + 1))
    for line, cells in zip(comparison.lines, cells_of(comparison), strict=True):
        where = "" if line.source == "run" else f" ({line.source})"
        name = for_markdown(line.name) + where + (DAGGER if line.marked else "")
        backbone = for_markdown(
            line.backbone.partition(".")[0]
        )  # without the recipe of its weights
        lines.append([name, backbone, *(marks[rank](text) for text, rank in cells)])
    sources = sorted({line.source for line in comparison.lines} - {"run"})
    parts = [
        f"# {for_markdown(comparison.title)}",
        "\n".join(f"| {' | '.join(line)} |" for line in lines),
        "Best of all rows in bold, second best underlined.",
        *([f"![gains over the baseline]({quote(os.fsencode(plot.name))})"] if plot else []),
        "\n".join(f"- {for_markdown(note)}" for note in comparison.notes),
        *(f"Published rows: {name} of {published().source}." for name in sources),
    ]
    write_text(out, "\n\n".join(part for part in parts if part) + "\n")
    record = {"published": [f"{name} of {published().source}" for name in sources]}
    record |= to_json(comparison)
    text = json.dumps(record, indent=1, ensure_ascii=False)
    write_text(out.with_suffix(".json"), utf8(text) + "\n")


def headings(comparison: Comparison) -> list[str]:
    """Above the numbers: task, score, unit and where better is."""
    symbol, arrow = {"degrees": "°"}, {True: "↑", False: "↓"}
    scores = [
        f"{c.task} {c.score} {symbol.get(c.unit, c.unit)} {arrow[c.higher_is_better]}"
        for c in comparison.columns
    ]
    return [*scores, "Δg % ↑"]


def cells_of(comparison: Comparison) -> list[list[tuple[str, str]]]:
    """The numbers of each line as text, and their ranks: "best", "second" or ""."""
    columns = [
        ranked([cell(line.scores.get(c.task), decimals(c.unit)) for line in comparison.lines], c)
        for c in comparison.columns
    ]
    columns.append(ranked([cell(line.delta_g, 2) for line in comparison.lines], None))
    return [list(cells) for cells in zip(*columns, strict=True)]


def ranked(cells: list[str], column: Column | None) -> list[tuple[str, str]]:
    """Cells with their ranks among the printed numbers; equal numbers have one rank.

    >>> ranked(["1.5", "2.0", "-", "2.0", "0.1"], None)
    [('1.5', 'second'), ('2.0', 'best'), ('-', ''), ('2.0', 'best'), ('0.1', '')]
    """
    higher = column is None or column.higher_is_better
    order = sorted({float(text) for text in cells if text != "-"}, reverse=higher)
    if len(order) < 2:  # a single number is neither best nor second
        return [(text, "") for text in cells]
    rank = {order[0]: BEST, order[1]: SECOND}
    return [(text, rank.get(float(text), "") if text != "-" else "") for text in cells]
