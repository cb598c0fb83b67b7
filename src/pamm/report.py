"""Tables on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from pamm.tasks import Task


def print_scores(report: Mapping[str, Any], tasks: Mapping[str, Task]) -> None:
    """The report of `pamm.evaluate.evaluate_run` as a table: the main score of each task."""
    trivial: Mapping[str, Mapping[str, float]] = report.get("trivial", {})
    data = report["data"]
    table = Table(title=f"{report['model']} on {data['images']} images ({data['name']} {data['split']})")
    for heading in ("task", "score", "better"):
        table.add_column(heading)
    table.add_column("model", justify="right")
    if trivial:
        table.add_column("constant", justify="right")
        table.add_column("model / constant", justify="right")
    for name, task in tasks.items():
        value = report["scores"][name][task.score]
        row = [
            name,
            f"{task.score} ({task.unit})" if task.unit else task.score,
            "higher" if task.higher_is_better else "lower",
            f"{value:.3f}",
        ]
        if trivial:
            constant = trivial[name][task.score]
            row += [f"{constant:.3f}", f"{value / constant:.2f}" if constant else "-"]
        table.add_row(*row)
    Console().print(table)
