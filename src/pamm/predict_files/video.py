"""Videos: their frames go through the network like images, and come out as videos or as frames."""

import importlib
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pamm.errors import PammError
from pamm.pictures.images import writing
from pamm.pictures.visualise import blended, drawn_in_strips
from pamm.predict_files.outputs import SaveOptions, inside, write_prediction
from pamm.prediction import Look, decoded, image_logits
from pamm.predictor import Predictor
from pamm.runtime.progress import progress
from pamm.runtime.text import counted, first_line

VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm")
ENDINGS = {"png": ".mp4", "overlay": ".overlay.mp4"}
"""Of the videos of each task."""


def is_video(path: Path) -> bool:
    """Whether a file's name is that of a video."""
    return path.suffix.lower() in VIDEOS


def predict_video(model: Predictor, path: Path, folder: Path, look: Look, save: SaveOptions) -> str:
    """Predict on each frame of a video.

    "png" and "overlay" are written as videos, `<task>.mp4` and `<task>.overlay.mp4`, of the same
    size (made even) and speed; what a colour means stays as in the first frame. All other kinds are
    written for each frame, into folders `frame-000001` and so on, as are these two if `save.frames`
    is set.

    Args:
        model: with its tasks.
        path: of the video.
        folder: to write to.
        look: how the network looks at a frame.
        save: what to write.

    Returns:
        How many frames there were, in words.

    Raises:
        PammError: what reads videos is not installed, the file is no video, or a file cannot be
            written.
    """
    kinds = save.of_videos()
    as_video = [kind for kind in ENDINGS if kind in kinds and not save.frames]
    of_frames = SaveOptions(
        kinds=tuple(kind for kind in kinds if kind not in as_video) or ("png",),
        field_of_view=save.field_of_view,
    )
    writes_frames = len(as_video) < len(kinds)
    count = 0
    with ExitStack() as stack:
        about, frames = opened(path, stack)
        outputs = {
            (name, kind): stack.enter_context(_Video(inside(folder, name + ENDINGS[kind]), about))
            for name in model.tasks
            for kind in as_video
        }
        ranges: dict[str, tuple[float, float] | None] = {}
        total = round(about["duration"] * about["fps"]) or None
        for count, frame in enumerate(progress(frames, total=total, label=path.name), 1):
            logits = image_logits(model, frame, look)
            if writes_frames:
                place = inside(folder, f"frame-{count:06d}")
                write_prediction(place, frame, logits, model.tasks, of_frames, {"frame": count})
            for name, task in model.tasks.items() if as_video else ():
                array = decoded(logits[name], task, (frame.shape[0], frame.shape[1]))
                values = ranges.setdefault(name, task.value_range(array))
                picture = drawn_in_strips(task, array, values)
                for kind in as_video:
                    shown = blended(frame, picture) if kind == "overlay" else picture
                    outputs[name, kind].add(shown)
        if not count:
            raise PammError(f"{str(path)!r} holds no frame that can be read")
    return counted(count, "frame")


def opened(path: Path, stack: ExitStack) -> tuple[dict[str, Any], Iterator[NDArray[np.uint8]]]:
    """What is known of a video, and its frames, uint8 RGB (H, W, 3).

    Raises:
        PammError: what reads videos is not installed, or the file is no video.
    """
    if not path.is_file():
        raise PammError(f"no video at {str(path)!r}: there is no such file")
    library = ffmpeg()
    try:
        reader = stack.enter_context(closing(library.read_frames(str(path))))
        about = next(reader)
    except (OSError, RuntimeError, StopIteration, IndexError) as error:
        raise PammError(
            f"{str(path)!r} is no video that can be read ({first_line(error)})"
        ) from None
    width, height = about["size"]
    return about, (np.frombuffer(f, np.uint8).reshape(height, width, 3) for f in reader)


class _Video:
    """A video that is written frame by frame, and appears whole at the end or not at all."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path, self.about = path, about

    def __enter__(self) -> "_Video":
        self.stack = ExitStack()
        place = self.stack.enter_context(writing(self.path))
        self.writer = ffmpeg().write_frames(
            str(place), self.about["size"], fps=self.about["fps"], quality=8, macro_block_size=2
        )
        self.stack.enter_context(closing(self.writer))
        self.writer.send(None)
        return self

    def add(self, picture: NDArray[np.uint8]) -> None:
        """The next frame, uint8 RGB (H, W, 3)."""
        self.writer.send(np.ascontiguousarray(picture).tobytes())

    def __exit__(self, *error: Any) -> None:
        self.stack.__exit__(*error)


def ffmpeg() -> Any:
    """The library that reads and writes videos.

    Raises:
        PammError: it is not installed.
    """
    try:
        return importlib.import_module("imageio_ffmpeg")
    except ImportError:
        raise PammError(
            "videos are read by imageio-ffmpeg, which is not installed: pip install imageio-ffmpeg"
        ) from None
