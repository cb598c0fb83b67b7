"""Data sets of files: lists of ids, an image each, and per task a label file that may be missing.

A data set is a class with a `Layout`: where the files are, and how their labels are stored.
"""

import glob
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from pamm.data.dataset import MultiTaskDataset
from pamm.data.encodings import Array, Encoding, nearest
from pamm.data.sample import Sample
from pamm.data.transforms import Transform
from pamm.errors import PammError
from pamm.files import check_regular
from pamm.images import read_image
from pamm.tasks import Task

ROOT_VARIABLE = "PAMM_DATA"
"""Environment variable: the folder of the data set, or one that holds it."""

Patterns = Mapping[str, Encoding]
"""Path of a label file under the data set's folder -> how it is stored; the first that exists."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which files a data set has, and what is in them. Paths are relative to its folder.

    In a pattern, {id} stands for the name of an image and {split} for train or val.
    """

    tasks: Mapping[str, Task]
    images: tuple[str, ...]
    """Patterns of the images; the first that exists counts."""
    labels: Mapping[str, Patterns]
    """Of each task."""
    lists: Mapping[str, str] = field(default_factory=dict)
    """Split -> text file with an id a line. Without one: all images that match, by name."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Split -> number of images that published scores are about, where there are such scores."""

    def of_split(self, split: str) -> "Layout":
        """The layout with {split} filled in."""

        def fill(pattern: str) -> str:
            return pattern.replace("{split}", split)

        return replace(
            self,
            images=tuple(map(fill, self.images)),
            labels={
                task: {fill(p): e for p, e in patterns.items()}
                for task, patterns in self.labels.items()
            },
        )

    def names(self, folder: Path, split: str) -> list[str]:
        """The ids of a split as they are listed; for a layout that `of_split` gave.

        Raises:
            PammError: the list is missing, unreadable or empty; or no image matches.
        """
        if split not in self.lists:
            if found := self.matching(folder):
                return found
            raise PammError(f"no image in {str(folder)!r} matches {' or '.join(self.images)}")
        path = folder / self.lists[split]
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

    def image(self, folder: Path, name: str) -> Path | None:
        """The image of an id, if it is there."""
        return next((p for p in _files(folder, self.images, name) if os.path.exists(p)), None)

    def label(self, folder: Path, task: str, name: str) -> tuple[Path, Encoding] | None:
        """The label file of an id for a task and its encoding, if there is one."""
        patterns = self.labels[task]
        files = zip(_files(folder, patterns, name), patterns.values(), strict=True)
        return next((found for found in files if os.path.exists(found[0])), None)

    def matching(self, folder: Path) -> list[str]:
        """The ids of all images that are there, sorted."""
        found = set()
        for pattern in self.images:
            start, _, end = pattern.partition("{id}")
            whole = re.compile(re.escape(start) + "(.+)" + re.escape(end))
            for path in folder.glob("*".join(map(glob.escape, (start, end)))):
                hidden = path.name.startswith(".")  # half-written, or of macOS
                match = whole.fullmatch(path.relative_to(folder).as_posix())
                if match and not hidden:
                    found.add(match[1])
        return sorted(found)


class FileDataset(MultiTaskDataset):
    """Images and labels from files. A data set declares `NAME`, `FOLDERS`, `TASKS` and `LAYOUT`.

    A label file that is missing means that the image is not labelled for the task. Raw items are as
    `Sample` says, at the images' own sizes.

    Args:
        split, tasks, transform: as of `MultiTaskDataset`.
        size: not used: images have sizes of their own.
        count: use the first so many images; None = all.
        root: the data set's folder, or one that holds it; None = the environment variable
            PAMM_DATA.

    Raises:
        PammError: no such folder, split or task; a list of ids or images that are missing. Reading
            an item also raises it, for a damaged file or a label of another size than its image.
    """

    NAME: ClassVar[str]
    """Its key in `DATASETS`."""
    FOLDERS: ClassVar[tuple[str, ...]] = ()
    """How its folder is called in the public archives."""
    LAYOUT: ClassVar[Layout]
    same_size: ClassVar[bool] = False

    def __init__(
        self,
        split: str = "train",
        *,
        tasks: Iterable[str] | None = None,
        size: tuple[int, int] | None = None,
        count: int | None = None,
        root: str | os.PathLike[str] | None = None,
        transform: Transform | None = None,
    ) -> None:
        self.folder = self.find(root)
        layout = self.layout(self.folder)
        super().__init__(split, tasks=tasks, transform=transform, known=layout.tasks)
        self.files = layout.of_split(split)
        self.names = self.files.names(self.folder, split)[:count]
        # Ids must differ over all splits, which file names in folders of their own need not.
        self.prefix = f"{split}/" if self.files.images != layout.images else ""
        lost = [name for name in self.names if self.files.image(self.folder, name) is None]
        if lost:
            looked = " or ".join(p.replace("{id}", lost[0]) for p in self.files.images)
            raise PammError(
                f"{len(lost)} of the {len(self.names)} {split} images are missing in "
                f"{str(self.folder)!r}, first {looked}; see `pamm data verify {self.NAME} "
                f"{self.folder}`"
            )

    @classmethod
    def layout(cls, folder: Path) -> Layout:
        """The layout of the data set in `folder`."""
        return cls.LAYOUT

    @classmethod
    def marks(cls) -> tuple[str, ...]:
        """Files and folders that the data set is recognised by, if any of them is there."""
        if cls.LAYOUT.lists:
            return tuple(cls.LAYOUT.lists.values())
        patterns = [p for s in cls.SPLITS for p in cls.LAYOUT.of_split(s).images]
        return tuple(dict.fromkeys(Path(pattern).parent.as_posix() for pattern in patterns))

    @classmethod
    def declared_tasks(cls, root: str | os.PathLike[str] | None) -> dict[str, Task]:
        """All tasks of the data set in `root`, which must be there."""
        return dict(cls.layout(cls.find(root)).tasks)

    @classmethod
    def find(cls, root: str | os.PathLike[str] | None) -> Path:
        """The data set's folder, which is `root` or in it.

        Raises:
            PammError: it is not there.
        """
        given = root if root is not None else os.environ.get(ROOT_VARIABLE) or None
        names = " or ".join(cls.FOLDERS)
        wanted = f"the folder {names}, or the one that holds it," if names else "its folder"
        advice = f"give {wanted} as --data.root (--root) or in the variable {ROOT_VARIABLE}"
        if given is None:
            raise PammError(f"data set {cls.NAME!r}: no folder given; {advice}")
        base = Path(given).expanduser()
        for folder in (base, *(base / name for name in cls.FOLDERS)):
            if any((folder / mark).exists() for mark in cls.marks()):
                return folder
        if not base.is_dir():
            raise PammError(f"data set {cls.NAME!r}: no folder {str(base)!r}; {advice}")
        raise PammError(
            f"data set {cls.NAME!r} is not in {str(base)!r}: no {' or '.join(cls.marks())} there; "
            f"{advice}"
        )

    @classmethod
    def remark(cls, size: tuple[int, int]) -> str | None:
        """What is known to be wrong with images of this (height, width), and what to do."""
        return None

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """The id of sample `index`."""
        return self.prefix + self.names[index]

    def load(self, index: int) -> Sample:
        """Raw sample `index`."""
        name = self.names[index]
        path = self.files.image(self.folder, name)
        if path is None:
            raise PammError(f"the image of {name!r} is gone from {str(self.folder)!r}")
        image = torch.tensor(read_image(path)).permute(2, 0, 1)
        size = (image.shape[1], image.shape[2])
        return {
            "image": image,
            "targets": {task: self.read_target(task, name, size) for task in self.tasks},
            "id": self.name(index),
            "size": size,
        }

    def read_target(self, task_name: str, name: str, size: tuple[int, int]) -> Tensor:
        """The target for a task of the image of that id and size.

        Raises:
            PammError: the file is damaged, has another size, or values that cannot be.
        """
        task, found = self.tasks[task_name], self.files.label(self.folder, task_name, name)
        if found is None:
            return task.missing(*size)
        path, encoding = found
        values = fit(encoding.read(path), size, encoding, path)
        try:
            return encoding.target(values, task)
        except PammError as error:
            raise PammError(f"{str(path)!r}: {error}") from None


def fit(values: Array, size: tuple[int, int], encoding: Encoding, path: Path) -> Array:
    """The values of a label file at the size of its image; one pixel stands for all of them.

    Raises:
        PammError: they have another size, and the encoding does not allow that.
    """
    if values.shape[:2] == size:
        return values
    if encoding.resize or values.shape[:2] == (1, 1):
        return nearest(values, size)
    raise PammError(
        f"{str(path)!r} is {values.shape[0]}x{values.shape[1]}, but its image is "
        f"{size[0]}x{size[1]}; images and labels must come from the same copy of the data set"
    )


def _files(folder: Path, patterns: Iterable[str], name: str) -> Iterable[Path]:
    return (folder / pattern.replace("{id}", name) for pattern in patterns)
