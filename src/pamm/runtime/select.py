"""Some tasks by name, of whatever has tasks: a data set, a model, a file."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from pamm.errors import PammError, unknown

V = TypeVar("V")


def select_tasks(known: Mapping[str, V], names: str | Iterable[str] | None) -> dict[str, V]:
    """The named tasks out of `known`, or the one, in the order of the names; None = all.

    Raises:
        PammError: a name that is not known, or no name at all.
    """
    names = known if names is None else [names] if isinstance(names, str) else names
    wanted = f"want one or more of {', '.join(known)}"
    if not isinstance(names, Iterable):
        raise PammError(f"tasks: got {names!r}, {wanted}")
    given = list(names)
    for name in given:
        if not isinstance(name, str) or name not in known:
            raise PammError(unknown("task", str(name), known))
    if not given:
        raise PammError(f"tasks: got none, {wanted}")
    return {name: known[name] for name in given}
