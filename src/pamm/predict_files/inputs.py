"""What is to be predicted on: files, folders, patterns, and paths from standard input."""

import glob
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pamm.box import names_box
from pamm.checkpoint import model_in
from pamm.errors import PammError
from pamm.pictures.images import PHOTOGRAPHS_NOT_READ, SUFFIXES, list_images
from pamm.predict_files.video import is_video

STDIN = "-"


def expand(paths: Iterable[str | Path], report: Callable[[str], None]) -> tuple[list[Path], int]:
    """The files that paths stand for, each once, and how many paths stood for none.

    Args:
        paths: files; folders, for the image files directly in them; patterns such as
            "photos/**/*.jpg", where no file has that name; and "-", for paths on standard input, a
            line each.
        report: gets a line for each that stands for none.
    """
    files: dict[Path, None] = {}
    paths = list(paths)
    given = list(_from_stdin(paths))
    failed = 0
    if not given and paths:
        failed = 1
        report("failed: standard input names no file; give paths there, a line each")
    for path in given:
        try:
            files.update(dict.fromkeys(_expanded(path)))
        except PammError as error:
            failed += 1
            report(f"failed: {error}")
    return list(files), failed


def _from_stdin(paths: Iterable[str | Path]) -> Iterator[str | Path]:
    for path in paths:
        if path == STDIN and not os.path.exists(STDIN):
            yield from (line for line in sys.stdin.read().splitlines() if line)
        else:
            yield path


def _expanded(path: str | Path) -> list[Path]:
    text = str(path)
    if glob.has_magic(text) and not os.path.lexists(text):
        found = sorted(glob.glob(text, recursive=True))
        if not found:
            raise PammError(f"{text!r}: no file or folder is called like this")
        return [Path(name) for name in found if not os.path.isdir(name)]
    return list_images([path])


def names_images(path: str) -> bool:
    """Whether what a user typed stands for images, and not for a model.

    "box" and "box:NAME" are models. Else what is there decides: a file stands for an image, and a
    folder if image files are in it and no model. What is not there does if it is "-" or a pattern,
    or is called like an image or a video.
    """
    if names_box(path):
        return False
    if path == STDIN or (not os.path.lexists(path) and glob.has_magic(path)):
        return True
    if os.path.isdir(path):
        return model_in(Path(path)) is None and _holds_images(path)
    like_an_image = Path(path).suffix.lower() in SUFFIXES | PHOTOGRAPHS_NOT_READ
    return os.path.lexists(path) or like_an_image or is_video(Path(path))


def _holds_images(folder: str) -> bool:
    try:
        list_images([folder])
    except PammError:
        return False
    return True


def folder_names(files: Iterable[Path]) -> list[str]:
    """A folder's name for each file: its stem, with a number for the second one of a stem."""
    taken: set[str] = set()
    return [_unused(_stem(path), taken) for path in files]


def _stem(path: Path) -> str:
    """The file's name without its suffix; with it where nothing else than dots is left."""
    return path.stem if path.stem.strip(".") else path.name


def _unused(stem: str, taken: set[str]) -> str:
    """`stem`, or with the first number that makes it new; case does not count, as on some disks."""
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.casefold())
    return name
