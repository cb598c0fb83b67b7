"""Files that appear whole or not at all; and what is no file."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pamm.errors import PammError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it when the block ends well, deleted otherwise.

    The temporary name keeps the suffix, since many writers choose the format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")


def check_regular(path: Path) -> None:
    """Refuse to open a pipe, a socket or a device, which may block or never end.

    Raises:
        PammError: it is one.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return  # who opens it tells what is wrong
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise PammError(f"{str(path)!r} is a pipe, a socket or a device; give a file")
