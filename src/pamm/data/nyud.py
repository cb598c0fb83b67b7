"""NYUD-v2: 1,449 indoor images with classes, depth, normals and boundaries (Silberman 2012).

The folder as the archives of the ATRC and InvPT line of work unpack to:

```
NYUDv2/   images/<id>.png        8-bit RGB
          segmentation/<id>.png  0 = not labelled, class + 1
          depth/<id>.npy         metres (H,W), 0 = not labelled
          normals/<id>.png       x = 2 v / 255 - 1
          edge/<id>.png          255 = boundary
          gt_sets/{train,val}.txt
```

Older copies, of MTI-Net and before, are called NYUD_MT and have images as .jpg, and edge and
normals as .npy (0 and 1; the zero vector = not labelled). Both kinds may be mixed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from pamm.data.encodings import Array, Classes, DepthMap, Mask, NormalMap
from pamm.data.file_dataset import FileDataset, Layout
from pamm.metrics.edges import outlines, thin
from pamm.tasks import Boundary, Depth, Normals, Semseg, Task

CLASSES = (
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf",
    "picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror",
    "floor mat", "clothes", "ceiling", "books", "refrigerator", "television", "paper", "towel",
    "shower curtain", "box", "whiteboard", "person", "night stand", "toilet", "sink", "lamp",
    "bathtub", "bag", "other structure", "other furniture", "other prop",
)  # fmt: skip
"""The 40 classes of Gupta et al. 2013, in their order."""

NORMAL_AXES = "xyz"
"""What the channels of the normals are taken as: +x left, +y up, +z towards the camera; y and z are
well supported by published facts, x is inferred."""

FRAMED = (480, 640)
"""Height and width of the uncropped images, which have a white frame."""

_normals = NormalMap(axes=NORMAL_AXES)


@dataclass(frozen=True, kw_only=True)
class Edges(Mask):
    """Boundary, as training takes it: the lines of an edge image."""

    about_remarks: ClassVar[str] = (
        "the published score takes both sides of a wide line for boundaries: get edge images with "
        "lines of one pixel to compare with it"
    )

    def remarks(self, values: Array, task: Task) -> list[str]:
        lines = values > self.yes / 2
        length = int(np.count_nonzero(thin(lines)))
        # Staircases are two pixels wide in places, but have one outline.
        wide = np.count_nonzero(lines) > 1.5 * length
        if wide and np.count_nonzero(outlines(lines)) > 1.3 * length:
            return ["lines wider than one pixel"]
        return []


@dataclass(frozen=True, kw_only=True)
class EdgeOutlines(Mask):
    """Boundary, as the published scores take it: the outlines of what is in an edge image."""

    def read(self, path: Path) -> Array:
        return np.where(outlines(super().read(path)), self.yes, 0)


_EDGES = ("edge/{id}.png", 255), ("edge/{id}.npy", 1)


class NYUD(FileDataset):
    """NYUD-v2 with the tasks semseg (40 classes), depth, normals and boundary."""

    NAME: ClassVar[str] = "nyud"
    FOLDERS: ClassVar[tuple[str, ...]] = ("NYUDv2", "NYUD_MT")
    TASKS: ClassVar[dict[str, Task]] = {
        "semseg": Semseg(channels=len(CLASSES), class_names=CLASSES),
        "depth": Depth(mean_depth=2.7),
        "normals": Normals(),
        "boundary": Boundary(positive_weight=0.88, max_dist=0.011),
    }
    LAYOUT: ClassVar[Layout] = Layout(
        tasks=TASKS,
        images=("images/{id}.png", "images/{id}.jpg"),
        labels={
            "semseg": {"segmentation/{id}.png": Classes(first=1, ignore=(0,))},
            "depth": {"depth/{id}.npy": DepthMap()},
            "normals": {"normals/{id}.png": _normals, "normals/{id}.npy": _normals},
            "boundary": {path: Edges(yes=yes) for path, yes in _EDGES},
        },
        truths={"boundary": {path: EdgeOutlines(yes=yes) for path, yes in _EDGES}},
        lists={"train": "gt_sets/train.txt", "val": "gt_sets/val.txt"},
        counts={"train": 795, "val": 654},
    )

    @classmethod
    def remark(cls, size: tuple[int, int]) -> str | None:
        if size != FRAMED:
            return None
        return (
            "480x640 are the uncropped originals with a white frame; published scores are on "
            "images cropped to 425x560 or 448x576: get a cropped copy to compare with them"
        )
