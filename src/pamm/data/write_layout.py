"""Write synthetic rooms as files: in the layout of the NYUD-v2 archives, or as a `folder` data set.

What is there already is kept, so that an interrupted run goes on; every file appears whole or not
at all, the lists of ids last.
"""

import dataclasses
import io
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from pamm.data.encodings import ENCODINGS, Encoding, type_for
from pamm.data.folder import DESCRIPTION
from pamm.data.ids import read_ids
from pamm.data.nyud import NYUD
from pamm.data.synthetic import Synthetic
from pamm.errors import PammError
from pamm.runtime.files import replacing, write_text
from pamm.runtime.progress import progress
from pamm.runtime.text import counted
from pamm.tasks import Task

MARK = "written-by-pamm.json"  # says which rooms a folder holds


def _png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "png")
    return file.getvalue()


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """One way to arrange a data set."""

    title: str
    labels: Callable[[Task], tuple[str, Encoding] | None]
    """Where the labels of a task are, with {id} in the path, and how they are stored; None: it has
    no place for them."""
    lists: str
    """Path of the list of ids, with {split} in it."""
    described: bool
    """Whether it gets a pamm.toml."""


def _in_nyud(task: Task) -> tuple[str, Encoding] | None:
    return next(iter(NYUD.LAYOUT.labels.get(task.name, {}).items()), None)


def _in_folder(task: Task) -> tuple[str, Encoding]:
    fitting = type_for(task)
    if fitting is None:
        raise PammError(
            f"a folder data set cannot hold labels of {task.name!r}: no type of encoding fits a "
            f"task of type {task.type_name!r}"
        )
    encoding = ENCODINGS[fitting](**ENCODINGS[fitting].in_pictures)
    return f"{task.name}/{{id}}.png", encoding


_NYUD = _Kind(title="NYUD layout", labels=_in_nyud, lists="gt_sets/{split}.txt", described=False)
_FOLDER = _Kind(title="folder data set", labels=_in_folder, lists="{split}.txt", described=True)


def write_nyud_layout(
    splits: Mapping[str, Synthetic], out_dir: str | os.PathLike[str], *, threads: int | None = None
) -> Path:
    """Write data sets as an `NYUDv2/` folder, see `pamm.data.nyud`, with progress.

    Human parts and saliency have no place in it. Pixels without a normal are stored as nearly 0.

    Args:
        splits: split name -> its rooms. Transforms are not applied.
        out_dir: the folder to fill; new, empty, or begun by an earlier call with the same rooms.
        threads: how many files are encoded at once; None = as many as Python finds fit.

    Returns:
        `out_dir` as a path.

    Raises:
        PammError: the folder holds something else, or cannot be written to.
    """
    return _write(_NYUD, splits, Path(out_dir), threads)


def write_folder_layout(
    splits: Mapping[str, Synthetic], out_dir: str | os.PathLike[str], *, threads: int | None = None
) -> Path:
    """Write data sets as a `folder` data set with a `pamm.toml`, see `pamm.data.folder`.

    All tasks have a place in it; depth is stored in whole millimetres, normals in 8 bits.
    Arguments, result and errors as of `write_nyud_layout`.
    """
    return _write(_FOLDER, splits, Path(out_dir), threads)


WRITERS = {"nyud": write_nyud_layout, "folder": write_folder_layout}
"""The layouts by name."""


def _write(kind: _Kind, splits: Mapping[str, Synthetic], out: Path, threads: int | None) -> Path:
    rooms = {split: data.cache.folder.name for split, data in splits.items()}
    try:
        _claim(out, json.dumps({"layout": kind.title, **rooms}) + "\n", kind.title)
        for split, data in splits.items():
            _check_list(out / kind.lists.replace("{split}", split), data)
        if kind.described:
            tasks = {name: t for data in splits.values() for name, t in data.tasks.items()}
            _write_description(out / DESCRIPTION, describe(tasks, splits))
        for split, data in splits.items():
            with ThreadPoolExecutor(threads) as pool:
                ids = pool.map(partial(_write_scene, data, kind, out), range(len(data)))
                names = list(progress(ids, total=len(data), label=f"writing {split} rooms"))
            path = out / kind.lists.replace("{split}", split)
            write_text(path, "".join(f"{name}\n" for name in names))
    except OSError as error:
        raise PammError(
            f"cannot write the {kind.title} to {out}: {error.strerror or error}; free some space "
            "or choose another folder, then run it again: what is written is kept"
        ) from error
    return out


def describe(tasks: Mapping[str, Task], splits: Mapping[str, Synthetic]) -> str:
    """The `pamm.toml` of rooms with these tasks: what differs from the tasks' defaults is said."""
    lines = ['images = "images/{id}.png"', "", "[lists]"]
    lines += [f'{split} = "{_FOLDER.lists.replace("{split}", split)}"' for split in splits]
    for name, task in tasks.items():
        path, encoding = _in_folder(task)
        stored = [f'type = "{encoding.type_name}"']
        stored += [f"{key} = {value:g}" for key, value in encoding.in_pictures.items()]
        lines += ["", f"[tasks.{name}]", f'files = "{path}"']
        lines += [] if name == task.type_name else [f'type = "{task.type_name}"']
        lines += [f"encoding = {{ {', '.join(stored)} }}"]
        values = task.to_dict()
        for field in dataclasses.fields(task):
            derived = field.name == "channels" and values.get("class_names")
            if getattr(task, field.name) != field.default and not derived and field.name != "name":
                lines += [f"{field.name} = {json.dumps(values[field.name], ensure_ascii=False)}"]
    return "\n".join(lines) + "\n"


def _claim(out: Path, mark: str, title: str) -> None:
    """Make the folder ours, unless it holds anything that is not from these very rooms."""
    if out.exists() and not out.is_dir():
        raise PammError(f"{out} is a file; choose a folder for the {title}")
    path = out / MARK
    if path.exists():
        if path.read_text() != mark:
            raise PammError(
                f"{out} holds other rooms ({path.read_text().strip()}, want {mark.strip()}); "
                "choose another folder or delete it"
            )
    elif out.exists() and any(out.iterdir()):
        raise PammError(f"{out} is not empty and was not written by pamm; choose an empty folder")
    else:
        write_text(path, mark)


def _check_list(path: Path, data: Synthetic) -> None:
    """Raise where a list that is there has rooms that the new one would leave out."""
    names = {data.name(index) for index in range(len(data))}
    before = read_ids(path, "rooms") if path.exists() else []
    if lost := set(before) - names:
        raise PammError(
            f"{path} has {counted(len(before), 'room')}, {len(lost)} more than asked for; ask "
            "for as many, choose another folder, or delete it"
        )


def _write_description(path: Path, text: str) -> None:
    """Write the pamm.toml, unless one is there that somebody has changed."""
    if path.exists() and path.read_bytes() != text.encode():
        raise PammError(
            f"{path} is not as pamm wrote it, or of other tasks; choose another folder or delete it"
        )
    write_text(path, text)


def _write_scene(data: Synthetic, kind: _Kind, out: Path, index: int) -> str:
    name = data.name(index)
    image = out / "images" / f"{name}.png"
    files = {}
    for task in data.tasks.values():
        if place := kind.labels(task):
            files[out / place[0].replace("{id}", name)] = (task, place[1])
    if image.exists() and all(path.exists() for path in files):
        return name
    sample = data.load(index)
    _put(image, _png(sample["image"].permute(1, 2, 0).contiguous().numpy()))
    for path, (task, encoding) in files.items():
        picture = path.suffix == ".png"
        stored = encoding.store(sample["targets"][task.name].numpy(), task, picture=picture)
        _put(path, _png(stored) if picture else _npy(stored))
    return name


def _put(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
