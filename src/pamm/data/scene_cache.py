"""Rendered scenes on disk: one verified .npz file a scene, rebuilt whenever it is damaged.

Folder: `<root>/synthetic/rooms<version>-seed<seed>-<height>x<width>/000042.npz`, with the variety
before the seed if it is not the plain one. Whatever changes a pixel is in the folder's name, so
sizes, seeds and versions live side by side and nothing is stale.
Files appear under a temporary name and are then renamed: a reader never sees half a scene.
"""

import contextlib
import io
import logging
import os
import sys
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from pamm.data.rooms import LABELS, VARIETIES, VERSION, render_room
from pamm.errors import PammError
from pamm.runtime.arrays import parse_npy
from pamm.runtime.files import replacing
from pamm.runtime.progress import progress
from pamm.runtime.workers import call_in_processes

log = logging.getLogger(__name__)

FORMAT = 1  # of the files; goes up when the arrays or their axes change
SCENES_PER_PROCESS = 16  # fewer are rendered sooner than a process starts
FORGOTTEN_SECONDS = 3600  # a temporary file this old belongs to a process that was killed
COMPRESSION = 1  # deflate level: reads as fast as any, writes fastest; a third of the raw size


def default_root() -> Path:
    """The folder for what can be made again: PAMM_CACHE, else the user's cache folder."""
    if chosen := os.environ.get("PAMM_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pamm"


class SceneCache:
    """The scenes of one seed at one size.

    Args:
        seed: of the generator; a scene is a pure function of (seed, index).
        height, width: pixels.
        root: cache folder; None = `default_root()`.
        variety: of the rooms, by name.
    """

    def __init__(
        self,
        seed: int,
        height: int,
        width: int,
        *,
        root: str | os.PathLike[str] | None = None,
        variety: str = "plain",
    ) -> None:
        self.seed, self.height, self.width, self.variety = seed, height, width, variety
        self.root = (default_root() if root is None else Path(root).expanduser()).absolute()
        kind = "" if variety == "plain" else f"-{variety}{VARIETIES[variety].version}"
        name = f"rooms{VERSION}.{FORMAT}{kind}-seed{seed}-{height}x{width}"
        self.folder = self.root / "synthetic" / name

    def path(self, index: int) -> Path:
        """Where scene `index` is or will be."""
        return self.folder / f"{index:06d}.npz"

    def load(self, index: int, names: Iterable[str]) -> dict[str, np.ndarray]:
        """The named arrays of one scene ("image" or one of `LABELS`), exactly as rendered.

        image (3,H,W) uint8; normals (3,H,W) float32; depth (H,W) float32 metres; the others (H,W)
        uint8. A file that is missing or damaged is rendered anew, with one warning.
        """
        names = list(names)
        try:
            return read_scene(self.path(index), names)
        except Exception as error:  # a damaged zip raises almost anything
            log.warning("scene %s: %s; rendering it anew", self.path(index), _reason(error))
        scene = self.render(index)
        try:
            self.write(index, scene)
        except PammError as error:  # a full disk need not end a training
            log.warning("%s; the scene is rendered each time", error)
        return {name: scene[name] for name in names}

    def render(self, index: int) -> dict[str, np.ndarray]:
        """All arrays of scene `index`, channels first, from the generator."""
        room = render_room(self.seed, index, self.height, self.width, self.variety)
        scene = {name: getattr(room, name) for name in ("image", *LABELS)}
        return {
            name: np.ascontiguousarray(array.transpose(2, 0, 1)) if array.ndim == 3 else array
            for name, array in scene.items()
        }

    def write(self, index: int, scene: dict[str, np.ndarray]) -> None:
        """Put a scene in place in one step.

        Raises:
            PammError: the folder cannot be made or written to, or the disk is full.
        """
        try:
            with replacing(self.path(index)) as temporary:
                temporary.write_bytes(pack_scene(scene))
        except OSError as error:
            raise self._unwritable(error) from error

    def ensure(self, count: int, *, processes: int | None = None) -> None:
        """Render those of scenes 0..count-1 which are not there yet, with progress.

        Of several programs that want the same scenes at once, one renders and the others wait.

        Args:
            count: number of scenes.
            processes: how many processes render; None = one a CPU, fewer for a few scenes.

        Raises:
            PammError: the folder cannot be written to, or the disk is full.
        """
        if not self.missing(count):
            return
        lock = self._lock()
        try:
            self._remove_forgotten()
            missing = self.missing(count)
            if processes is None:
                processes = min(_cpus(), -(-len(missing) // SCENES_PER_PROCESS))
            self._fill(missing, processes)
        finally:
            lock.release()

    def missing(self, count: int) -> list[int]:
        """Which of scenes 0..count-1 have no file; if a file is sound shows when it is read."""
        try:
            there = {entry.name for entry in os.scandir(self.folder)}
        except FileNotFoundError:
            there = set()
        except OSError as error:
            raise self._unwritable(error) from error
        return [index for index in range(count) if self.path(index).name not in there]

    def _lock(self) -> FileLock:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / ".lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                log.warning("waiting for another program that fills %s", self.folder)
                lock.acquire()
        except OSError as error:
            raise self._unwritable(error) from error
        return lock

    def _fill(self, missing: list[int], processes: int) -> None:
        label = f"rendering {len(missing)} rooms of {self.height}x{self.width}"
        if processes <= 1:
            for index in progress(missing, label=label):
                self.write(index, self.render(index))
            return
        own = (self.seed, self.height, self.width, str(self.root), self.variety)
        work = call_in_processes(write_scene, own, missing, processes)
        for _ in progress(work, total=len(missing), label=label):
            pass

    def _remove_forgotten(self) -> None:
        for path in self.folder.glob(".*.tmp.npz"):
            with contextlib.suppress(FileNotFoundError):  # its owner was quicker
                if time.time() - path.stat().st_mtime > FORGOTTEN_SECONDS:
                    path.unlink()

    def _unwritable(self, error: OSError) -> PammError:
        return PammError(
            f"cannot keep rendered scenes in {self.folder}: {_reason(error)}; free some space "
            "there, or set PAMM_CACHE to a folder that can be written to"
        )


def write_scene(seed: int, height: int, width: int, root: str, variety: str, index: int) -> None:
    """Render one scene and put it in its place in the cache, as in a process of its own."""
    cache = SceneCache(seed, height, width, root=root, variety=variety)
    cache.write(index, cache.render(index))


def pack_scene(scene: dict[str, np.ndarray]) -> bytes:
    """The bytes of a compressed .npz with these arrays, which `numpy.load` also reads."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION) as archive:
        for name, array in scene.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            # a fixed date, so that equal scenes are equal files
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), 8)
    return packed.getvalue()


def read_scene(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The named arrays of a scene file; each is checked against its CRC-32 before it is parsed.

    Raises:
        Exception: of many kinds, when the file is missing or damaged.
    """
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(f"{name}.npy") for name in names}
    return {name: parse_npy(io.BytesIO(member), len(member)) for name, member in members.items()}


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
