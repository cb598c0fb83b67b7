"""The gains of a comparison as a picture."""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pamm.compare.comparison import Comparison
from pamm.compare.output import DAGGER
from pamm.runtime.files import replacing
from pamm.runtime.text import for_plot

RUN, PUBLISHED = "#1f6fb4", "#9aa5b1"


def draw_gains(comparison: Comparison, path: Path) -> None:
    """Bars of Delta_g and of the relative gain of each task, one line a model, as PNG.

    The panels share the models and the scale of the gains.
    """
    panels = {"Δg": [line.delta_g for line in comparison.lines]}
    for column in comparison.columns:
        key = f"{for_plot(column.task)}\n{for_plot(column.score)}"
        panels[key] = [line.gains.get(column.task) for line in comparison.lines]
    height = 1.5 + 0.28 * len(comparison.lines)
    figure = Figure(figsize=(3.2 + 1.75 * len(panels), height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    axes[0].set_xlim(limits(panels.values()))
    colours = [RUN if line.source == "run" else PUBLISHED for line in comparison.lines]
    for ax, (title, gains) in zip(axes, panels.items(), strict=True):
        _panel(ax, title, gains, colours)
    names = [for_plot(line.label) + (DAGGER if line.marked else "") for line in comparison.lines]
    axes[0].set_yticks(range(len(names)), names, fontsize=8)
    axes[0].invert_yaxis()
    for label, line in zip(axes[0].get_yticklabels(), comparison.lines, strict=True):
        label.set_fontweight("bold" if line.source == "run" else "normal")
    figure.suptitle(
        f"{for_plot(comparison.title)}: gain over {for_plot(comparison.baseline)} in per cent, to "
        "the right is better",
        fontsize=10,
        wrap=True,
    )
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box stands for it
        figure.savefig(temporary)


def limits(panels: Iterable[Sequence[float | None]]) -> tuple[float, float]:
    """From the lowest to the highest gain of all panels, with room for the numbers."""
    known = [0.0, *(gain for gains in panels for gain in gains if gain is not None)]
    low, high = min(known), max(known)
    room = 0.35 * (high - low) or 1.0
    return low - (room if low < 0 else 0.05 * room), high + room


def _panel(ax: Axes, title: str, gains: list[float | None], colours: list[str]) -> None:
    """Horizontal bars with their numbers; nothing where there is no gain."""
    ax.barh(range(len(gains)), [gain or 0.0 for gain in gains], color=colours, height=0.7)
    ax.axvline(0, color="black", linewidth=0.8)
    for y, gain in enumerate(gains):
        text = "-" if gain is None else f"{gain:+.2f}" if gain else "0"
        right = gain is None or gain >= 0
        ax.annotate(
            text,
            (gain or 0.0, y),
            xytext=(3 if right else -3, 0),
            textcoords="offset points",
            va="center",
            ha="left" if right else "right",
            fontsize=7,
        )
    ax.set_title(title, fontsize=9)
    ax.tick_params(axis="x", labelsize=7)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
