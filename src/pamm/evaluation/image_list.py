"""Which images of a data set a score is computed over: all, or those listed in a file."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pamm.errors import PammError


@dataclass(frozen=True, kw_only=True)
class ImageList:
    """The ids of some images."""

    name: str
    """Of the file, or "all"."""
    ids: frozenset[str]

    def describe(self) -> dict[str, Any]:
        """For a report: the name, the number of images, and a hash that tells lists apart."""
        text = "".join(f"{image}\n" for image in sorted(self.ids))
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        return {"list": self.name, "count": len(self.ids), "sha256": digest}


def read_image_list(path: Path, known: Iterable[str], *, where: str) -> ImageList:
    """The list in a text file: one id a line, in any order; empty lines do not count.

    Args:
        path: the file.
        known: the ids of the data set.
        where: the data set, for messages.

    Raises:
        PammError: a file that cannot be read or is empty, an id that comes twice or is not known.
    """
    try:
        text = path.read_text("utf-8-sig", errors="surrogateescape")  # as file names are read
    except OSError as error:
        raise PammError(f"list of images {str(path)!r} cannot be read: {error.strerror}") from None
    if "\0" in text:
        raise PammError(f"list of images {str(path)!r} cannot be read: it is not a text file")
    lines = [line.strip() for line in text.splitlines()]
    listed = [line for line in lines if line]
    if not listed:
        raise PammError(f"list of images {str(path)!r} is empty; want an id on each line")
    ids, have = frozenset(listed), frozenset(known)
    if len(ids) < len(listed):
        twice = next(image for image in listed if listed.count(image) > 1)
        raise PammError(f"list of images {str(path)!r}: {twice!r} comes more than once")
    if foreign := sorted(ids - have):
        raise PammError(
            f"list of images {str(path)!r}: {len(foreign)} of {len(ids)} ids are not among the "
            f"{len(have)} images of {where}, such as {foreign[0]!r}; want ids like {min(have)!r}"
        )
    return ImageList(name=path.name, ids=ids)
