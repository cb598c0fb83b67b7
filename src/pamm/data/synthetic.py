"""The built-in data set: procedural indoor rooms with exact labels for all six tasks.

Nothing is downloaded. Scenes are rendered when they are first asked for and kept in a cache.
"""

import os
from collections.abc import Iterable
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from pamm.data.dataset import MultiTaskDataset
from pamm.data.rooms import LABELS
from pamm.data.sample import Sample
from pamm.data.scene_cache import SceneCache
from pamm.data.transforms import Transform
from pamm.errors import PammError
from pamm.tasks import Task

SEEDS = {"train": 1, "val": 2}
"""Seed of the room generator for each split: they never share one, so no room is in both."""
COUNTS = {"train": 600, "val": 150}
SIZE = (128, 160)
SMALLEST = 16  # pixels: below this a room is not recognisable, nor drawable


class Synthetic(MultiTaskDataset):
    """Rooms rendered by `pamm.data.rooms`; scene i of a split is the same on every machine.

    A raw item has `image` uint8 (3,H,W) and the targets of the chosen tasks: semseg and human_parts
    int64 (H,W), saliency and boundary uint8 (1,H,W), depth float32 (1,H,W) metres, normals float32
    (3,H,W).

    Args:
        split: "train" or "val".
        tasks: names of the tasks wanted; None = all six.
        size: (height, width) in pixels, any from 16 up.
        count: number of scenes; None = 600 train, 150 val. What is there is not rendered again.
        root: cache folder; None = `PAMM_CACHE`, else the user's cache folder.
        transform: applied to each raw sample; None = samples stay raw.

    Raises:
        PammError: unknown split or task, a size or count that makes no sense, a cache folder that
            cannot be written to.
    """

    TASKS: ClassVar[dict[str, Task]] = {name: label.task for name, label in LABELS.items()}

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
        self.count = COUNTS[split] if count is None else count
        if self.count < 1:
            raise PammError(f"count {count} makes an empty data set; give at least 1 scene")
        self.cache = SceneCache(SEEDS[split], *self.size, root=root)
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


def _target(task: Task, array: np.ndarray) -> Tensor:
    """An array of the cache, (H,W) or (3,H,W), in the shape and type of the task's targets."""
    shape = (*task.target_lead, *array.shape[-2:])
    return torch.from_numpy(array.reshape(shape)).to(task.target_dtype)
