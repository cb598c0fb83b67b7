"""Where tables are printed."""

from rich.console import Console

WIDTH = 10_000


def console() -> Console:
    """A console on standard output that prints everything whole, and text as it is.

    What is printed does not depend on the width of the terminal, or on there being one: no table
    loses digits or whole columns where it is narrow, no line is broken in the middle of a path.
    Long lines are left to the terminal. Brackets and colons of names are no markup.
    """
    return Console(width=WIDTH, markup=False, emoji=False, highlight=False)
