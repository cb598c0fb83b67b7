"""The paper's tables I to VIII as data, and how a report's scores become what papers print."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pamm.errors import PammError, unknown
from pamm.runtime.strict_json import from_json, read_json

_FILE = Path(__file__).with_suffix(".json")
FRACTION = "fraction"
"""The unit of a report's score from 0 to 1, as in `pamm.tasks.base`, which would load PyTorch."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """How a task is scored in all tables."""

    score: str
    """The key of the number in a report of `pamm evaluate`."""
    unit: Literal["%", "degrees", "m"]
    higher_is_better: bool


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a table: one model on one data set."""

    method: str
    backbone: str
    scores: dict[str, float]
    """{task: as printed}; a task that the paper gives no number for is not in it."""
    delta_g: float
    """As printed, in per cent; see `Table.baseline`."""
    baseline: bool = False
    """Whether the gains of the table are over this row."""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of the paper, of Table I the half for one data set."""

    name: str
    """"table-1" to "table-8"."""
    dataset: str
    """A name of `pamm.data.DATASETS`."""
    title: str
    rows: tuple[Row, ...]
    note: str = ""

    @property
    def baseline(self) -> Row:
        """The row that the gains of the others are over."""
        return next(row for row in self.rows if row.baseline)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set as the paper describes it."""

    title: str
    images: int
    """Of the part that the scores are computed over."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """All of published.json."""

    source: str
    datasets: dict[str, Dataset]
    scores: dict[str, Score]
    tables: tuple[Table, ...]

    def table(self, name: str, dataset: str) -> Table:
        """The table of this name for a data set.

        Raises:
            PammError: there is none; the message lists those of the data set.
        """
        if name not in (every := {table.name: table for table in self.tables}):
            raise PammError(unknown("published table", name, [*every, "none"]))
        tables = {table.name: table for table in self.tables if table.dataset == dataset}
        if not tables:
            have = ", ".join(self.datasets)
            raise PammError(
                f"no published table has the data set {dataset!r}, only {have}; leave out "
                "--published"
            )
        if name not in tables:
            raise PammError(unknown(f"published table of {dataset}", name, [*tables, "none"]))
        return tables[name]


@cache
def published() -> Published:
    """What is in published.json."""
    return from_json(Published, read_json(_FILE))


def printed_unit(unit: str) -> str:
    """The unit in which papers print a score that has `unit` in a report."""
    return "%" if unit == FRACTION else unit


def as_printed(value: float, unit: str) -> float:
    """A score of a report as papers print it: fractions in per cent, others as they are.

    >>> as_printed(0.7912, "fraction"), as_printed(0.5349, "m"), as_printed(0.122, "")
    (79.12, 0.5349, 0.122)
    """
    return 100 * value if unit == FRACTION else value


def decimals(unit: str) -> int:
    """How many digits after the point papers give a score with this printed unit."""
    return {"%": 2, "degrees": 2}.get(unit, 4)
