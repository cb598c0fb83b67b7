"""The built-in data sets: procedural indoor rooms with exact labels for all six tasks.

Nothing is downloaded. Scenes are rendered when they are first asked for and kept in a cache.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from pamm.data.dataset import MultiTaskDataset
from pamm.data.rooms import LABELS
from pamm.data.rooms.items import NO_CLASS
from pamm.data.rooms.room import MEAN_DEPTH
from pamm.data.sample import Sample
from pamm.data.scene_cache import SceneCache
from pamm.data.transforms import Transform
from pamm.errors import PammError
from pamm.tasks import Depth, HumanParts, Task

SIZE = (128, 160)
SMALLEST = 16  # pixels: below this a room is not recognisable, nor drawable


@dataclass(frozen=True)
class Series:
    """The rooms of a split: the seed of the generator, how many there are if nothing else is said,
    and what they are drawn from."""

    seed: int
    count: int
    variety: str = "plain"


class Synthetic(MultiTaskDataset):
    """Rooms rendered by `pamm.data.rooms`; scene i of a split is the same on every machine.

    A raw item has `image` uint8 (3,H,W) and the targets of the chosen tasks: semseg and human_parts
    int64 (H,W), saliency and boundary uint8 (1,H,W), depth float32 (1,H,W) metres, normals float32
    (3,H,W).

    Args:
        split: one of `SERIES`.
        tasks: names of the tasks wanted; None = all six.
        size: (height, width) in pixels, any from 16 up.
        count: number of scenes; None = that of the series. What is there is not rendered again.
        root: cache folder; None = `PAMM_CACHE`, else the user's cache folder.
        transform: applied to each raw sample; None = samples stay raw.

    Raises:
        PammError: unknown split or task, a size or count that makes no sense, a cache folder that
            cannot be written to.
    """

    TASKS: ClassVar[dict[str, Task]] = {name: label.task for name, label in LABELS.items()}
    SERIES: ClassVar[dict[str, Series]] = {"train": Series(1, 600), "val": Series(2, 150)}
    """By split; no two share a seed, so no room is in both."""

    def __init__(
        self,
        split: str = "train",
        *,
        tasks: Iterable[str] | None = None,
        size: tuple[int, int] = SIZE,
        count: int | None = None,
        root: str | os.PathLike[str] | None = None,
        transform: Transform | None = None,
    ) -> None:
        super().__init__(split, tasks=tasks, transform=transform)
        if len(size) != 2 or min(size) < SMALLEST:
            raise PammError(
                f"size {tuple(size)} is not one of a room; give height and width, each at least "
                f"{SMALLEST} pixels"
            )
        self.size = (int(size[0]), int(size[1]))
        series = self.SERIES[split]
        self.count = series.count if count is None else count
        if self.count < 1:
            raise PammError(f"count {count} makes an empty data set; give at least 1 scene")
        self.cache = SceneCache(series.seed, *self.size, root=root, variety=series.variety)
        self.cache.ensure(self.count)

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        """The id of scene `index`, such as "val-000042"."""
        return f"{self.split}-{index:06d}"

    def largest(self) -> tuple[int, int]:
        """The size of all scenes."""
        return self.size

    def load(self, index: int) -> Sample:
        """Raw sample `index`; a damaged file of the cache is rendered anew."""
        arrays = self.cache.load(index, ["image", *self.tasks])
        return {
            "image": torch.from_numpy(arrays["image"]),
            "targets": {name: _target(task, arrays[name]) for name, task in self.tasks.items()},
            "id": self.name(index),
            "size": self.size,
        }


class Rooms(Synthetic):
    """The varied rooms: any camera and light, more materials, furniture, things and people.

    Three more splits hold what the training part never has: "materials", "furniture" and "light".
    As there is any lens, depth stays as it is where an image is enlarged.
    Where nobody is, all is labelled as background of the human parts: PASCAL's rule, which has no
    label there, teaches a model to find people in everything.
    """

    TASKS: ClassVar[dict[str, Task]] = {
        **Synthetic.TASKS,
        "human_parts": HumanParts(empty_images=True),
        "depth": Depth(mean_depth=MEAN_DEPTH, one_lens=False),
    }
    SERIES: ClassVar[dict[str, Series]] = {
        "train": Series(11, 3000, "varied"),
        "val": Series(12, 200, "varied"),
        "materials": Series(13, 200, "materials"),
        "furniture": Series(14, 200, "furniture"),
        "light": Series(15, 200, "light"),
    }
    SPLITS: ClassVar[tuple[str, ...]] = tuple(SERIES)

    def load(self, index: int) -> Sample:
        """Raw sample `index`."""
        sample = super().load(index)
        parts = sample["targets"].get("human_parts")
        if parts is not None and bool((parts == NO_CLASS).all()):
            parts.zero_()
        return sample


def _target(task: Task, array: np.ndarray) -> Tensor:
    """An array of the cache, (H,W) or (3,H,W), in the shape and type of the task's targets."""
    shape = (*task.target_lead, *array.shape[-2:])
    return torch.from_numpy(array.reshape(shape)).to(task.target_dtype)
