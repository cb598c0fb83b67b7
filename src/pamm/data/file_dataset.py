"""Data sets of files: lists of ids, an image each, and per task a label file that may be missing.

A data set is a class with a `Layout`: where the files are, and how their labels are stored.
"""

import itertools
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from pamm.data import find_files
from pamm.data.dataset import MultiTaskDataset
from pamm.data.encodings import Array, Encoding, check, looks_like_a_mask, nearest
from pamm.data.ids import read_ids, share_of
from pamm.data.sample import Sample
from pamm.data.transforms import Transform
from pamm.errors import PammError
from pamm.pictures.images import read_image, read_size
from pamm.tasks import IGNORE, Task

ROOT_VARIABLE = "PAMM_DATA"
"""Environment variable: the folder of the data set, or one that holds it."""

SAMPLED = 1000
"""The most images, by about, that `largest` looks at."""
LOOKED_AT = 8
"""Label files of a task that are looked at before training."""

Patterns = Mapping[str, Encoding]
"""Path of a label file under the data set's folder -> how it is stored; the first that exists."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which files a data set has, and what is in them. Paths are relative to its folder.

    In a pattern, {id} stands for the name of an image, which may have folders in it, and {split}
    for the folder of the split. How endings are written does not matter, see `find_files`.

    Raises:
        PammError: an encoding that does not fit its task, or labels that are the images.
    """

    tasks: Mapping[str, Task]
    images: tuple[str, ...]
    """Patterns of the images; the first that exists counts."""
    labels: Mapping[str, Patterns]
    """Of each task."""
    truths: Mapping[str, Patterns] = field(default_factory=dict)
    """Of the tasks whose published scores were computed with something else than `labels`; the
    files are read for evaluation."""
    lists: Mapping[str, str] = field(default_factory=dict)
    """Split -> text file with an id a line. Without one: all images that match, by name."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Split -> number of images that published scores are about, where there are such scores."""
    splits: Mapping[str, str] = field(default_factory=dict)
    """Split -> what {split} stands for, where that is not the split's own name."""
    validation: float = 0.0
    """The share of the training images that are for validation instead, drawn at random; then the
    lists and folders of both splits are the same."""

    def __post_init__(self) -> None:
        for name, task in self.tasks.items():
            for pattern, encoding in self.labels[name].items():
                if pattern in self.images:
                    raise PammError(f"tasks.{name}.files: {pattern!r} are the images themselves")
                try:
                    check(encoding, task)
                except PammError as error:
                    raise PammError(f"tasks.{name}.encoding: {error}") from None

    def of_split(self, split: str) -> "Layout":
        """The layout with {split} filled in."""

        def fill(pattern: str) -> str:
            return pattern.replace("{split}", self.splits.get(split, split))

        def fill_all(files: Mapping[str, Patterns]) -> dict[str, Patterns]:
            return {task: {fill(p): e for p, e in some.items()} for task, some in files.items()}

        return replace(
            self,
            images=tuple(map(fill, self.images)),
            labels=fill_all(self.labels),
            truths=fill_all(self.truths),
        )

    def names(self, folder: Path, split: str) -> list[str]:
        """The ids of a split as they are listed; for a layout that `of_split` gave.

        Raises:
            PammError: the list is missing, unreadable or empty; no image matches; an id that is
                several images, such as a.jpg and a.png.
        """
        found = self.found(folder)
        if split not in self.lists:
            names = sorted(found)
            if not names:
                raise PammError(f"no image in {str(folder)!r} matches {' or '.join(self.images)}")
        else:
            names = read_ids(folder / self.lists[split], split)
        for name in names:
            if len(files := found.get(name, [])) > 1:
                raise PammError(
                    f"in {str(folder)!r}, {' and '.join(files)} have the same id {name!r}, so that "
                    "their labels cannot be told apart; rename or delete one of them"
                )
        return share_of(names, split, self.validation) if self.validation else names

    def image(self, folder: Path, name: str) -> Path | None:
        """The image of an id, if it is there."""
        own = self._label_keys([name])
        paths = (path for p in self.images for path in find_files.find(folder, p, name))
        return next((folder / path for path in paths if not own & _keys(path)), None)

    def label(
        self, folder: Path, task: str, name: str, *, scoring: bool = False
    ) -> tuple[Path, Encoding] | None:
        """The label file of an id for a task and its encoding, if there is one.

        With `scoring` that of the truth which scores are computed with, where it is another.
        """
        patterns = self.labels[task]
        if scoring:
            patterns = self.truths.get(task, patterns)
        for pattern, encoding in patterns.items():
            for path in find_files.find(folder, pattern, name):
                return folder / path, encoding
        return None

    def matching(self, folder: Path) -> list[str]:
        """The ids of all images that are there, sorted."""
        return sorted(self.found(folder))

    def found(self, folder: Path) -> dict[str, list[str]]:
        """Id -> the images that it has, which should be one, as paths under the folder.

        A label of some image is not an image, though it may match a pattern.

        Raises:
            PammError: a folder that may not be read.
        """
        matches = {
            path: name
            for pattern in self.images
            for name, path in find_files.matching(folder, pattern)
        }
        labels = self._label_keys(matches.values())
        found: dict[str, list[str]] = defaultdict(list)
        for path, name in sorted(matches.items()):
            if not labels & _keys(path):
                found[name].append(path)
        return dict(found)

    def _label_keys(self, names: Iterable[str]) -> set[tuple[str, str]]:
        patterns = [pattern for labels in self.labels.values() for pattern in labels]
        return {
            find_files.key(pattern.replace("{id}", name)) for name in names for pattern in patterns
        }


def _keys(path: str) -> set[tuple[str, str]]:
    """A file as it can be named by a pattern: with its ending, or with any."""
    start, ending = find_files.key(path)
    return {(start, ending), (start, find_files.ANY)}


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
        folders = {layout.of_split(each).images for each in self.SPLITS}
        self.prefix = f"{split}/" if len(folders) > 1 else ""
        lost = [name for name in self.names if self.files.image(self.folder, name) is None]
        if lost:
            looked = " or ".join(p.replace("{id}", lost[0]) for p in self.files.images)
            raise PammError(
                f"{len(lost)} of the {len(self.names)} {split} images are missing in "
                f"{str(self.folder)!r}, first {looked}; see `pamm data verify {self.NAME} "
                f"{self.folder}`"
            )
        if split == "train":
            for task in self.tasks:
                self._check_labels(task)

    def _check_labels(self, task: str) -> None:
        """Raise if training would have nothing to learn a task from."""
        found = (self.files.label(self.folder, task, name) for name in self.names)
        some = list(itertools.islice(filter(None, found), LOOKED_AT))
        if not some:
            looked = " or ".join(self.files.labels[task])
            raise PammError(
                f"not one of the {len(self.names)} train images in {str(self.folder)!r} has a "
                f"label for {task!r}: no file {looked}; put the files in place, or leave the task "
                "out: --tasks with the others"
            )
        if all(looks_like_a_mask(encoding, path) for path, encoding in some):
            raise PammError(
                f"the labels of {task!r} in {str(self.folder)!r}, such as {some[0][0].name!r}, "
                f'hold 0 and {IGNORE} only, and {IGNORE} means "not labelled", so that nothing but '
                'class 0 could be learned; if they are masks, want type = "mask" in their '
                "encoding, and two classes"
            )

    @classmethod
    def layout(cls, folder: Path) -> Layout:
        """The layout of the data set in `folder`."""
        return cls.LAYOUT

    @classmethod
    def signature_files(cls) -> tuple[str, ...]:
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
            if any((folder / mark).exists() for mark in cls.signature_files()):
                return folder
        if not base.is_dir():
            raise PammError(f"data set {cls.NAME!r}: no folder {str(base)!r}; {advice}")
        expected = " or ".join(cls.signature_files())
        raise PammError(
            f"data set {cls.NAME!r} is not in {str(base)!r}: no {expected} there; {advice}"
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

    def largest(self) -> tuple[int, int]:
        """(height, width) of the image with the longest side; of more than 1,000 images, among
        1,000 of even distance in the list. Files are opened at their beginning only."""
        step = max(1, len(self.names) // SAMPLED)
        sizes = []
        for name in self.names[::step]:
            if path := self.files.image(self.folder, name):
                with suppress(PammError):  # of a damaged file; said when it is read
                    sizes.append(read_size(path))
        if not sizes:
            raise PammError(f"none of the images in {str(self.folder)!r} can be read")
        return max(sizes, key=max)

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
        task = self.tasks[task_name]
        found = self.files.label(self.folder, task_name, name, scoring=self.scoring)
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
    advice = "images and labels must come from the same copy of the data set"
    if values.shape[:2] == size[::-1]:
        advice = (
            "if the image is stored lying and turned upright by its EXIF orientation, turn its "
            "labels, too, or turn the image itself and remove the orientation"
        )
    raise PammError(
        f"{str(path)!r} is {values.shape[0]}x{values.shape[1]}, but its image is "
        f"{size[0]}x{size[1]}; {advice}"
    )
