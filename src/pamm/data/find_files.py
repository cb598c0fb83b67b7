"""Finding the files of a pattern such as images/{id}.jpg, however their endings are written.

An ending stands for itself in small and capital letters, and .jpg and .jpeg are one, as are .tif
and .tiff. The ending .* stands for that of any picture. {id} may be a path with folders in it.
"""

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from pamm.errors import PammError
from pamm.pictures.images import SUFFIXES

ANY = ".*"
_SAME = ((".jpg", ".jpeg"), (".tif", ".tiff"))


@lru_cache
def endings(ending: str) -> tuple[str, ...]:
    """The endings that the ending of a pattern stands for, itself first."""
    if ending == ANY:
        plain = (".png", ".jpg", ".jpeg", *sorted(SUFFIXES))  # the frequent ones first
    else:
        plain = (ending, *next((same for same in _SAME if ending.lower() in same), (ending,)))
    cases = (plain, *((e.lower(), e.upper(), e[:1] + e[1:].capitalize()) for e in plain))
    return tuple(dict.fromkeys(e for group in cases for e in group))


def find(folder: Path, pattern: str, name: str) -> Iterator[str]:
    """The files of an id that are there, as paths under the folder, in the order of `endings`."""
    start, ending = os.path.splitext(pattern)
    start = start.replace("{id}", name)
    paths = (start + one for one in endings(ending))
    return (path for path in paths if os.path.exists(folder / path))


def key(path: str) -> tuple[str, str]:
    """The same for all ways to write a file's ending."""
    start, ending = os.path.splitext(path)
    ending = ending.lower()
    return start, next((same[0] for same in _SAME if ending in same), ending)


def matching(folder: Path, pattern: str) -> Iterator[tuple[str, str]]:
    """(id, path under the folder) of all files that match a pattern, also in folders in folders.

    Raises:
        PammError: a folder that may not be read.
    """
    stem, ending = os.path.splitext(pattern)
    known = {one.lower() for one in endings(ending)}
    start, _, end = stem.partition("{id}")
    whole = re.compile(re.escape(start) + "(.+)" + re.escape(end), re.DOTALL)
    for path in _files(folder, start.rpartition("/")[0]):
        bare, found = os.path.splitext(path) if ending else (path, "")
        if found.lower() in known and (match := whole.fullmatch(bare)):
            yield match[1], path


def _files(
    folder: Path, place: str, above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[str]:
    """All files under folder/place, without hidden ones: these are half-written, or of macOS.

    Links are followed, unless they lead back to a folder that they are in (`above`).
    """
    try:
        status = os.stat(folder / place)
        here = (status.st_dev, status.st_ino)
        if here in above:
            return
        with os.scandir(folder / place) as entries:
            inside = sorted((e for e in entries if e.name[0] != "."), key=lambda e: e.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise PammError(
            f"the folder {str(folder / place)!r} cannot be read: {error.strerror or error}"
        ) from None
    for entry in inside:
        path = f"{place}/{entry.name}" if place else entry.name
        if entry.is_dir():
            yield from _files(folder, path, above | {here})
        else:
            yield path
