"""PASCAL-Context: 10,103 images of VOC 2010 with labels for five tasks.

Mottaghi et al. 2014; with the tasks of Maninis et al. 2019.

The folder as the archives of the ATRC and InvPT line of work unpack to (older ones are called
PASCAL_MT):

```
PASCALContext/   JPEGImages/<id>.jpg
                 semseg/VOC12/<id>.png, else semseg/pascal-context/<id>.png   255 = not labelled
                 pascal-context/trainval/<id>.mat   LabelMap, 459 classes: boundary is where it
                                                    changes
                 human_parts/<id>.mat               'anno' of PASCAL-Part
                 normals_distill/<id>.png           x = 2 v / 255 - 1, of a network
                 sal_distill/<id>.png               > 0.5 of 255 is salient, of a network
                 ImageSets/Context/{train,val}.txt
```

What is made from the .mat files is kept in the cache, see `pamm.data.derived`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pamm.data.derived import derived_map, read_mat
from pamm.data.encodings import Array, Classes, Mask, NormalMap, nearest
from pamm.data.file_dataset import FileDataset, Layout
from pamm.errors import PammError
from pamm.metrics.edges import outlines, thin
from pamm.tasks import Boundary, HumanParts, Normals, Saliency, Semseg, Task

CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa",
    "train", "tv monitor",
)  # fmt: skip
"""Those of VOC 2012."""

PERSON = 15
"""The class of 'anno' whose parts count."""

PARTS = {
    "hair": 1, "head": 1, "lear": 1, "lebrow": 1, "leye": 1, "mouth": 1, "nose": 1, "rear": 1,
    "rebrow": 1, "reye": 1,
    "neck": 2, "torso": 2,
    "luarm": 3, "ruarm": 3,
    "lhand": 4, "llarm": 4, "rhand": 4, "rlarm": 4,
    "luleg": 5, "ruleg": 5,
    "lfoot": 6, "llleg": 6, "rfoot": 6, "rlleg": 6,
}  # fmt: skip
"""The 24 parts of a person -> class of `HumanParts`; l and r are left and right."""

NORMALS_ON = {
    3: "air conditioner", 4: "antenna", 6: "ashtray", 9: "bag", 10: "ball", 11: "balloon",
    13: "barrel", 15: "basket", 17: "bathtub", 18: "bed", 22: "bench", 23: "bicycle",
    29: "blackboard", 30: "board", 33: "book", 34: "bottle", 36: "bowl", 37: "box", 38: "bracelet",
    39: "brick", 41: "broom", 43: "bucket", 46: "cabinet", 49: "cake", 50: "calculator",
    51: "calendar", 53: "camera", 55: "can", 56: "candle", 59: "car", 61: "cart", 62: "case",
    65: "cat", 66: "cd", 68: "ceiling", 69: "cell phone", 72: "chair", 73: "chessboard",
    78: "clock", 83: "coffee machine", 84: "comb", 85: "computer", 87: "cone", 88: "container",
    95: "corkscrew", 96: "counter", 101: "crate", 104: "cup", 105: "curtain", 107: "cutting board",
    111: "dishwasher", 113: "dog", 115: "door", 122: "drum", 124: "duck", 135: "envelope",
    141: "fan", 142: "faucet", 143: "fax machine", 146: "fire extinguisher", 150: "fish tank",
    154: "flag", 157: "flashlight", 158: "floor", 159: "flower", 165: "fork", 172: "fruit",
    174: "furnace", 181: "glass", 183: "globe", 184: "glove", 191: "guitar", 193: "hammer",
    195: "handle", 197: "hanger", 199: "hat", 202: "heater", 213: "ipod", 215: "ironing board",
    216: "jar", 219: "key", 220: "keyboard", 223: "knife", 225: "ladder", 228: "laptop", 230: "lid",
    232: "light", 233: "light bulb", 238: "lock", 239: "machine", 242: "map", 243: "mask",
    246: "mattress", 250: "microphone", 251: "microwave", 252: "mirror", 255: "money", 260: "mouse",
    261: "mouse pad", 263: "napkin", 269: "oven", 272: "pan", 273: "paper", 275: "paper cutter",
    281: "pen", 283: "pencil", 284: "person", 285: "photo", 286: "piano", 287: "picture",
    288: "pig", 290: "pillow", 291: "pipe", 292: "pitcher", 293: "plant", 295: "plate",
    304: "pool table", 307: "pot", 309: "printer", 310: "projector", 314: "radiator", 315: "radio",
    319: "range hood", 323: "remote control", 329: "rope", 330: "rug", 331: "ruler", 336: "scale",
    342: "sculpture", 345: "sewing machine", 349: "shelves", 350: "shoe", 351: "shopping cart",
    352: "shovel", 355: "sign", 357: "sink", 368: "sofa", 370: "spatula", 371: "speaker",
    374: "spoon", 379: "stapler", 380: "stick", 383: "stool", 384: "stove", 397: "table",
    401: "tape", 403: "telephone", 405: "tent", 407: "toaster", 408: "toilet", 411: "toothbrush",
    412: "towel", 413: "toy", 414: "toy car", 417: "trampoline", 419: "tray", 421: "tricycle",
    423: "trophy", 427: "tvmonitor", 429: "typewriter", 430: "umbrella", 432: "vacuum cleaner",
    440: "wall", 441: "wallet", 442: "wardrobe", 443: "washing machine", 444: "watch",
    446: "water dispenser", 454: "window", 457: "wire",
}  # fmt: skip
"""Numbers in LabelMap where the distilled normals count: the classes whose names NYUD-v2 has too
(of its 894), and the TV monitor. The network that made the normals had only seen NYUD-v2."""

LABEL_MAPS = "pascal-context/trainval/{id}.mat"
BOUNDARY_BIT, NORMALS_BIT, OUTLINE_BIT = 1, 2, 4  # of what is cached for a LabelMap


@dataclass(frozen=True, kw_only=True)
class LabelMapBoundary(Mask):
    """Boundary: where the classes of a LabelMap change, in lines one pixel wide."""

    yes: float = 1
    bit: int = BOUNDARY_BIT
    """BOUNDARY_BIT for the lines that training takes, OUTLINE_BIT for those of the scores."""

    def read(self, path: Path) -> Array:
        return (_of_label_map(path) & self.bit != 0).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class PartAnnotation(Classes):
    """Human parts from 'anno'; 0 where there is none."""

    def read(self, path: Path) -> Array:
        return derived_map("parts-1", path, _draw_parts)


@dataclass(frozen=True, kw_only=True)
class DistilledNormals(NormalMap):
    """Normals, the zero vector off the classes of `NORMALS_ON` and where there is no LabelMap."""

    def read(self, path: Path) -> Array:
        values = super().read(path)
        label_map = path.parents[1] / LABEL_MAPS.replace("{id}", path.stem)
        if not label_map.exists():
            return np.zeros_like(values)
        valid = _of_label_map(label_map) & NORMALS_BIT != 0
        if valid.shape != values.shape[:2]:
            valid = nearest(valid, values.shape[:2])
        planes: Array = values.transpose(2, 0, 1) * valid
        return planes.transpose(1, 2, 0)


class PascalContext(FileDataset):
    """PASCAL-Context with the tasks semseg (21 classes), human_parts, saliency, normals and
    boundary.
    """

    NAME: ClassVar[str] = "pascal_context"
    FOLDERS: ClassVar[tuple[str, ...]] = ("PASCALContext", "PASCAL_MT")
    TASKS: ClassVar[dict[str, Task]] = {
        "semseg": Semseg(channels=len(CLASSES), class_names=CLASSES),
        "human_parts": HumanParts(),
        "saliency": Saliency(),
        "normals": Normals(),
        "boundary": Boundary(positive_weight=0.95, max_dist=0.0075),
    }
    LAYOUT: ClassVar[Layout] = Layout(
        tasks=TASKS,
        images=("JPEGImages/{id}.jpg",),
        labels={
            "semseg": {
                "semseg/VOC12/{id}.png": Classes(),
                "semseg/pascal-context/{id}.png": Classes(),
            },
            "human_parts": {"human_parts/{id}.mat": PartAnnotation()},
            # A network's maps of the whole image: the published readers resize them, too.
            "saliency": {"sal_distill/{id}.png": Mask(soft=True, resize=True)},
            "normals": {"normals_distill/{id}.png": DistilledNormals(resize=True)},
            "boundary": {LABEL_MAPS: LabelMapBoundary()},
        },
        truths={"boundary": {LABEL_MAPS: LabelMapBoundary(bit=OUTLINE_BIT)}},
        lists={"train": "ImageSets/Context/train.txt", "val": "ImageSets/Context/val.txt"},
        counts={"train": 4998, "val": 5105},
    )
    published_images: ClassVar[dict[str, int]] = {"boundary": 2498}


def label_boundary(labels: Array) -> NDArray[np.bool_]:
    """Where the 4-neighbour Laplacian of a class map (H, W) is not 0, thinned to convergence.

    The image is continued by mirroring without repeating its border, as in the published protocol.
    """
    inside = np.pad(
        labels.astype(np.int64), [(min(n - 1, 1),) * 2 for n in labels.shape], "reflect"
    )
    inside = np.pad(inside, [(1 - min(n - 1, 1),) * 2 for n in labels.shape], "edge")
    around = inside[:-2, 1:-1] + inside[2:, 1:-1] + inside[1:-1, :-2] + inside[1:-1, 2:]
    return thin(around != 4 * inside[1:-1, 1:-1])


def _of_label_map(path: Path) -> NDArray[np.uint8]:
    return derived_map("label-map-2", path, _describe_label_map)


def _describe_label_map(content: bytes) -> NDArray[np.uint8]:
    labels = np.asarray(read_mat(content)["LabelMap"])
    if labels.ndim != 2 or labels.dtype.kind not in "iuf":
        raise PammError(f"LabelMap is {labels.dtype} of shape {labels.shape}, want numbers (H, W)")
    valid = np.isin(labels, list(NORMALS_ON))
    maps = (
        (label_boundary(labels), BOUNDARY_BIT),
        (valid, NORMALS_BIT),
        (outlines(labels), OUTLINE_BIT),
    )
    return np.bitwise_or.reduce([where * np.uint8(bit) for where, bit in maps])


def _draw_parts(content: bytes) -> NDArray[np.uint8]:
    """The parts of all persons, the later over the earlier, as in the published protocol."""
    anno = read_mat(content)["anno"][0, 0]
    objects: Any = anno["objects"].reshape(-1)
    parts = np.zeros(objects[0]["mask"].shape if objects.size else (1, 1), np.uint8)
    for thing in objects:
        if int(thing["class_ind"].item()) != PERSON:
            continue
        for part in thing["parts"].reshape(-1):
            name = str(part["part_name"].item())
            if name not in PARTS:
                raise PammError(f"unknown part of a person {name!r}; want {', '.join(PARTS)}")
            parts[part["mask"].astype(bool)] = PARTS[name]
    return parts
