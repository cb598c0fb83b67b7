"""The reports that `pamm evaluate` left, and whether they may stand in one table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pamm.compare.published import as_printed, printed_unit, published
from pamm.errors import PammError
from pamm.runtime.run_folder import newest
from pamm.runtime.strict_json import from_json, read_json

REPORT = "metrics.json"
_DATA = {"name": str, "split": str, "images": int, "size": tuple[int, int]}
_HOW = {"preset": str, "scales": tuple[float, ...], "flip": bool, "precision": str}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One task of a table."""

    task: str
    score: str
    """The name of the number, such as "mIoU"."""
    unit: str
    """As printed: "%", "degrees", "m" or another one; "" for a plain number."""
    higher_is_better: bool


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a table needs of a metrics.json."""

    run: str
    """As the user named it."""
    backbone: str
    data: dict[str, Any]
    """name, split, images, size."""
    columns: tuple[Column, ...]
    scores: dict[str, float]
    """{task: main score as printed}; a task whose score is not a number is not in it."""
    protocol: dict[str, dict[str, Any]]
    notes: tuple[str, ...]

    @property
    def common(self) -> dict[str, Any]:
        """What the protocols of all tasks share: preset, scales, flip, precision, step."""
        return next(iter(self.protocol.values()))


def read_report(run: str, checkpoint: str) -> Report:
    """The report of a run directory, of a folder with a metrics.json, or of that file itself.

    Raises:
        PammError: there is none, or it cannot be understood.
    """
    path = find_report(run, checkpoint)
    again = f"run `pamm evaluate {run}` again"
    try:
        report = _report(run, read_json(path))
    except (KeyError, TypeError, PammError) as error:
        kind = "" if isinstance(error, PammError) else f"{type(error).__name__}: "
        raise PammError(
            f"{str(path)!r} is not a report that this version of pamm can compare "
            f"({kind}{error}); {again}"
        ) from None
    if not report.columns:
        raise PammError(f"{str(path)!r} has no task; {again}")
    return report


def _report(run: str, content: Any) -> Report:
    def get(kind: Any, *keys: str) -> Any:
        value = content
        for key in keys:
            value = value[key]
        return from_json(kind, value, where=".".join(keys))

    columns = tuple(
        Column(
            task=name,
            score=get(str, "tasks", name, "score"),
            unit=printed_unit(get(str, "tasks", name, "unit")),
            higher_is_better=get(bool, "tasks", name, "higher_is_better"),
        )
        for name in get(dict, "tasks")
    )
    fractions = {score.score for score in published().scores.values() if score.unit == "%"}
    for column in columns:
        if not column.unit and column.score in fractions:
            raise TypeError(f"a version of old gave {column.score} no unit")
    values = {c.task: get(float | None, "scores", c.task, c.score) for c in columns}
    units = {name: task["unit"] for name, task in content["tasks"].items()}
    for name in [column.task for column in columns]:  # what is asked of it later
        for key, kind in _HOW.items():
            get(kind, "protocol", name, key)
        get(str, "protocol", name, "images", "list")
        get(int, "protocol", name, "images", "count")
    return Report(
        run=run,
        backbone=get(str, "backbone"),
        data={key: get(kind, "data", key) for key, kind in _DATA.items()},
        columns=columns,
        scores={n: as_printed(v, units[n]) for n, v in values.items() if v is not None},
        protocol={c.task: get(dict, "protocol", c.task) for c in columns},
        notes=get(tuple[str, ...], "notes"),
    )


def find_report(run: str, checkpoint: str) -> Path:
    """The metrics.json of a run: of the newest checkpoint of the kind, if it has several."""
    folder = Path(run)
    if folder.is_file():
        return folder
    if (folder / REPORT).is_file():
        return folder / REPORT
    if not folder.is_dir():
        raise PammError(f"no run at {run!r}; give a folder that `pamm train` wrote")
    found = newest(folder, checkpoint)
    if found is None:
        raise PammError(
            f"{run!r} holds no {checkpoint}-<step> folder: train first, or give a run directory"
        )
    if not (found / REPORT).is_file():
        option = "" if checkpoint == "last" else f" --checkpoint {checkpoint}"
        raise PammError(f"{str(found)!r} has no {REPORT}: run `pamm evaluate {run}{option}` first")
    return found / REPORT


def check_comparable(reports: Sequence[Report]) -> None:
    """Raise unless all scores were computed on the same images in the same way.

    Raises:
        PammError: the data set, its part, the images or the protocol of a task differ.
    """
    first = reports[0]
    for other in reports[1:]:
        for key in ("name", "split", "images"):
            if first.data[key] != other.data[key]:
                raise differ(first, other, f"data {key}", first.data[key], other.data[key])
        for key in ("preset", "scales", "flip"):  # the same for all tasks of a report
            if first.common[key] != other.common[key]:
                raise differ(first, other, key, first.common[key], other.common[key])
        for task in [task for task in first.protocol if task in other.protocol]:
            one, two = conditions(first.protocol[task]), conditions(other.protocol[task])
            for key in [*one, *(key for key in two if key not in one)]:
                if one.get(key) != two.get(key):
                    raise differ(first, other, f"{task}: {key}", one.get(key), two.get(key))


def conditions(protocol: dict[str, Any]) -> dict[str, Any]:
    """What must agree between two scores of a task, one value a key."""
    images = {f"images {key}": protocol["images"].get(key) for key in ("count", "sha256")}
    separate = {"step", "precision", "images"}
    return images | {k: v for k, v in protocol.items() if k not in separate}


def differ(first: Report, other: Report, what: str, one: Any, two: Any) -> PammError:
    """The error of two reports that do not belong together."""
    return PammError(
        f"{first.run!r} and {other.run!r} cannot be compared: {what} is {one!r} and {two!r}; "
        "evaluate both on the same images and with the same options"
    )
