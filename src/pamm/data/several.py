"""Several data sets as one: depth from one, saliency from another, more of this than of that.

A TOML file lists them:

```toml
[[data]]
name = "nyud"        # as --data.name
root = "NYUDv2"      # as --data.root; relative to this file
weight = 2           # how often it is drawn; without weights, as often as it has images
tasks = ["depth"]    # only these of its tasks; if not given, all

[[data]]
name = "folder"
root = "photographs"
weight = 1
```

The tasks are those of all of them together. An image counts for the tasks that its data set has.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pamm.data.dataset import Member, MultiTaskDataset
from pamm.data.order import Mixed, Order
from pamm.data.sample import Sample
from pamm.data.transforms import Transform
from pamm.errors import PammError, check_name
from pamm.runtime.select import select_tasks
from pamm.runtime.strict_json import from_json
from pamm.runtime.toml import read_toml
from pamm.tasks import Task
from pamm.tasks.match import label_difference


class Several(MultiTaskDataset):
    """The data sets that a TOML file lists, one after the other; see the module.

    A raw item is that of its data set, with "no label" for the tasks that this one has none for.
    Its id is that of its data set, behind the label of this one and a slash.

    Args:
        split: one that all of them have.
        tasks: names of the tasks wanted; None = those of all of them.
        size: for those that are rendered.
        count: use the first so many images of each.
        root: the file.
        transform: applied to each raw sample; None = samples stay raw.

    Raises:
        PammError: the file, or a data set that it names, is not there or says what does not fit.
    """

    TASKS = {}  # noqa: RUF012  # they depend on the file

    def __init__(
        self,
        split: str,
        *,
        tasks: Iterable[str] | None = None,
        size: tuple[int, int],
        count: int | None = None,
        root: str | os.PathLike[str] | None = None,
        transform: Transform | None = None,
    ) -> None:
        members = read_members(root)
        known = union(members, root)
        super().__init__(split, tasks=tasks, transform=transform, known=known)
        self.parts: dict[str, MultiTaskDataset] = {}
        weights = []
        for member in members:
            own = [name for name in member.tasks if name in self.tasks]
            if not own:
                continue
            kind: Any = dataset_named(member.name)
            dataset = kind(
                split, tasks=own, size=size, count=count, root=member.root, transform=None
            )
            self.parts[member.label] = dataset
            weights.append(len(dataset) if member.weight is None else member.weight)
        self.weights = weights
        sizes = {dataset.largest() for dataset in self.parts.values()}
        alike = len(sizes) == 1 and all(dataset.same_size for dataset in self.parts.values())
        self.same_size = alike  # type: ignore[misc]  # of this one, not of the class

    @classmethod
    def declared_tasks(cls, root: str | os.PathLike[str] | None) -> dict[str, Task]:
        """The tasks of all of them; those of one name must be one and the same.

        Raises:
            PammError: two data sets have a task of one name that is not the same.
        """
        return union(read_members(root), root)

    @classmethod
    def members(cls, root: str | os.PathLike[str] | None) -> list[Member]:
        """Those that the file lists."""
        return read_members(root)

    @classmethod
    def description(cls, root: str | os.PathLike[str] | None) -> list[dict[str, Any]]:
        """What the file says."""
        return [{**vars(member), "tasks": list(member.tasks)} for member in read_members(root)]

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.parts.values())

    def largest(self) -> tuple[int, int]:
        """The size of the image with the longest side of all."""
        return max((dataset.largest() for dataset in self.parts.values()), key=max)

    def name(self, index: int) -> str:
        """The id of an image, such as "nyud/0001"."""
        label, own = self._place(index)
        return f"{label}/{self.parts[label].name(own)}"

    def load(self, index: int) -> Sample:
        """Raw sample `index`, with "no label" where its data set has none."""
        label, own = self._place(index)
        dataset = self.parts[label]
        dataset.scoring = self.scoring
        sample = dataset.load(own)
        height, width = sample["image"].shape[-2:]
        targets = {
            name: sample["targets"][name] if name in dataset.tasks else task.missing(height, width)
            for name, task in self.tasks.items()
        }
        return {**sample, "targets": targets, "id": self.name(index)}

    def order(self, seed: int) -> Order:
        """Of the images in training: by the weights."""
        return Mixed([len(dataset) for dataset in self.parts.values()], self.weights, seed)

    def _place(self, index: int) -> tuple[str, int]:
        for label, dataset in self.parts.items():
            if index < len(dataset):
                return label, index
            index -= len(dataset)
        raise IndexError(index)


def union(members: Iterable[Member], file: str | os.PathLike[str] | None) -> dict[str, Task]:
    """The tasks of several data sets together, in their order.

    Raises:
        PammError: two of them have a task of one name that is not the same.
    """
    found: dict[str, Task] = {}
    first: dict[str, str] = {}
    for member in members:
        for name, task in member.tasks.items():
            if name in found and label_difference(found[name], task):
                raise PammError(
                    f"{str(file)!r}: task {name!r} of {member.label!r} is not that of "
                    f"{first[name]!r}, which has other channels or classes: leave it out in one of "
                    "them, with a line tasks = [...]"
                )
            found.setdefault(name, task)
            first.setdefault(name, member.label)
    return found


def dataset_named(name: str) -> type[MultiTaskDataset]:
    """The class of a data set that may be one of several."""
    from pamm.data.loading import dataset_type  # here, as it knows this one, too

    if (kind := dataset_type(name)) is Several:
        raise PammError(f"name: {name!r} cannot be one of several itself")
    return kind


def read_members(root: str | os.PathLike[str] | None) -> list[Member]:
    """The data sets that a file lists.

    Raises:
        PammError: no file is given, it cannot be read, or says what does not fit.
    """
    if root is None:
        raise PammError(
            "several data sets: no file given that lists them; set --data.root to a .toml "
            "(docs/data.md has an example)"
        )
    path = Path(root)
    if not path.is_file():
        raise PammError(f"several data sets: no file {str(path)!r} that lists them")
    values = read_toml(path)
    try:
        return _members(values, path.parent)
    except PammError as error:
        raise PammError(f"{str(path)!r}: {error}") from None


def _members(values: dict[str, Any], folder: Path) -> list[Member]:
    tables = values.get("data")
    if set(values) != {"data"} or not isinstance(tables, list) or not tables:
        raise PammError("want tables [[data]], one for each data set, and nothing else")
    found, labels = [], set()
    for number, table in enumerate(tables, 1):
        where = f"data set {number}"
        fields = from_json(_Table, table, where=where)
        kind = dataset_named(fields.name)
        label = fields.label or fields.name
        check_name(f"{where}: label", label)
        if label in labels:
            raise PammError(f'{where}: there is a {label!r} before: give it a line label = "..."')
        labels.add(label)
        if fields.weight is not None and not 0 < fields.weight < 1e9:
            raise PammError(f"{where}: weight: got {fields.weight:g}, want more than 0")
        place = fields.root and os.path.join(folder, os.path.expanduser(fields.root))
        root = os.path.abspath(place) if place else None
        try:
            tasks = select_tasks(kind.declared_tasks(root), fields.tasks)
        except PammError as error:
            raise PammError(f"{label!r}: {error}") from None
        member = Member(name=fields.name, label=label, root=root, weight=fields.weight, tasks=tasks)
        found.append(member)
    if len({member.weight is None for member in found}) > 1:
        raise PammError("weight: give one to every data set, or to none")
    return found


@dataclass(frozen=True, kw_only=True)
class _Table:
    """What a table may hold."""

    name: str
    label: str | None = None
    root: str | None = None
    weight: float | None = None
    tasks: tuple[str, ...] | None = None
