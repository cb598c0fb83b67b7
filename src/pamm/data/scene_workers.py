"""Render scenes in several processes.

The processes are plain `python -c` children which get scene numbers on standard input. Neither fork
(unsafe once PyTorch has started threads) nor multiprocessing's spawn (which runs the caller's
script again unless it is guarded) would let `Synthetic("train")` work in any script or notebook.
"""

import contextlib
import os
import queue
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

import pamm.errors
from pamm.errors import PammError
from pamm.runtime.processes import end_with_parent

if TYPE_CHECKING:
    from pamm.data.scene_cache import SceneCache

_CHILD = "from pamm.data.scene_workers import serve; serve()"
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


def render_in_processes(
    cache: "SceneCache", indices: Sequence[int], processes: int
) -> Iterator[int]:
    """Render and write these scenes of a cache; yields each index when its file is there.

    Raises:
        PammError: a scene cannot be written.
        RuntimeError: a process died; its own output says why.
    """
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    workers = [_Worker(cache) for _ in range(min(processes, len(indices)))]
    for worker in workers:
        idle.put(worker)

    def render(index: int) -> int:
        worker = idle.get()
        try:
            worker.render(index)
        finally:
            idle.put(worker)
        return index

    threads = ThreadPoolExecutor(len(workers))
    try:
        for done in as_completed([threads.submit(render, index) for index in indices]):
            yield done.result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.finish()
        for worker in workers:
            worker.wait()
        threads.shutdown(wait=True)


class _Worker:
    def __init__(self, cache: "SceneCache") -> None:
        folders = [str(Path(pamm.errors.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        path = os.pathsep.join(folder for folder in folders if folder)
        arguments = (os.getpid(), cache.seed, cache.height, cache.width, cache.root)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **_ONE_THREAD, "PYTHONPATH": path},
        )

    def render(self, index: int) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            print(index, file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline().rstrip("\n")
        except (OSError, ValueError):  # the pipe is closed
            answer = ""
        if answer.startswith("error "):
            raise PammError(answer.removeprefix("error "))
        if answer != f"done {index}":
            raise RuntimeError(
                f"a process that rendered scene {index} ended early (exit code "
                f"{self.process.poll()}); scenes already written are kept, so try again"
            )

    def finish(self) -> None:
        """Let the process end after the scene that it is at."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # something was still unsent to a dead process
            self.process.stdin.close()

    def wait(self) -> None:
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def serve() -> None:
    """A child's whole life: render each scene number read from standard input, and say so."""
    from pamm.data.scene_cache import SceneCache

    parent, seed, height, width, root = sys.argv[1:]
    end_with_parent(int(parent))
    cache = SceneCache(int(seed), int(height), int(width), root=root)
    try:
        for line in sys.stdin:
            index = int(line)
            cache.write(index, cache.render(index))
            print("done", index, flush=True)
    except PammError as error:
        print("error", error, flush=True)
    except (KeyboardInterrupt, BrokenPipeError):
        os._exit(1)  # the parent is gone or going: nobody reads a traceback
