"""Names that others chose, shown as they are: on any terminal, in tables, plots and files.

A file's name may hold anything but a slash, among it line feeds, escape sequences of terminals,
what rich or matplotlib take for markup, and bytes that are no text, which Python keeps as lone
surrogates. A terminal may know few characters.
"""

import re
import sys

from rich.text import Text

SPELLED = {"Δ": "Delta_", "†": "*", "°": " deg", "↑": "^", "↓": "v", "²": "^2"}
"""The characters beyond ASCII in tables, for a terminal that has none."""


def printable(text: object) -> str:
    r"""The text in one line, with a backslash sequence for each character that cannot be shown.

    >>> print(printable("a\nb \udcff é"))
    a\nb \udcff é
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text)
    )


def for_table(text: object, style: str = "") -> Text:
    """A cell of a table of rich, in which nothing is markup."""
    return Text(for_terminal(printable(text)), style)


def for_terminal(text: str, encoding: str | None = None) -> str:
    """The text spelled with what the encoding has; by default that of the standard output.

    >>> for_terminal("Δg ↑", "ascii")
    'Delta_g ^'
    """
    encoding = encoding or getattr(sys.stdout, "encoding", None) or "utf-8"
    for character, spelled in SPELLED.items():
        try:
            character.encode(encoding)
        except UnicodeEncodeError:
            text = text.replace(character, spelled)
    return text


def for_plot(text: object) -> str:
    r"""The text for matplotlib, to which dollars are the begin and end of a formula.

    >>> print(for_plot("a$b^{c$"))
    a\$b^{c\$
    """
    return printable(text).replace("$", r"\$")


def for_markdown(text: object) -> str:
    r"""The text as a cell of a Markdown table.

    >>> print(for_markdown("a|b_c _d_ <e>"))
    a\|b_c \_d\_ \<e\>
    """
    return re.sub(r"[\\`*\[\]<>|$]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", printable(text))


def utf8(text: str) -> str:
    r"""The text as it can be written in UTF-8: lone surrogates become \udc80 to \udcff.

    In JSON that is the same character.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "image"), counted(2, "image"), counted(0, "entry", "entries")
    ('1 image', '2 images', '0 entries')
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def cell(value: float | None, decimals: int) -> str:
    """A number as printed in tables; "-" where there is none.

    >>> cell(1 / 3, 2), cell(-0.001, 2), cell(None, 2)
    ('0.33', '0.00', '-')
    """
    return "-" if value is None else f"{round(value, decimals) + 0.0:.{decimals}f}"  # no -0.00


def first_line(error: Exception) -> str:
    """The beginning of an error's text, for a message of one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
