"""Annotations in COCO's JSON, objects as polygons or run lengths, drawn into label maps.

The result is a `folder` data set in place: the images stay where they are, `semseg/` gets a map and
a list of ids for each split, and a `pamm.toml` describes them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pamm.data.folder import DESCRIPTION
from pamm.data.ids import share_of
from pamm.errors import PammError
from pamm.pictures.images import write_png
from pamm.runtime.files import write_text
from pamm.runtime.progress import progress
from pamm.runtime.strict_json import read_json
from pamm.tasks import IGNORE

Mask = NDArray[np.bool_]

BACKGROUND = "background"
VALIDATION = 0.1
"""Share of the images, where no annotations are for validation."""
_IGNORE_16 = 65535  # where 255 is a class


@dataclass(frozen=True)
class _Split:
    """One annotation file, read: images by their number, and the objects of each."""

    images: dict[Any, dict[str, Any]]
    objects: dict[Any, list[dict[str, Any]]]
    classes: dict[Any, str]
    """Number of a category -> its name."""


def convert_coco(root: Path, splits: Mapping[str, tuple[str, str]]) -> Path:
    """Draw the annotations of a data set and describe it, with progress.

    Where objects overlap, the smaller one is in front. A pixel without an object is background.

    Args:
        root: the data set's folder.
        splits: "train", and "val" or not -> (annotation file, folder of its images), both under
            `root`. Without "val" a tenth of the images is for validation.

    Returns:
        The description that was written.

    Raises:
        PammError: a file is missing, or is no such annotation; a description is there already; or
            the folder cannot be written to.
    """
    path = root / DESCRIPTION
    if path.exists():
        raise PammError(f"{str(path)!r} is there already; delete it to write another one")
    read = {split: _read(root / file) for split, (file, _) in splits.items()}
    first = read["train"]
    if any(split.classes != first.classes for split in read.values()):
        raise PammError("the annotation files have different categories; convert them one by one")
    if "val" not in splits:
        share_of([image["file_name"] for image in first.images.values()], "val", VALIDATION)
    for split, (_, images) in splits.items():
        _check_folder(root, images)
        _draw_split(read[split], root / "semseg" / images, f"drawing {split} labels")
        ids = [PurePosixPath(i["file_name"]).with_suffix("") for i in read[split].images.values()]
        write_text(root / "semseg" / f"{split}.txt", "".join(f"{name}\n" for name in ids))
    folders = {split: images for split, (_, images) in splits.items()}
    write_text(path, _description(folders, list(first.classes.values())))
    return path


def _description(folders: Mapping[str, str], classes: list[str]) -> str:
    lines = [
        'images = "{split}/{id}.*"',
        *([] if "val" in folders else [f"validation = {VALIDATION}"]),
    ]
    lines += ["", "[splits]", *(f"{s} = {_quoted(f)}" for s, f in folders.items())]
    lines += ["", "[lists]", *(f'{split} = "semseg/{split}.txt"' for split in folders)]
    lines += ["", "[tasks.semseg]", 'files = "semseg/{split}/{id}.png"']
    lines += ['encoding = { type = "classes", ignore = [] }']
    if len(classes) >= IGNORE:
        lines += [f"ignore_index = {_IGNORE_16}"]
    names = ",\n".join(f"    {_quoted(name)}" for name in [BACKGROUND, *classes])
    return "\n".join([*lines, f"class_names = [\n{names},\n]"]) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _read(path: Path) -> _Split:
    """An annotation file.

    Raises:
        PammError: it is missing, or lacks what is needed.
    """
    values = read_json(path)
    try:
        images = {image["id"]: image for image in values["images"]}
        classes = {int(c["id"]): str(c["name"]) for c in values["categories"]}
        objects: dict[Any, list[dict[str, Any]]] = {number: [] for number in images}
        for one in values["annotations"]:
            if one["category_id"] not in classes:
                raise PammError(f"{str(path)!r}: no category {one['category_id']!r}")
            objects[one["image_id"]].append(one)
        for image in images.values():
            name = PurePosixPath(image["file_name"])
            if name.is_absolute() or ".." in name.parts or min(image["height"], image["width"]) < 1:
                raise PammError(f"{str(path)!r}: an image {image!r}, want a file with its size")
    except PammError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise PammError(
            f"{str(path)!r} is not an annotation file of COCO's kind: {type(error).__name__} "
            f"{error}; want images, annotations and categories"
        ) from None
    if len(set(classes.values())) < len(classes) or BACKGROUND in classes.values():
        raise PammError(f"{str(path)!r}: categories share a name, or one is {BACKGROUND!r}")
    if not any(one.get("segmentation") for listed in objects.values() for one in listed):
        raise PammError(
            f"{str(path)!r} has no segmentation; boxes do not say which pixels an object covers"
        )
    return _Split(images, objects, dict(sorted(classes.items())))


def _check_folder(root: Path, images: str) -> None:
    if not (root / images).is_dir() or PurePosixPath(images).is_absolute() or ".." in images:
        raise PammError(f"no folder {images!r} in {str(root)!r}; want that of the images")


def _draw_split(split: _Split, out: Path, label: str) -> None:
    numbers = {category: index for index, category in enumerate(split.classes, start=1)}
    dtype = np.uint8 if len(numbers) < IGNORE else np.uint16
    for number, image in progress(split.images.items(), total=len(split.images), label=label):
        size = int(image["height"]), int(image["width"])
        drawn = np.zeros(size, dtype)
        masks = [(mask_of(o, size), numbers[o["category_id"]]) for o in split.objects[number]]
        for mask, index in sorted(masks, key=lambda pair: -int(pair[0].sum())):
            drawn[mask] = index
        write_png(out / PurePosixPath(image["file_name"]).with_suffix(".png"), drawn)


def mask_of(annotation: Mapping[str, Any], size: tuple[int, int]) -> Mask:
    """The pixels (H, W) of an object: polygons, or run lengths as a list or packed into a string.

    Raises:
        PammError: its segmentation is none of these, or of another size.
    """
    shape = annotation.get("segmentation") or []
    mask = np.zeros(size, bool)
    try:
        if isinstance(shape, list):
            for polygon in shape:
                mask |= _polygon(np.asarray(polygon, float).reshape(-1, 2), size)
            return mask
        counts = shape["counts"]
        runs = _unpacked(counts) if isinstance(counts, str) else [int(n) for n in counts]
        if list(shape["size"]) != list(size) or sum(runs) != mask.size or min(runs) < 0:
            raise ValueError(f"run lengths of {sum(runs)} pixels for an image of {size}")
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise PammError(
            f"the annotation {annotation.get('id')!r} has no readable segmentation: {error}"
        ) from None
    down_columns = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return down_columns.reshape(size[::-1]).T


def _polygon(corners: NDArray[np.float64], size: tuple[int, int]) -> Mask:
    """The pixels whose centres are inside: those with an odd number of edges to their left."""
    crossings = np.zeros((size[0], size[1] + 1), np.int64)
    for (x, y), (to_x, to_y) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        low, high = sorted((y, to_y))
        rows = np.arange(max(0, int(np.ceil(low - 0.5))), min(size[0], int(np.ceil(high - 0.5))))
        at = x + (rows + 0.5 - y) * ((to_x - x) / (to_y - y)) if len(rows) else np.zeros(0)
        columns = np.clip(np.ceil(at - 0.5), 0, size[1]).astype(np.int64)
        crossings[rows, columns] += 1
    return np.asarray(crossings.cumsum(axis=1)[:, :-1] % 2 == 1)


def _unpacked(text: str) -> list[int]:
    """Run lengths from a string: digits of 5 bits, the lowest first, each character 48 more.

    Bit 32 says that another digit follows, bit 16 of the last one is the sign; from the fourth
    number on, what is stored is the difference to the number two before.
    """
    runs: list[int] = []
    value, shift = 0, 0
    for character in text:
        digit = ord(character) - 48
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        value -= (1 << shift) if digit & 16 else 0
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    return runs
