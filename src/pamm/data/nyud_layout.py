"""Write synthetic rooms in the folder layout of the NYUD-v2 archives.

```
images/<id>.png          8-bit RGB
segmentation/<id>.png    class + 1; 0 = no label
depth/<id>.npy           float32 (H,W), metres; 0 = no label
normals/<id>.png         v = 255 * (x + 1) / 2, rounded; read x = 2 * v / 255 - 1 (no label: near 0)
edge/<id>.png            255 = boundary
gt_sets/{train,val}.txt  one id a line
```

Human parts and saliency have no place in this layout. What is there already is kept, so that an
interrupted run goes on; every file appears whole or not at all, the lists of ids last.
"""

import io
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from pamm.data.synthetic import Synthetic
from pamm.errors import PammError
from pamm.files import replacing, write_text
from pamm.progress import progress
from pamm.tasks import IGNORE

MARK = "written-by-pamm.json"  # says which rooms a folder holds


def _png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "png")
    return file.getvalue()


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _segmentation(classes: np.ndarray) -> bytes:
    return _png(np.where(classes == IGNORE, 0, classes + 1).astype(np.uint8))


def _normals(normals: np.ndarray) -> bytes:
    return _png(np.rint((normals.transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8))


def _depth(depth: np.ndarray) -> bytes:
    return _npy(depth[0].astype(np.float32))


def _edge(boundary: np.ndarray) -> bytes:
    return _png(np.where(boundary[0] == 1, 255, 0).astype(np.uint8))


# task -> folder, ending, target as array -> bytes of the file
ENCODERS: dict[str, tuple[str, str, Callable[[np.ndarray], bytes]]] = {
    "semseg": ("segmentation", ".png", _segmentation),
    "depth": ("depth", ".npy", _depth),
    "normals": ("normals", ".png", _normals),
    "boundary": ("edge", ".png", _edge),
}


def write_nyud_layout(
    splits: Mapping[str, Synthetic], out_dir: str | os.PathLike[str], *, threads: int | None = None
) -> Path:
    """Write data sets as an `NYUDv2/` folder, with progress.

    Args:
        splits: split name -> its rooms; with the tasks semseg, depth, normals and boundary or any
            of them. Transforms are not applied.
        out_dir: the folder to fill; new, empty, or begun by an earlier call with the same rooms.
        threads: how many files are encoded at once; None = as many as Python finds fit.

    Returns:
        `out_dir` as a path.

    Raises:
        PammError: the folder holds something else, or cannot be written to.
    """
    out = Path(out_dir)
    mark = json.dumps({split: data.cache.folder.name for split, data in splits.items()}) + "\n"
    try:
        _claim(out, mark)
        for split, data in splits.items():
            with ThreadPoolExecutor(threads) as pool:
                ids = pool.map(partial(_write_scene, data, out), range(len(data)))
                names = list(progress(ids, total=len(data), label=f"writing {split} rooms"))
            write_text(out / "gt_sets" / f"{split}.txt", "".join(f"{name}\n" for name in names))
    except OSError as error:
        raise PammError(
            f"cannot write the NYUD layout to {out}: {error.strerror or error}; free some space or "
            "choose another folder, then run it again: what is written is kept"
        ) from error
    return out


def _claim(out: Path, mark: str) -> None:
    """Make the folder ours, unless it holds anything that is not from these very rooms."""
    if out.exists() and not out.is_dir():
        raise PammError(f"{out} is a file; choose a folder for the NYUD layout")
    path = out / MARK
    if path.exists():
        if path.read_text() != mark:
            raise PammError(
                f"{out} holds other rooms ({path.read_text().strip()}, wanted {mark.strip()}); "
                "choose another folder or delete it"
            )
    elif out.exists() and any(out.iterdir()):
        raise PammError(f"{out} is not empty and was not written by pamm; choose an empty folder")
    else:
        write_text(path, mark)


def _write_scene(data: Synthetic, out: Path, index: int) -> str:
    name = data.name(index)
    paths = {"image": out / "images" / f"{name}.png"}
    for task in data.tasks:
        if task in ENCODERS:
            folder, ending, _ = ENCODERS[task]
            paths[task] = out / folder / f"{name}{ending}"
    if all(path.exists() for path in paths.values()):
        return name
    sample = data.load(index)
    _write(paths.pop("image"), _png(sample["image"].permute(1, 2, 0).contiguous().numpy()))
    for task, path in paths.items():
        _write(path, ENCODERS[task][2](sample["targets"][task].numpy()))
    return name


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
