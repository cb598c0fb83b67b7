"""Ids of images: lists of them in files, and a share of them that chance chooses."""

import hashlib
from pathlib import Path

from pamm.errors import PammError
from pamm.runtime.files import check_regular


def read_ids(path: Path, split: str) -> list[str]:
    """The ids in a text file, one a line.

    Raises:
        PammError: it is missing, unreadable or empty.
    """
    check_regular(path)
    try:
        names = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except FileNotFoundError:
        raise PammError(f"no file {str(path)!r}; want the ids of {split}, one a line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PammError(f"{str(path)!r} cannot be read as a list of ids: {error}") from None
    names = [name for name in names if name]
    if not names:
        raise PammError(f"{str(path)!r} is empty; want the ids of {split}, one a line")
    return names


def share_of(names: list[str], split: str, validation: float) -> list[str]:
    """Those of the names that belong to a split, where validation takes a share of them.

    Each name has its own random number, so that an image stays in its split whatever else is added;
    only the lowest or highest moves where a split would be empty.

    Raises:
        PammError: fewer than two names.
    """
    if len(set(names)) < 2:
        raise PammError(f"validation takes a share of the images; got {len(names)}, want 2 or more")
    lots = {name: _lot(name) for name in names}
    lowest, highest = min(lots, key=lots.__getitem__), max(lots, key=lots.__getitem__)
    for_validation = {name for name, lot in lots.items() if lot < validation and name != highest}
    for_validation.add(lowest)
    return [name for name in names if (name in for_validation) == (split == "val")]


def _lot(name: str) -> float:
    """A random number in 0..1 that belongs to a name."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
