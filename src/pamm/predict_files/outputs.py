"""What is written of the prediction of one image."""

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pamm.errors import PammError, unknown
from pamm.pictures.images import write_npy, write_png, writing, writing_npz
from pamm.pictures.point_cloud import write_point_cloud
from pamm.pictures.visualise import (
    Cell,
    Legend,
    blended,
    drawn_in_strips,
    panel,
    picture_of_legend,
    thumbnail,
)
from pamm.prediction import decoded, halved
from pamm.runtime.files import write_text
from pamm.runtime.ranges import FieldOfView, check_fields
from pamm.runtime.strict_json import to_json
from pamm.tasks import Task

Save = Literal["png", "npz", "npy", "overlay", "legend", "overview", "mm", "ply", "summary"]
"""What to write of an image: see `predict_files`."""
DEFAULT_SAVE: tuple[Save, ...] = ("png", "npz", "overview", "summary")
ARRAYS, OVERVIEW, SUMMARY, POINTS = "arrays.npz", "overview.png", "summary.json", "points.ply"
ENDINGS = {
    "png": ".png",
    "npy": ".npy",
    "overlay": ".overlay.png",
    "legend": ".legend.png",
    "mm": ".mm.png",
}
"""Of the files of each task."""
WHOLE = {"npz": ARRAYS, "overview": OVERVIEW, "summary": SUMMARY, "ply": POINTS}
"""The files of an image."""
METRES = "m"
"""The unit of the tasks that "mm" and "ply" are of."""

_RANGE_PIXELS = 2**22  # the most that the range of a picture's values is computed from


@dataclass(frozen=True, kw_only=True)
class SaveOptions:
    """What to write, and what is needed for it.

    Raises:
        PammError: an unknown kind, or none; a field of view that no camera has.
    """

    kinds: tuple[Save, ...] | None = None
    """None: `DEFAULT_SAVE`, and of a video pictures only."""
    frames: bool = False
    """Of a video, write every frame like an image."""
    field_of_view: FieldOfView = 60.0
    """Of the camera across the image's width, in degrees; for "ply"."""

    def __post_init__(self) -> None:
        for kind in self.kinds or ():
            if kind not in get_args(Save):
                raise PammError(unknown("output", str(kind), get_args(Save)))
        if self.kinds == ():
            raise PammError(f"save: got nothing, want one or more of {', '.join(get_args(Save))}")
        check_fields(self)

    def of_images(self) -> tuple[Save, ...]:
        """What to write of an image."""
        return DEFAULT_SAVE if self.kinds is None else self.kinds

    def of_videos(self) -> tuple[Save, ...]:
        """What to write of a video."""
        return ("png",) if self.kinds is None else self.kinds

    def check(self, tasks: Mapping[str, Task]) -> None:
        """Raise if something is wanted that these tasks do not give."""
        for kind in ("mm", "ply"):
            if kind in self.of_images() and not any(t.unit == METRES for t in tasks.values()):
                raise PammError(f"save: {kind!r} is made of depth, which is not among the tasks")


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


def write_prediction(
    folder: Path,
    picture: NDArray[np.uint8],
    logits: Mapping[str, Tensor],
    tasks: Mapping[str, Task],
    save: SaveOptions,
    about: Mapping[str, Any],
) -> None:
    """Write what is wanted of an image, the summary last: it says that all is there.

    One task after the other, as the arrays of all of them at once may not fit into memory.

    Args:
        folder: of the image; made if needed.
        picture: the image, uint8 (H, W, 3).
        logits: {task: (1, C, h, w)}.
        tasks: what they mean.
        save: what to write.
        about: what the summary says beside what is seen, in JSON values.

    Raises:
        PammError: a file cannot be written, or its name leads out of the folder.
    """
    for name in tasks:
        inside(folder, name)  # before anything is written
    kinds = set(save.of_images())
    cells, legends = [Cell(thumbnail(picture), "image")], []
    seen: dict[str, Any] = {}
    with ExitStack() as stack:
        add = stack.enter_context(writing_npz(folder / ARRAYS)) if "npz" in kinds else None
        for name, task in tasks.items():
            size = (picture.shape[0], picture.shape[1])
            array = decoded(logits[name], task, size, compact=not kinds & {"npy", "mm"})
            _write_array(folder / name, picture, array, task, save, add)
            cell, legend = _write_pictures(folder / name, picture, array, task, kinds)
            cells.append(cell)
            legends += [legend] if legend.entries else []
            if "summary" in kinds:
                seen[name] = task.summary(array)
    if "overview" in kinds:
        write_png(folder / OVERVIEW, panel(cells, legends))
    if "summary" in kinds:
        height, width = picture.shape[:2]
        summary = {"size": [height, width], "tasks": seen, **about}
        _write_json(folder / SUMMARY, summary)


def _write_json(path: Path, content: Any) -> None:
    try:
        write_text(path, json.dumps(to_json(content), indent=1) + "\n")
    except OSError as error:
        raise PammError(f"cannot write {str(path)!r}: {error.strerror or error}") from None


def _write_array(
    stem: Path,
    picture: NDArray[np.uint8],
    array: NDArray[Any],
    task: Task,
    save: SaveOptions,
    add: Callable[[str, NDArray[Any]], None] | None,
) -> None:
    """The files of a task that programs read; `add` puts its array into the .npz."""
    kinds = save.of_images()
    if "npy" in kinds:
        write_npy(_named(stem, "npy"), array)
    if add:
        add(stem.name, halved(array))
    if task.unit != METRES:
        return
    if "mm" in kinds:
        millimetres = np.nan_to_num(array, posinf=0, neginf=0) * 1000
        levels = np.rint(np.clip(millimetres, 0, 2**16 - 1)).astype(np.uint16)
        with writing(_named(stem, "mm")) as place:
            Image.fromarray(levels).save(place, format="PNG")
    if "ply" in kinds:
        points = stem.parent / POINTS
        write_point_cloud(points, picture, array, field_of_view=save.field_of_view)


def _write_pictures(
    stem: Path, picture: NDArray[np.uint8], array: NDArray[Any], task: Task, kinds: set[Save]
) -> tuple[Cell, Legend]:
    """The files of a task that people look at; its place in the overview."""
    legend = Legend(task.caption(), dict(sorted(task.legend(array).items())))
    if "legend" in kinds and legend.entries:
        write_png(_named(stem, "legend"), picture_of_legend(legend))
    if not kinds & {"png", "overlay", "overview"}:
        return Cell(), legend
    values = task.value_range(_sparse(array))
    coloured = drawn_in_strips(task, array, values)
    if "png" in kinds:
        write_png(_named(stem, "png"), coloured)
    if "overlay" in kinds:
        write_png(_named(stem, "overlay"), blended(picture, coloured))
    return Cell(thumbnail(coloured), task.caption(values)), legend


def _named(stem: Path, kind: str) -> Path:
    return stem.with_name(stem.name + ENDINGS[kind])


def files_of(tasks: Iterable[str], kinds: Iterable[str]) -> set[str]:
    """The names of the files in an image's folder."""
    kinds = set(kinds)
    own = {name + ending for kind, ending in ENDINGS.items() if kind in kinds for name in tasks}
    return own | {name for kind, name in WHOLE.items() if kind in kinds}


def others_in(folder: Path, tasks: Iterable[str], kinds: Iterable[str]) -> list[str]:
    """The files in an image's folder that a call did not write."""
    own = files_of(tasks, kinds)
    return sorted(
        shown(path.relative_to(folder)) for path in folder.glob("*") if path.name not in own
    )


def _sparse(array: NDArray[Any]) -> NDArray[Any]:
    """Every so many rows and columns of a large array, in 32 bits where there are 16."""
    step = int(np.ceil(np.sqrt(array.shape[0] * array.shape[1] / _RANGE_PIXELS)))
    kept = array[:: max(step, 1), :: max(step, 1)]
    return kept.astype(np.float32) if kept.dtype == np.float16 else kept
