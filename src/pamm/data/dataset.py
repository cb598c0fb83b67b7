"""What all data sets share: the choice of tasks, and the transform with its own randomness."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch.utils.data import Dataset

from pamm.data.order import Draw, Epochs, Order, draw_generator
from pamm.data.sample import Sample
from pamm.data.transforms import Transform
from pamm.errors import PammError, unknown
from pamm.runtime.select import select_tasks
from pamm.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Member:
    """One of the data sets that another one is made of."""

    name: str
    """Of the data set."""
    label: str
    """What stands for it among the others: its name, or another one."""
    root: str | None
    """An absolute path; None: where the data set is looked for otherwise."""
    weight: float | None
    """How often it is drawn; None: as often as it has images."""
    tasks: dict[str, Task]
    """Those that it gives labels for."""


class MultiTaskDataset(Dataset[Sample], ABC):
    """Images with labels for several tasks.

    A data set declares its task instances in `TASKS`, and gives raw samples from `load`. Indexing
    with a number gives sample `index`; indexing with a `Draw` also says which (seed, epoch) its
    random augmentation belongs to, so that an item is a pure function of its key.

    Args:
        split: one of `SPLITS`.
        tasks: names of the tasks wanted, in this order; None = all of `TASKS`.
        transform: applied to each raw sample; None = samples stay raw (image uint8).
        known: all tasks of the data set; None = `TASKS`.

    Raises:
        PammError: unknown split or task.
    """

    TASKS: ClassVar[dict[str, Task]]
    SPLITS: ClassVar[tuple[str, ...]] = ("train", "val")
    same_size: ClassVar[bool] = True
    """Whether all images have one size, so that evaluation can use batches."""
    published_images: ClassVar[dict[str, int]] = {}
    """Task -> how many validation images its published scores are computed over, for the tasks
    where these are not all."""
    scoring: bool = False
    """Whether targets are the truth of the published scores, for the tasks where a data set tells
    it from the labels that training uses. `eval_dataset` sets it."""

    def __init__(
        self,
        split: str,
        *,
        tasks: Iterable[str] | None,
        transform: Transform | None,
        known: Mapping[str, Task] | None = None,
    ) -> None:
        if split not in self.SPLITS:
            raise PammError(unknown("split", split, self.SPLITS))
        self.split = split
        self.tasks = select_tasks(self.TASKS if known is None else known, tasks)
        self.transform = transform

    @classmethod
    def declared_tasks(cls, root: str | os.PathLike[str] | None) -> dict[str, Task]:
        """All tasks of the data set in `root`, in order; most data sets have the same anywhere."""
        return dict(cls.TASKS)

    @classmethod
    def members(cls, root: str | os.PathLike[str] | None) -> Sequence[Member]:
        """The data sets that this one is made of, if it is made of others."""
        return ()

    @classmethod
    def description(cls, root: str | os.PathLike[str] | None) -> Any:
        """What decides the images beside the root itself, if a training must not go on with other
        ones; None: nothing."""
        return None

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def largest(self) -> tuple[int, int]:
        """(height, width) of the image with the longest side; of many images, among some."""

    @abstractmethod
    def load(self, index: int) -> Sample:
        """Raw sample `index`, 0 <= index < len: uint8 image, targets of the chosen tasks."""

    @abstractmethod
    def name(self, index: int) -> str:
        """The id of sample `index`, unique over all splits."""

    def order(self, seed: int) -> Order:
        """Which image comes at which place of a training."""
        return Epochs(len(self), seed)

    def __getitem__(self, key: int | Draw) -> Sample:
        draw = key if isinstance(key, Draw) else Draw(0, 0, int(key))
        index = draw.index + len(self) if draw.index < 0 else draw.index
        if not 0 <= index < len(self):
            raise IndexError(f"index {draw.index} of a data set of {len(self)} images")
        sample = self.load(index)
        if self.transform is None:
            return sample
        return self.transform(sample, draw_generator(draw.seed, draw.epoch, index))
