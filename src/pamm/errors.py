"""The one exception that means "the user can mend this", and the sentence for a mistyped name."""

from collections.abc import Iterable
from difflib import get_close_matches


class PammError(ValueError):
    """A mistake of the user: a missing file, an unknown name, a checkpoint of another model.

    Its text is one line that says what was given, what is wanted and what to do. The command line
    prints it without a traceback and exits with code 2.
    """


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that is not in a registry: the likely meaning first, then all names.

    >>> unknown("task", "semsg", ["depth", "semseg"])
    "unknown task 'semsg': did you mean 'semseg'? Known: depth, semseg"
    """
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" did you mean {close[0]!r}?" if close else ""
    return f"unknown {what} {name!r}:{hint} Known: {', '.join(names)}"
