"""How the cost of a token grows with the number of tokens."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from pamm.bench.compare import measure_shape
from pamm.bench.implementations import MAMBA_SSM, MAMBAPY, SEQUENTIAL, Scan
from pamm.bench.problems import PARTS, Shape
from pamm.bench.report import Table, significant
from pamm.bench.timing import Result, Settings
from pamm.runtime.files import replacing

SIDES = (16, 32, 64, 128, 256)
"""Of the square maps."""
CHANNELS, STATE = 192, 16
INK, FAINT = "#222222", "#d9d9d9"
STYLES = {
    "cpu": ("#08519c", "o"),
    "triton": ("#08519c", "o"),
    "reference": ("#4292c6", "s"),
    SEQUENTIAL: ("#333333", "^"),
    MAMBAPY: ("#7a7a7a", "D"),
    MAMBA_SSM: ("#7a7a7a", "v"),
}
"""Colour and marker; two of one colour do not run on one device."""
LABEL_SIZE = 9.5  # points


def shape_of(side: int) -> Shape:
    return Shape(1, CHANNELS, side, side, STATE)


def case_of(side: int) -> str:
    return f"{side}x{side}"


def measure_growth(
    scans: Mapping[str, Scan], settings: Settings, report: Callable[[str], None]
) -> list[Result]:
    """Both parts of every scan from the smallest map to the largest that it can do in time.

    A scan whose part is expected to take longer than `settings.limit` at the next size, four times
    the tokens, or that failed at this one, is left out from there on.
    """
    results: list[Result] = []
    going = dict(scans)
    for side in SIDES:
        found = measure_shape(case_of(side), shape_of(side), going, settings, report)
        results += found
        for result in found:
            if result.problem or 4 * result.median > settings.limit:
                going.pop(result.implementation, None)
        if not going:
            break
    return results


def nanoseconds(results: Sequence[Result]) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """By part and implementation: (side, nanoseconds per token, channel, state and direction)."""
    sides = {case_of(side): side for side in SIDES}
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for result in results:
        if result.seconds:
            side = sides[result.case]
            cost = 1e9 * result.median / shape_of(side).updates()
            found.setdefault((result.part, result.implementation), []).append((side, cost))
    return found


def growth_tables(results: Sequence[Result]) -> list[Table]:
    """One table for each part: a line for each implementation, a column for each size."""
    costs = nanoseconds(results)
    tables = []
    for part in PARTS:
        lines = {name: dict(points) for (of, name), points in costs.items() if of == part}
        rows = [
            [name, *(significant(at[side]) if side in at else "-" for side in SIDES)]
            for name, at in lines.items()
        ]
        title = (
            f"Growth, {part}: ns per token, channel, state and direction "
            f"({CHANNELS} channels, {STATE} states, 4 directions)"
        )
        tables.append(Table(title, ["tokens", *(f"{side}²" for side in SIDES)], rows))
    return tables


def draw_growth(results: Sequence[Result], path: Path, floors: Mapping[str, float]) -> None:
    """The tables as a picture: a flat line is a cost that does not grow.

    Args:
        results: of `measure_growth`.
        path: the file to write; its suffix says the format.
        floors: by part, the cost below which the arithmetic cannot be done, if that is known.
    """
    figure = Figure(figsize=(10, 4.6), dpi=160, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    costs = nanoseconds(results)
    for panel, part in zip(panels, PARTS, strict=True):
        draw_axes(panel, part)
        for (of, name), points in costs.items():
            if of == part:
                draw_line(panel, name, points)
        if part in floors:
            draw_floor(panel, floors[part])
    panels[0].set_ylabel("ns per token, channel, state and direction", color=INK)
    figure.draw_without_rendering()  # fixes where everything is
    for panel in panels:
        spread(panel, 72 / figure.dpi)
    with replacing(path) as temporary:
        figure.savefig(temporary)


def draw_axes(panel: Axes, part: str) -> None:
    """Everything but the data."""
    first, last = SIDES[0] ** 2, SIDES[-1] ** 2
    panel.set_title(part, loc="left", color=INK, fontsize=11, fontweight="bold")
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.set_xlim(first / 1.4, last * (last / first) ** 0.5)  # a third is for the names
    panel.set_xticks([side**2 for side in SIDES], [f"{side}²" for side in SIDES])
    panel.text((first * last) ** 0.5, -0.08, "tokens", color=INK, ha="center", va="top",
               transform=panel.get_xaxis_transform())  # fmt: skip
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.grid(axis="y", color=FAINT, linewidth=0.6)
    panel.tick_params(which="both", length=0, colors=INK)
    panel.minorticks_off()
    for edge in ("top", "right", "left"):
        panel.spines[edge].set_visible(False)
    panel.spines["bottom"].set_color(FAINT)
    panel.spines["bottom"].set_bounds(first, last)


def draw_line(panel: Axes, name: str, points: Sequence[tuple[int, float]]) -> None:
    """One implementation, with its name at the end instead of a legend."""
    colour, marker = STYLES[name]
    tokens, costs = [side**2 for side, _ in points], [cost for _, cost in points]
    panel.plot(tokens, costs, color=colour, marker=marker, markersize=5, linewidth=1.8)
    put_name(panel, name, (tokens[-1], costs[-1]), colour)


def draw_floor(panel: Axes, cost: float) -> None:
    """The least cost, dashed."""
    ends = [SIDES[0] ** 2, SIDES[-1] ** 2]
    panel.plot(ends, [cost, cost], color=INK, linewidth=0.9, dashes=(4, 3))
    put_name(panel, "vector-ALU floor", (ends[-1], cost), INK)


def put_name(panel: Axes, name: str, end: tuple[float, float], colour: str) -> None:
    panel.annotate(
        name, end, xytext=(9, 0), textcoords="offset points", va="center", color=colour,
        fontsize=LABEL_SIZE,
    )  # fmt: skip


def spread(panel: Axes, points: float) -> None:
    """Move names up that would be written over each other; a pixel has so many points."""
    names = [text for text in panel.texts if isinstance(text, Annotation)]
    heights = {text: panel.transData.transform(text.xy)[1] * points for text in names}
    below = float("-inf")
    for text in sorted(names, key=heights.__getitem__):
        place = max(heights[text], below + 1.3 * LABEL_SIZE)
        text.xyann = (9, place - heights[text])
        below = place
