"""What can be wrong with the files of one image, found by reading them all."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pamm.data.encodings import Classes, Encoding
from pamm.data.evidence import Evidence, evidence
from pamm.data.file_dataset import FileDataset, Layout, fit
from pamm.data.label_files import is_jpeg
from pamm.errors import PammError
from pamm.pictures.images import is_turned, read_image
from pamm.tasks import Task

Size = tuple[int, int]


@dataclass(frozen=True)
class Check:
    """A kind of trouble, before its cases are known."""

    severity: Literal["error", "warning"]
    name: str
    what: str
    """A phrase that follows the number of cases."""
    advice: str


@dataclass(kw_only=True)
class Seen:
    """What was found in the files of one image."""

    split: str
    name: str
    """Its id."""
    size: Size | None = None
    """Height and width, if the image could be read."""
    labelled: set[str] = field(default_factory=set)
    """Tasks that it has a label file for."""
    used: set[Path] = field(default_factory=set)
    """Its files."""
    evidence: dict[str, Evidence] = field(default_factory=dict)
    """Of its labels that could be read, by task."""
    troubles: list[tuple[Check, str]] = field(default_factory=list)


MISSING_IMAGE = Check(
    "error",
    "missing images",
    "images are missing",
    "copy them again, or delete their ids from the lists",
)
DAMAGED = Check(
    "error",
    "damaged files",
    "files cannot be read",
    "copy or unpack them again: they are cut short, or of another kind",
)
OTHER_SIZE = Check(
    "error",
    "size of labels",
    "labels have another size than their image",
    "take images and labels from the same copy of the data set: some are of uncropped images",
)


TURNED = Check(
    "warning",
    "turned images",
    "images are turned or mirrored by their EXIF orientation",
    "their labels must fit the image as it is seen; labels of the stored pixels do not: turn the "
    "image itself and remove the orientation",
)
LOSSY = Check(
    "error",
    "class numbers in JPEG",
    "files of class numbers are JPEG, which changes numbers",
    "make the label maps again as PNG from where they come from: what JPEG lost does not come back",
)


def remarks_on(task: str, encoding: Encoding) -> Check:
    """The check of what is odd in a task's label files, but may be meant."""
    what = f"files of {task} have odd values"
    return Check("warning", f"odd values of {task}", what, encoding.about_remarks)


def values_of(task: str) -> Check:
    """The check of what is in a task's label files."""
    return Check(
        "error",
        f"values of {task}",
        f"files of {task} have values that cannot be",
        "they are stored in another way than this data set's: convert them, or describe them as a "
        "`folder` data set, whose pamm.toml says how labels are stored",
    )


def look_at(
    dataset: type[FileDataset],
    folder: Path,
    split: str,
    name: str,
    *,
    layout: Layout,
    tasks: dict[str, Task],
) -> Seen:
    """Read all files of one image.

    Args:
        dataset: whose image it is.
        folder: of the data set.
        split: the image's.
        name: its id.
        layout: of its split.
        tasks: look at the labels of these.
    """
    seen = Seen(split=split, name=name)
    path = layout.image(folder, name)
    if path is None:
        seen.troubles.append((MISSING_IMAGE, f"{name} ({split})"))
        return seen
    seen.used.add(path)
    try:
        height, width = read_image(path).shape[:2]
        seen.size = height, width
        if is_turned(path):
            seen.troubles.append((TURNED, _case(path, folder)))
    except _TROUBLE as error:
        seen.troubles.append((DAMAGED, _told(error, path)))
    if seen.size and (remark := dataset.remark(seen.size)):
        what = f"images are {seen.size[0]}x{seen.size[1]}"
        case = _case(path, folder)
        seen.troubles.append((Check("warning", "size of images", what, remark), case))
    for task_name, task in tasks.items():
        if found := layout.label(folder, task_name, name):
            seen.labelled.add(task_name)
            seen.used.add(found[0])
            _look_at_label(seen, *found, task=task, folder=folder)
    return seen


_TROUBLE = (PammError, OSError, MemoryError)


def _look_at_label(seen: Seen, path: Path, encoding: Encoding, *, task: Task, folder: Path) -> None:
    file = _case(path, folder)
    try:
        if isinstance(encoding, Classes) and is_jpeg(path):
            seen.troubles.append((LOSSY, file))
            return
        values = encoding.read(path)
    except _TROUBLE as error:
        seen.troubles.append((DAMAGED, _told(error, path)))
        return
    reasons = encoding.complaints(values)
    try:
        target = encoding.target(values, task)
        seen.evidence[task.name] = evidence(file, seen.split, values, target, task)
    except PammError as error:
        reasons.append(str(error))
    if reasons:
        seen.troubles.append((values_of(task.name), f"{file} ({'; '.join(reasons)})"))
    elif remarks := encoding.remarks(values, task):
        seen.troubles.append((remarks_on(task.name, encoding), f"{file} ({'; '.join(remarks)})"))
    if seen.size is not None:
        try:
            fit(values, seen.size, encoding, path)
        except PammError:
            of_image = f"image {seen.size[0]}x{seen.size[1]}"
            case = f"{file} ({values.shape[0]}x{values.shape[1]}, {of_image})"
            seen.troubles.append((OTHER_SIZE, case))


def _case(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _told(error: BaseException, path: Path) -> str:
    if isinstance(error, PammError):
        return str(error)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{str(path)!r}: {reason}"
