"""Predictions from image files to a folder of files each."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from pamm.errors import PammError, unknown
from pamm.pictures.images import list_images, read_image, write_npy, write_png, writing_npz
from pamm.pictures.visualise import Cell, Legend, blended, drawn_in_strips, panel, thumbnail
from pamm.prediction import Look, as_predictor, decoded, halved, image_logits
from pamm.runtime.files import check_folder
from pamm.tasks import Task

Save = Literal["png", "npz", "npy", "overlay", "overview"]
"""What to write of an image: see `predict_files`."""
DEFAULT_SAVE: tuple[Save, ...] = ("png", "npz", "overview")
ARRAYS = "arrays.npz"
OVERVIEW = "overview.png"
ENDINGS = {"png": ".png", "npy": ".npy", "overlay": ".overlay.png"}
"""Of the files of each task."""

_RANGE_PIXELS = 2**22  # the most that the range of a picture's values is computed from


def predict_files(
    model: nn.Module,
    paths: Iterable[str | Path],
    out: str | Path,
    *,
    tasks: Mapping[str, Task] | Iterable[str] | None = None,
    look: Look = Look(),  # noqa: B008  # frozen
    save: Iterable[Save] = DEFAULT_SAVE,
    report: Callable[[str], None] = print,
) -> int:
    """Predict on image files and folders of them, and write what came out.

    Each image gets a folder `<out>/<stem>`; the second image of a stem gets `<stem>-2`. In it are,
    as `save` says:

    - png: `<task>.png`, a picture;
    - npz: `arrays.npz`, the arrays of all tasks by name, compressed; of what `predict` returns
      floating point is rounded to 16 bits (a thousandth of a probability, of a unit vector's
      coordinate or of a depth at most);
    - npy: `<task>.npy`, the array that `predict` returns, as it is;
    - overlay: `<task>.overlay.png`, half the image and half the picture;
    - overview: `overview.png`, small pictures of the image and of all tasks.

    An image or folder that cannot be used costs one line of the report, and the others are done.

    Args:
        model, tasks: as of `predict`.
        look: how the network looks at an image.
        paths: image files, and folders of which all image files directly inside are taken.
        out: the folder to write to, made if needed; nothing is written elsewhere.
        save: one or more of the five.
        report: gets a line of text per image.

    Returns:
        How many of the images (and of the folders without any) failed.

    Raises:
        PammError: an unknown task or kind of output.
    """
    predictor = as_predictor(model, tasks)
    wanted = _checked(save)
    if out == "":
        raise PammError("'' names no folder to write to; give one ('.' is this one)")
    check_folder(Path(out), "choose another --out")
    files, failed = _expand(paths, report)
    folders: set[str] = set()
    for i, path in enumerate(files, 1):
        start = time.monotonic()
        try:
            picture = read_image(path)
            logits = image_logits(predictor, picture, look)
            folder = inside(Path(out), _unused(_folder_name(path), folders))
            _write(folder, picture, logits, predictor.tasks, wanted)
        except (PammError, OSError, MemoryError) as error:
            failed += 1
            reason = error if isinstance(error, PammError) else f"{str(path)!r}: {error!r}"
            report(f"[{i}/{len(files)}] failed: {reason}")
            continue
        size, seconds = f"{picture.shape[1]}x{picture.shape[0]}", time.monotonic() - start
        line = f"[{i}/{len(files)}] {shown(path)} ({size}) -> {shown(folder)} ({seconds:.1f} s)"
        if others := _others(folder, predictor.tasks, wanted):
            line += f"; there from before: {', '.join(others)}"
        report(line)
    return failed


def inside(folder: Path, name: str) -> Path:
    """The path of a file or folder directly in another one.

    Raises:
        PammError: the name leads elsewhere, or a link does.
    """
    place = folder / name
    try:
        plain = name not in ("", ".", "..") and Path(name).name == name and "\0" not in name
        safe = plain and place.resolve().parent == folder.resolve()
    except (OSError, RuntimeError) as error:  # a name too long, links in a circle
        raise PammError(f"cannot write {str(place)!r}: {error}") from None
    if not safe:
        raise PammError(f"cannot write {str(place)!r}: it is not in {str(folder)!r}")
    return place


def shown(path: Path) -> str:
    """A path on one line of text: line ends, control codes and broken bytes are escaped."""
    text = str(path)
    return text if text.isprintable() else repr(text)[1:-1]


def _checked(save: Iterable[Save]) -> set[str]:
    kinds = [save] if isinstance(save, str) else list(save)
    for kind in kinds:
        if kind not in get_args(Save):
            raise PammError(unknown("output", str(kind), get_args(Save)))
    if not kinds:
        raise PammError(f"save: got nothing, want one or more of {', '.join(get_args(Save))}")
    return set(kinds)


def _expand(paths: Iterable[str | Path], report: Callable[[str], None]) -> tuple[list[Path], int]:
    """The image files of all paths, each once, and how many folders had none."""
    files: dict[Path, None] = {}
    failed = 0
    for path in paths:
        try:
            files.update(dict.fromkeys(list_images([path])))
        except PammError as error:
            failed += 1
            report(f"failed: {error}")
    return list(files), failed


def _folder_name(path: Path) -> str:
    """The file's name without its suffix; with it where nothing else than dots is left."""
    return path.stem if path.stem.strip(".") else path.name


def _unused(stem: str, taken: set[str]) -> str:
    """`stem`, or with the first number that makes it new; case does not count, as on some disks."""
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.casefold())
    return name


def _write(
    folder: Path,
    picture: NDArray[np.uint8],
    logits: Mapping[str, Tensor],
    tasks: Mapping[str, Task],
    save: set[str],
) -> None:
    """One task after the other, as the arrays of all of them at once may not fit into memory."""
    for name in tasks:
        inside(folder, name)  # before anything is written
    cells, legends = [Cell(thumbnail(picture), "image")], []
    with ExitStack() as stack:
        add = stack.enter_context(writing_npz(folder / ARRAYS)) if "npz" in save else None
        for name, task in tasks.items():
            cell, legend = _write_task(folder, name, picture, logits[name], task, save, add)
            cells.append(cell)
            legends += [legend] if legend.entries else []
    if "overview" in save:
        write_png(folder / OVERVIEW, panel(cells, legends))


def _others(folder: Path, tasks: Iterable[str], save: set[str]) -> list[str]:
    """The files in an image's folder that this call did not write."""
    own = {name + ending for kind, ending in ENDINGS.items() if kind in save for name in tasks}
    own |= {name for kind, name in (("npz", ARRAYS), ("overview", OVERVIEW)) if kind in save}
    return sorted(
        shown(path.relative_to(folder)) for path in folder.glob("*") if path.name not in own
    )


def _write_task(
    folder: Path,
    name: str,
    picture: NDArray[np.uint8],
    logits: Tensor,
    task: Task,
    save: set[str],
    add: Callable[[str, NDArray[Any]], None] | None,
) -> tuple[Cell, Legend]:
    """Write what is wanted of a task, with `add` for its array; its place in the overview."""
    array = decoded(logits, task, (picture.shape[0], picture.shape[1]), compact="npy" not in save)
    if "npy" in save:
        write_npy(folder / (name + ENDINGS["npy"]), array)
    if add:
        add(name, halved(array))
    if not save & {"png", "overlay", "overview"}:
        return Cell(), Legend("")
    values = task.value_range(_sparse(array))
    coloured = drawn_in_strips(task, array, values)
    if "png" in save:
        write_png(folder / (name + ENDINGS["png"]), coloured)
    if "overlay" in save:
        write_png(folder / (name + ENDINGS["overlay"]), blended(picture, coloured))
    legend = Legend(task.caption(), dict(sorted(task.legend(array).items())))
    return Cell(thumbnail(coloured), task.caption(values)), legend


def _sparse(array: NDArray[Any]) -> NDArray[Any]:
    """Every so many rows and columns of a large array, in 32 bits where there are 16."""
    step = int(np.ceil(np.sqrt(array.shape[0] * array.shape[1] / _RANGE_PIXELS)))
    kept = array[:: max(step, 1), :: max(step, 1)]
    return kept.astype(np.float32) if kept.dtype == np.float16 else kept
