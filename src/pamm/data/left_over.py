"""Files in the folders of a data set that it does not use."""

import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from pamm.data.file_dataset import Layout
from pamm.pictures.images import SUFFIXES

ENDINGS = SUFFIXES | {".npy", ".npz", ".mat"}


def left_over(
    layouts: Mapping[str, Layout],
    folder: Path,
    *,
    tasks: Collection[str],
    listed: Mapping[str, Collection[str]],
    used: Collection[Path],
) -> tuple[list[str], list[str]]:
    """The files beside those that are used: (that fit no pattern, labels without an image).

    Images that are in no list are not among them, nor files of other tasks.

    Args:
        layouts: of each split.
        folder: of the data set.
        tasks: those whose labels are used.
        listed: the ids of each split.
        used: all files that are.
    """
    images = [p for layout in layouts.values() for p in layout.images]
    labels = {p for layout in layouts.values() for t in tasks for p in layout.labels[t]}
    others = {p for layout in layouts.values() for t in layout.labels for p in layout.labels[t]}
    folders = {path.parent for path in used}
    folders |= {folder / os.path.dirname(p.partition("{id}")[0]) for p in (*images, *labels)}
    ids = {name for names in listed.values() for name in names}
    strange, lonely = [], []
    for path in _files(folders):
        if path in used:
            continue
        case = Path(os.path.relpath(path, folder)).as_posix()
        if name := _id(case, images):
            if name in ids:  # another file of the same name comes first
                strange.append(case)
        elif name := _id(case, labels):
            lost = all(layout.image(folder, name) is None for layout in layouts.values())
            if lost and name not in ids:  # of listed ones the missing image is told of
                lonely.append(case)
        elif not _id(case, others):
            strange.append(case)
    return strange, lonely


def _files(folders: Iterable[Path]) -> list[Path]:
    found = []
    for folder in sorted(folders):
        try:
            entries = [entry for entry in os.scandir(folder) if entry.is_file()]
        except OSError:
            continue  # who needs a file of it has said so
        found += [
            folder / entry.name
            for entry in sorted(entries, key=lambda entry: entry.name)
            if Path(entry.name).suffix.lower() in ENDINGS and not entry.name.startswith(".")
        ]
    return found


def _id(case: str, patterns: Iterable[str]) -> str | None:
    for pattern in patterns:
        start, _, end = os.path.normpath(pattern).replace(os.sep, "/").partition("{id}")
        if match := re.fullmatch(re.escape(start) + "(.+)" + re.escape(end), case):
            return match[1]
    return None
