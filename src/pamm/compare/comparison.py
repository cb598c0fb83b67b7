"""Which lines a comparison has, and their gains over a baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pamm.compare.delta_g import delta_g
from pamm.compare.published import Table, published
from pamm.compare.reports import Column, Report, check_comparable, read_report
from pamm.errors import PammError
from pamm.runtime.text import counted

ROUNDING = 0.0051
"""How far a printed Delta_g may be from the exact one, in per cent."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One model in the table."""

    name: str
    backbone: str
    source: str
    """"run", or the name of the published table."""
    scores: dict[str, float]
    """{task: as printed}; a task without a score is not in it."""
    gains: dict[str, float] = field(default_factory=dict)
    """{task: relative gain over the baseline in per cent}, above 0 is better."""
    delta_g: float | None = None
    """Mean of the gains in per cent; None where the model or the baseline lacks a task."""
    marked: bool = False
    """Whether its scores are not computed exactly as the published ones: see the notes."""

    @property
    def label(self) -> str:
        """The name, unlike that of any other line."""
        return self.name if self.source == "run" else f"{self.name}, {self.backbone}"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A table like the paper's Table I."""

    title: str
    dataset: str
    split: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    baseline: str
    """The label of the line that gains are over; "" without one."""
    notes: tuple[str, ...]
    """What must be known beside the numbers."""


def compare(
    runs: Sequence[str],
    *,
    baseline: str | None = None,
    table: str | None = None,
    checkpoint: str = "last",
) -> Comparison:
    """Runs of one data set beside each other and beside published rows.

    Args:
        runs: run directories, folders with a metrics.json, or such files.
        baseline: the run that gains are over, among `runs` or another; None = the baseline row of
            the published table, if one is shown.
        table: which published one to show, "table-1" to "table-8", or "none"; None = "table-1"
            where there is one for the data set.
        checkpoint: "last" or "best", of run directories.

    Raises:
        PammError: a run without a report; reports of other data, images or protocols than those
            of the first; a published table of other data or scored otherwise.
    """
    names = list(dict.fromkeys([*([] if baseline is None else [baseline]), *runs]))
    if not names:
        raise PammError("pamm compare RUN...: want at least one run")
    reports = [read_report(name, checkpoint) for name in names]
    check_comparable(reports)
    columns = tuple({c.task: c for report in reports for c in report.columns}.values())
    shown, notes = choose_table(reports[0], table)
    reasons = {r.run: unlike_published(r) if shown else list(r.notes) for r in reports}
    lines = [
        Line(name=r.run, backbone=r.backbone, source="run", scores=r.scores, marked=bool(why))
        for r, why in zip(reports, reasons.values(), strict=True)
    ]
    base = lines[0] if baseline is not None else None
    if shown:
        rows = published_lines(shown, columns)
        base = base or rows[shown.rows.index(shown.baseline)]
        lines += rows
    if base:
        lines = [with_gains(line, base, columns) for line in lines]
    notes += daggers(reasons)
    notes += differences(reports) + notes_on_gains(shown, lines, base, columns)
    for row in shown.rows if shown else ():
        notes += [f"{row.method}, {row.backbone}: {row.note}"] if row.note else []
    data = reports[0].data
    known = published().datasets.get(data["name"])
    return Comparison(
        title=f"{known.title if known else data['name']}, {data['split']}",
        dataset=data["name"],
        split=data["split"],
        columns=columns,
        lines=tuple(lines),
        baseline=base.label if base else "",
        notes=tuple(notes),
    )


def choose_table(report: Report, name: str | None) -> tuple[Table | None, list[str]]:
    """The published table to show beside runs like this one, if any, and why not."""
    data, preset = report.data, report.common["preset"]
    if name == "none" or (name is None and data["name"] not in published().datasets):
        return None, []
    table = published().table(name or "table-1", data["name"])
    why = ""
    if data["split"] != "val":
        why = f"the scores of {report.run} are on the part {data['split']!r}, published ones on val"
    elif preset != "official":
        why = f"{report.run} was evaluated with --protocol {preset}, published scores are official"
    if why and name:
        raise PammError(f"{why}: evaluate accordingly, or leave out --published")
    return (None, [f"no published rows: {why}"]) if why else (table, [])


def unlike_published(report: Report) -> list[str]:
    """How the scores of a run differ in their making from those of the paper."""
    reasons = list(report.notes)
    images = published().datasets[report.data["name"]].images
    if report.data["images"] != images:
        reasons.append(
            f"on {counted(report.data['images'], 'image')}, the published scores on {images}"
        )
    scales, flip = report.common["scales"], report.common["flip"]
    if scales != [1.0] or flip:
        listed = ", ".join(f"{scale:g}" for scale in scales)
        views = f"scales {listed}" + (", each also mirrored" if flip else "")
        reasons.append(f"the mean prediction at {views}, the published scores at scale 1 alone")
    return reasons


def daggers(reasons: Mapping[str, Sequence[str]]) -> list[str]:
    """{run: reasons} as notes, each reason once with its runs."""
    runs: dict[str, list[str]] = {}
    for run, found in reasons.items():
        for reason in found:
            runs.setdefault(reason, []).append(run)
    return [f"† {', '.join(names)}: {reason}" for reason, names in runs.items()]


def published_lines(table: Table, columns: Sequence[Column]) -> list[Line]:
    """The rows of a table, with the scores that have a column."""
    return [
        Line(
            name=row.method,
            backbone=row.backbone,
            source=table.name,
            scores={c.task: row.scores[c.task] for c in columns if c.task in row.scores},
        )
        for row in table.rows
    ]


def with_gains(line: Line, base: Line, columns: Sequence[Column]) -> Line:
    """The line with its gains over another."""
    lower = {c.task for c in columns if not c.higher_is_better}
    gains = {
        task: delta_g({task: score}, {task: base.scores[task]}, lower)
        for task, score in line.scores.items()
        if base.scores.get(task)
    }
    whole = len(gains) == len(columns)
    return replace(line, gains=gains, delta_g=sum(gains.values()) / len(gains) if whole else None)


def differences(reports: Sequence[Report]) -> list[str]:
    """What differs between the runs and does not forbid a comparison, a sentence each."""
    notes = []
    for what, of in {
        "precision": lambda r: r.common["precision"],
        "image size": lambda r: "x".join(map(str, r.data["size"])),
        "tasks": lambda r: ", ".join(r.protocol),
    }.items():
        found = {report.run: of(report) for report in reports}
        if len(set(found.values())) > 1:
            listed = "; ".join(f"{run}: {value}" for run, value in found.items())
            notes.append(f"these runs differ in {what}: {listed}")
    lists = {
        f"{task}: over the {counted(p['images']['count'], 'image')} of {p['images']['list']}"
        for report in reports
        for task, p in report.protocol.items()
        if p["images"]["list"] != "all"
    }
    return notes + sorted(lists)


def notes_on_gains(
    table: Table | None, lines: Sequence[Line], base: Line | None, columns: Sequence[Column]
) -> list[str]:
    """What the gains are over, and which published ones are not those of this table, and why."""
    if base is None:
        return ["no gains: name the run that they should be over with --baseline"]
    notes = [f"Δg is the mean relative gain over {base.label}"]
    if table is None:
        return notes
    tasks = {task for row in table.rows for task in row.scores}
    if base.source == "run":
        return [*notes, "Δg of the published rows is over that run, too, so not as printed"]
    if tasks != {c.task for c in columns}:
        return [*notes, f"Δg is not as printed: the paper's is over {', '.join(sorted(tasks))}"]
    rows = [line for line in lines if line.source == table.name]
    for line, row in zip(rows, table.rows, strict=True):
        if line.delta_g is None:
            notes.append(f"{line.label}: the paper prints Δg {row.delta_g}, but not all scores")
        elif abs(line.delta_g - row.delta_g) > ROUNDING:
            notes.append(
                f"{line.label}: the paper prints Δg {row.delta_g}, but its scores give "
                f"{line.delta_g:.2f}"
            )
    return notes
