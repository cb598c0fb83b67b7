"""Small but complete copies of NYUD-v2 and PASCAL-Context on disk, and what was planted in them.

`fake_nyud` and `fake_pascal` write a data set and return, per image, the arrays that a loader must
give back: {id: {"image": (H,W,3), task: array}}. Written from the layouts' descriptions, with none
of the package's own code.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

Planted = dict[str, dict[str, np.ndarray]]

PART_NAMES = (
    "head", "leye", "reye", "lear", "rear", "lebrow", "rebrow", "nose", "mouth", "hair", "torso",
    "neck", "llarm", "luarm", "lhand", "rlarm", "ruarm", "rhand", "llleg", "luleg", "lfoot",
    "rlleg", "ruleg", "rfoot",
)  # fmt: skip
PART_CLASSES = [1] * 10 + [2, 2] + [4, 3, 4, 4, 3, 4] + [6, 5, 6, 6, 5, 6]
CONTEXT_WITH_NORMALS = (440, 158, 72, 427)  # wall, floor, chair, tvmonitor
CONTEXT_WITHOUT = (187, 360, 2, 431)  # grass, sky, aeroplane, unknown (a name in both lists)


def save(path: Path, array: np.ndarray, **options: Any) -> None:
    """An array as .png, .jpg or .npy, by the ending of the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path, **options)


def blocks(rng: np.random.Generator, size: tuple[int, int], values: Any, detail: int) -> np.ndarray:
    """A map of rectangles, as label maps are: each 4 x 6 pixels or more has one of the values."""
    high, wide = 4 * detail, 6 * detail
    small = rng.choice(np.asarray(values), size=(-(-size[0] // high), -(-size[1] // wide)))
    return small.repeat(high, 0).repeat(wide, 1)[: size[0], : size[1]]


def picture(rng: np.random.Generator, size: tuple[int, int], detail: int) -> np.ndarray:
    """uint8 (H, W, 3): noise, or smooth with a detail above 1, as photographs mostly are."""
    small = rng.integers(0, 256, (-(-size[0] // detail), -(-size[1] // detail), 3), np.uint8)
    if detail == 1:
        return small
    return np.asarray(Image.fromarray(small).resize((size[1], size[0])))


def unit_vectors(rng: np.random.Generator, size: tuple[int, int], detail: int) -> np.ndarray:
    """(H, W, 3) float32, every seventh or so the zero vector."""
    vectors = picture(rng, size, detail) / 100 - [1, 1, 0.5]
    vectors /= np.maximum(np.linalg.norm(vectors, axis=2, keepdims=True), 1e-6)
    vectors[blocks(rng, size, np.arange(20), detail) < 3] = 0
    return vectors.astype(np.float32)


def to_8_bits(vectors: np.ndarray) -> np.ndarray:
    return np.rint((vectors + 1) * 127.5).astype(np.uint8)


def write_list(path: Path, names: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))


def fake_nyud(
    root: Path,
    *,
    train: int = 3,
    val: int = 2,
    size: tuple[int, int] = (45, 61),
    old: bool = False,
    missing: dict[str, list[str]] | None = None,
    seed: int = 0,
    detail: int = 1,
) -> Planted:
    """An NYUDv2 folder; `old` = the file types of MTI-Net's copies.

    missing: {task: ids without a label file}; detail: above 1, smoother pictures and larger blocks.
    Depth 0 and class 0 mean "not labelled".
    """
    rng = np.random.default_rng(seed)
    ids = [f"{i:04d}" for i in range(1, train + val + 1)]
    planted: Planted = {}
    for name in ids:
        image = picture(rng, size, detail)
        classes = blocks(rng, size, range(41), detail).astype(np.uint8)
        depth = (rng.uniform(0.7, 9.9, size) * (rng.random(size) < 0.9)).astype(np.float32)
        normals, edge = unit_vectors(rng, size, detail), rng.random(size) < 0.1
        ending = ".npy" if old else ".png"
        files = {
            "semseg": (f"segmentation/{name}.png", classes),
            "depth": (f"depth/{name}.npy", depth),
            "normals": (f"normals/{name}{ending}", normals if old else to_8_bits(normals)),
            "boundary": (f"edge/{name}{ending}", edge if old else edge * np.uint8(255)),
        }
        for task, (path, array) in files.items():
            if name not in (missing or {}).get(task, []):
                save(root / path, array)
        path = root / "images" / f"{name}{'.jpg' if old else '.png'}"
        save(path, image)
        if old:
            image = np.asarray(Image.open(path))  # as the JPEG has it
        semseg = np.where(classes == 0, 255, classes.astype(int) - 1)
        planted[name] = {
            "image": image, "semseg": semseg, "depth": depth, "normals": normals, "boundary": edge,
        }  # fmt: skip
    write_list(root / "gt_sets" / "train.txt", ids[:train])
    write_list(root / "gt_sets" / "val.txt", ids[train:])
    return planted


def fake_pascal(
    root: Path,
    *,
    train: int = 4,
    val: int = 3,
    sizes: tuple[tuple[int, int], ...] = ((37, 50), (50, 33), (41, 41)),
    missing: dict[str, list[str]] | None = None,
    seed: int = 0,
    detail: int = 1,
) -> Planted:
    """A PASCALContext folder. Every third image has its classes in pascal-context instead of VOC12;
    every second shows persons, of which the first has no parts; the rest only a dog with parts.

    The planted arrays have also "label_map"; "boundary" is for the tests to work out from it.
    """
    rng = np.random.default_rng(seed)
    ids = [f"20{8 + (i - 1) % 3:02d}_{i:06d}" for i in range(1, train + val + 1)]
    planted: Planted = {}
    for i, name in enumerate(ids):
        size = sizes[i % len(sizes)]
        gone = {task for task, names in (missing or {}).items() if name in names}
        image_path = root / "JPEGImages" / f"{name}.jpg"
        save(image_path, picture(rng, size, detail), quality=95)
        semseg = blocks(rng, size, [*range(21), 255], detail).astype(np.uint8)
        numbers = CONTEXT_WITH_NORMALS + CONTEXT_WITHOUT
        label_map = blocks(rng, size, numbers, detail).astype(np.uint16)
        normals, saliency = unit_vectors(rng, size, detail), picture(rng, size, detail)[..., 0]
        parts, anno = annotation(rng, name, size, person=i % 2 == 0)
        if "semseg" not in gone:
            source = "pascal-context" if i % 3 == 2 else "VOC12"
            path = root / "semseg" / source / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            indexed = Image.fromarray(semseg)
            indexed.putpalette(rng.integers(0, 256, 768).tolist())  # as VOC's are
            indexed.save(path)
        if "normals" not in gone:
            save(root / "normals_distill" / f"{name}.png", to_8_bits(normals))
        if "saliency" not in gone:
            save(root / "sal_distill" / f"{name}.png", saliency)
        if "boundary" not in gone:
            mat(root / "pascal-context" / "trainval" / f"{name}.mat", LabelMap=label_map)
        if "human_parts" not in gone:
            mat(root / "human_parts" / f"{name}.mat", anno=anno)
        planted[name] = {
            "image": np.asarray(Image.open(image_path)),
            "semseg": semseg.astype(int),
            "human_parts": parts,
            "saliency": saliency > 127,
            "normals": normals * np.isin(label_map, CONTEXT_WITH_NORMALS)[..., None],
            "label_map": label_map,
        }
    write_list(root / "ImageSets" / "Context" / "train.txt", ids[:train])
    write_list(root / "ImageSets" / "Context" / "val.txt", ids[train:])
    return planted


def annotation(
    rng: np.random.Generator, name: str, size: tuple[int, int], *, person: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The part map of an image, and the struct 'anno' of PASCAL-Part that says it."""
    parts = np.zeros(size, int)
    things = []
    if person:
        things.append(thing("person", 15, rng.random(size) < 0.3, []))
        for _ in range(2):
            masks = []
            for i in rng.permutation(24)[:9]:
                top, left = rng.integers(0, size[0] - 8), rng.integers(0, size[1] - 8)
                mask = np.zeros(size, np.uint8)
                mask[top : top + 8, left : left + 8] = 1
                parts[mask == 1] = PART_CLASSES[i]
                masks.append((PART_NAMES[i], mask))
            things.append(thing("person", 15, np.ones(size), masks))
    dog = np.zeros(size)
    dog[:5, :5] = 1
    things.append(thing("dog", 12, dog, [("head", dog), ("lfpa", dog)]))
    anno = np.zeros((1, 1), dtype=[("imname", object), ("objects", object)])
    anno["imname"][0, 0] = name
    anno["objects"][0, 0] = struct(things, ("class", "class_ind", "mask", "parts"))
    return parts, anno


def thing(
    name: str, number: int, mask: np.ndarray, parts: list[tuple[str, np.ndarray]]
) -> tuple[Any, ...]:
    masks = [(part, m.astype(np.uint8)) for part, m in parts]
    listed = struct(masks, ("part_name", "mask")) if masks else np.zeros((0, 0))
    return name, np.array([[number]], np.uint8), mask.astype(np.uint8), listed


def struct(rows: list[tuple[Any, ...]], names: tuple[str, ...]) -> np.ndarray:
    """A 1 x n struct array, as MATLAB has."""
    array = np.zeros((1, len(rows)), dtype=[(name, object) for name in names])
    for i, row in enumerate(rows):
        for name, value in zip(names, row, strict=True):
            array[name][0, i] = value
    return array


def mat(path: Path, **variables: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, variables, do_compression=True)
