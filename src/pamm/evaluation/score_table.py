"""Tables on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from pamm.runtime.terminal import console
from pamm.runtime.text import cell, counted, for_table


def print_scores(report: Mapping[str, Any]) -> None:
    """The report of `evaluate_run` as a table: the main score of each task."""
    trivial: Mapping[str, Mapping[str, float]] = report.get("trivial", {})
    data = report["data"]
    table = Table()
    for heading in ("task", "score", "better"):
        table.add_column(heading)
    table.add_column("model", justify="right")
    if trivial:
        table.add_column("constant", justify="right")
        table.add_column("model / constant", justify="right")
    for name, task in report["tasks"].items():
        score, unit = task["score"], task["unit"]
        value = report["scores"][name][score]  # None: nothing valid was seen
        row = [
            name,
            f"{score} ({unit})" if unit else score,
            "higher" if task["higher_is_better"] else "lower",
            cell(value, 3),
        ]
        if trivial:
            constant = trivial[name][score]
            share = value / constant if value is not None and constant else None
            row += [cell(constant, 3), cell(share, 2)]
        table.add_row(*row)
    terminal = console()
    terminal.print(for_table(report["model"]))
    images = counted(data["images"], "image")
    terminal.print(for_table(f"{images} of {data['name']} {data['split']}"))
    terminal.print(table)
    for line in protocol_lines(report):
        terminal.print(for_table(f"- {line}"))


def protocol_lines(report: Mapping[str, Any]) -> list[str]:
    """What must be known of the scores beside their values, a sentence each."""
    first = next(iter(report["protocol"].values()))
    scales = ", ".join(f"{scale:g}" for scale in first["scales"])
    views = "one scale" if first["scales"] == [1.0] else f"scales {scales}"
    mirrored = "each also mirrored" if first["flip"] else "not mirrored"
    lines = [f"protocol: {first['preset']}, {views}, {mirrored}, precision {first['precision']}"]
    for name, protocol in report["protocol"].items():
        images, everything = protocol["images"], report["data"]["images"]
        count = counted(images["count"], "image")
        if not images["count"]:
            lines.append(
                f"{name}: not scored, as no pixel has a label that counts{_limit(protocol)}"
            )
        elif images["list"] != "all":
            lines.append(f"{name}: over the {count} of {images['list']} that are labelled")
        elif images["count"] < everything:
            lines.append(f"{name}: over the {count} of {everything} that are labelled")
    for name, classes in report.get("classes", {}).items():
        told = [f"{what}: {', '.join(names) or 'none'}" for what, names in classes.items()]
        lines.append(f"{name}: classes {'; '.join(told)}")
    return lines + list(report["notes"])


def _limit(protocol: Mapping[str, Any]) -> str:
    """Where a metric leaves out what is far away: how far."""
    return f" (depth up to {protocol['max_depth']:g} m does)" if "max_depth" in protocol else ""
