"""What can be wrong with the files of one image, found by reading them all."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pamm.data.encodings import Array, Encoding
from pamm.data.file_dataset import FileDataset, Layout, fit
from pamm.errors import PammError
from pamm.images import read_image
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
    try:
        height, width = read_image(path).shape[:2]
        seen.size = height, width
    except PammError as error:
        seen.troubles.append((DAMAGED, str(error)))
    if seen.size and (remark := dataset.remark(seen.size)):
        what = f"images are {seen.size[0]}x{seen.size[1]}"
        case = path.relative_to(folder).as_posix()
        seen.troubles.append((Check("warning", "size of images", what, remark), case))
    for task_name, task in tasks.items():
        if found := layout.label(folder, task_name, name):
            seen.labelled.add(task_name)
            seen.troubles += _label_troubles(*found, task=task, size=seen.size, folder=folder)
    return seen


def _label_troubles(
    path: Path, encoding: Encoding, *, task: Task, size: Size | None, folder: Path
) -> list[tuple[Check, str]]:
    try:
        values = encoding.read(path)
    except PammError as error:
        return [(DAMAGED, str(error))]
    file = path.relative_to(folder).as_posix()
    check = values_of(task.name)
    troubles = [(check, f"{file} ({reason})") for reason in _reasons(values, encoding, task)]
    for what, advice in encoding.remarks(values):
        troubles.append((Check("warning", f"form of {task.name}", what, advice), file))
    if size is not None:
        try:
            fit(values, size, encoding, path)
        except PammError:
            case = f"{file} ({values.shape[0]}x{values.shape[1]}, image {size[0]}x{size[1]})"
            troubles.append((OTHER_SIZE, case))
    return troubles


def _reasons(values: Array, encoding: Encoding, task: Task) -> list[str]:
    reasons = encoding.complaints(values)
    try:
        encoding.target(values, task)
    except PammError as error:
        reasons.append(str(error))
    return reasons
