"""From image files to a folder of files each: reading, the network and writing side by side."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pamm.errors import PammError
from pamm.pictures.images import read_image
from pamm.predict_files.inputs import expand, folder_names
from pamm.predict_files.outputs import (
    ENDINGS,
    METRES,
    SUMMARY,
    SaveOptions,
    files_of,
    inside,
    others_in,
    shown,
    write_prediction,
)
from pamm.predict_files.video import is_video, predict_video
from pamm.prediction import Look, as_predictor, image_logits
from pamm.predictor import Predictor
from pamm.runtime.files import check_folder
from pamm.runtime.memory import give_back_freed_memory
from pamm.runtime.progress import clock
from pamm.runtime.strict_json import to_json
from pamm.tasks import Task

AHEAD = 2
"""Images that are read before the network is ready for them."""
WRITERS = 2
LARGE = 2**22
"""Pixels from which on an image has the memory to itself."""
WAITING_BYTES = 2**28
"""Of logits that wait to be written, at most, beside those of one image."""


def predict_files(
    model: nn.Module,
    paths: Iterable[str | Path],
    out: str | Path,
    *,
    tasks: Mapping[str, Task] | Iterable[str] | None = None,
    look: Look = Look(),  # noqa: B008  # frozen
    save: SaveOptions | Iterable[str] = SaveOptions(),  # noqa: B008  # frozen
    made_by: str | None = None,
    rank: int = 0,
    world: int = 1,
    report: Callable[[str], None] = print,
) -> int:
    """Predict on image files, folders of them and videos, and write what came out.

    Each image gets a folder `<out>/<stem>`; the second image of a stem gets `<stem>-2`. In it are,
    as `save` says:

    - png: `<task>.png`, a picture;
    - npz: `arrays.npz`, the arrays of all tasks by name, compressed; of what `predict` returns
      floating point is rounded to 16 bits (a thousandth of a probability, of a unit vector's
      coordinate or of a depth at most);
    - npy: `<task>.npy`, the array that `predict` returns, as it is;
    - overlay: `<task>.overlay.png`, half the image and half the picture;
    - legend: `<task>.legend.png`, the colours and names of the classes that the picture shows;
    - overview: `overview.png`, small pictures of the image and of all tasks;
    - mm: `<task>.mm.png`, of depth: 16-bit grey levels in millimetres, up to 65.535 m;
    - ply: `points.ply`, of depth: a coloured point cloud (`write_point_cloud`);
    - summary: `summary.json`, what is seen as a whole: shares of classes, ranges, boxes. It comes
      last; an image whose summary says that all of this was made of it by the same model in the
      same way is not done again.

    Of a video (`predict_video`) "png" and "overlay" are videos.

    An image or folder that cannot be used costs one line of the report, and the others are done.
    The next images are read while the network is busy, and the last ones written.

    Args:
        model, tasks: as of `predict`.
        paths: image files and videos; folders, of which all image files directly inside are taken;
            patterns such as "photos/*.jpg"; "-" for paths on standard input.
        out: the folder to write to, made if needed; nothing is written elsewhere.
        look: how the network looks at an image.
        save: what to write.
        made_by: what stands for the model in the summaries; None: nothing that is there is left as
            done.
        rank, world: which process of how many this is; they share the files.
        report: gets a line of text per image.

    Returns:
        How many of the images (and of the folders without any) failed, of this process.

    Raises:
        PammError: an unknown task or kind of output.
    """
    predictor = as_predictor(model, tasks)
    wanted = save if isinstance(save, SaveOptions) else SaveOptions(kinds=kinds_of(save))
    wanted.check(predictor.tasks)
    if out == "":
        raise PammError("'' names no folder to write to; give one ('.' is this one)")
    check_folder(Path(out), "choose another --out")
    files, failed = expand(paths, report)
    names = folder_names(files)
    mine = list(zip(files, names, strict=True))[rank::world]
    work = _Work(predictor, Path(out), look, wanted, made_by, report, total=len(mine))
    return (failed if rank == 0 else 0) + work.run(mine)


def kinds_of(save: Iterable[str]) -> Any:
    """One kind of output or several, as a tuple."""
    return (save,) if isinstance(save, str) else tuple(save)


@dataclass
class _Image:
    """An image on its way from its file to its folder."""

    number: int
    path: Path
    name: str
    start: float = 0.0
    picture: Future[NDArray[np.uint8]] | None = None
    size: str = ""
    waiting: int = 0


class _Work:
    """The images of a process, one after the other, with threads that read ahead and write."""

    def __init__(
        self,
        model: Predictor,
        out: Path,
        look: Look,
        save: SaveOptions,
        made_by: str | None,
        report: Callable[[str], None],
        *,
        total: int,
    ) -> None:
        self.model, self.out, self.look, self.save = model, out, look, save
        self.made_by, self.report, self.total = made_by, report, total
        self.failed = self.done = self.skipped = 0
        self.began = time.monotonic()

    def run(self, files: Sequence[tuple[Path, str]]) -> int:
        """Do all of them; how many failed."""
        images = (_Image(i, *file) for i, file in enumerate(files, 1))
        reading: deque[_Image] = deque()
        writing: deque[tuple[_Image, Future[None]]] = deque()
        with ThreadPoolExecutor(1) as readers, ThreadPoolExecutor(WRITERS) as writers:
            while True:
                for image in islice(images, AHEAD - len(reading)):
                    if not is_video(image.path) and not self._is_done(image):
                        image.picture = readers.submit(read_image, image.path)
                    reading.append(image)
                if not reading:
                    break
                image = reading.popleft()
                if is_video(image.path):
                    self._finish(writing, 0)
                    self._video(image)
                elif image.picture is None:
                    self._finish(writing, 0)
                    self._say(image, "done before")
                    self.skipped += 1
                else:
                    self._predict(image, writing, writers)
            self._finish(writing, 0)
        return self.failed

    def _predict(
        self,
        image: _Image,
        writing: deque[tuple[_Image, Future[None]]],
        writers: ThreadPoolExecutor,
    ) -> None:
        image.start = time.monotonic()
        try:
            assert image.picture is not None
            picture = image.picture.result()
            image.picture = None
            image.size = f"{picture.shape[1]}x{picture.shape[0]}"
            if picture.shape[0] * picture.shape[1] > LARGE:
                self._finish(writing, 0)
                give_back_freed_memory()
            logits = image_logits(self.model, picture, self.look)
            folder = inside(self.out, image.name)
        except (PammError, OSError, MemoryError) as error:
            self._finish(writing, 0)
            self._fail(image, error)
            return
        image.waiting = sum(x.nbytes for x in logits.values())
        self._finish(writing, WAITING_BYTES - image.waiting)
        about = self._about(image)
        task = writers.submit(
            write_prediction, folder, picture, logits, self.model.tasks, self.save, about
        )
        writing.append((image, task))
        del picture, logits

    def _finish(self, writing: deque[tuple[_Image, Future[None]]], room: int) -> None:
        """Wait for the oldest until no more than `room` bytes of logits wait to be written."""
        while writing and (
            len(writing) > WRITERS or sum(image.waiting for image, _ in writing) > room
        ):
            image, task = writing.popleft()
            try:
                task.result()
            except (PammError, OSError, MemoryError) as error:
                self._fail(image, error)
                continue
            folder = self.out / image.name
            seconds = time.monotonic() - image.start
            text = f"({image.size}) -> {shown(folder)} ({seconds:.1f} s)"
            if others := others_in(folder, self.model.tasks, self.save.of_images()):
                text += f"; there from before: {', '.join(others)}"
            self._say(image, text)

    def _video(self, image: _Image) -> None:
        try:
            text = predict_video(
                self.model, image.path, inside(self.out, image.name), self.look, self.save
            )
        except (PammError, OSError, MemoryError) as error:
            self._fail(image, error)
            return
        self._say(image, f"-> {shown(self.out / image.name)} ({text})")

    def _about(self, image: _Image) -> dict[str, Any]:
        """What tells whether an image was done: of what, by what and how."""
        about = image.path.stat()
        return {
            "image": str(image.path.absolute()),
            "bytes": about.st_size,
            "changed": about.st_mtime_ns,
            "model": self.made_by,
            "look": to_json(self.look),
            "files": sorted(files_of(self.model.tasks, self.save.of_images())),
        }

    def _is_done(self, image: _Image) -> bool:
        """Whether the summary in an image's folder is of this very work."""
        if self.made_by is None or "summary" not in self.save.of_images():
            return False
        try:
            folder = inside(self.out, image.name)
            found = json.loads((folder / SUMMARY).read_text("utf-8"))
            wanted = to_json(self._about(image))
            same = all(found.get(key) == value for key, value in wanted.items())
            return same and all((folder / name).is_file() for name in self._expected(found))
        except (OSError, ValueError, AttributeError):
            return False

    def _expected(self, summary: Mapping[str, Any]) -> set[str]:
        """The files that stay in an image's folder; legends only where there are names."""
        names = set(summary["files"])
        legends = {name for name in names if name.endswith(ENDINGS["legend"])}
        depths = {name + ENDINGS["mm"] for name, t in self.model.tasks.items() if t.unit != METRES}
        return names - legends - depths

    def _say(self, image: _Image, text: str) -> None:
        self.done += 1
        line = f"[{image.number}/{self.total}] {shown(image.path)} {text}"
        self.report(line + self._left())

    def _fail(self, image: _Image, error: Exception) -> None:
        self.failed += 1
        self.done += 1
        reason = error if isinstance(error, PammError) else f"{str(image.path)!r}: {error!r}"
        self.report(f"[{image.number}/{self.total}] failed: {reason}")

    def _left(self) -> str:
        """The time left, where it is worth a word."""
        worked = self.done - self.skipped
        if worked < 1 or self.done >= self.total:
            return ""
        left = (time.monotonic() - self.began) / worked * (self.total - self.done)
        return f", {clock(left)} left" if left >= 10 else ""
