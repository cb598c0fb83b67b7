"""The folders of a run: `last-<step>` and `best-<step>`, by name alone; nothing is loaded."""

import os
import re
from pathlib import Path

from pamm.errors import PammError
from pamm.runtime.files import reason

_NAME = re.compile(r"(last|best)-\d+")


def folders(run: Path, kind: str) -> list[Path]:
    """The folders `<kind>-<step>` of a run, by step.

    Raises:
        PammError: the run's folder cannot be read; one that is not there has none.
    """
    try:
        names = os.listdir(run)
    except FileNotFoundError:
        names = []
    except OSError as error:
        raise PammError(f"{str(run)!r} cannot be read: {reason(error)}") from None
    found = [run / name for name in names if _NAME.fullmatch(name) and name.startswith(kind)]
    return sorted(found, key=step_of)


def newest(run: Path, kind: str) -> Path | None:
    """The folder `<kind>-<step>` of a run with the highest step, or None."""
    return next(reversed(folders(run, kind)), None)


def step_of(folder: Path) -> int:
    """The number of steps in the name of such a folder."""
    return int(folder.name.rpartition("-")[2])
