"""A function called with one number after the other, in several processes.

The processes are plain `python -c` children which get the numbers on standard input. Neither fork
(unsafe once PyTorch has started threads) nor multiprocessing's spawn (which runs the caller's
script again unless it is guarded) would let `Synthetic("train")` work in any script or notebook.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import import_module
from pathlib import Path
from typing import Any

import pamm.errors
from pamm.errors import PammError
from pamm.runtime.processes import end_with_parent

_CHILD = "from pamm.runtime.workers import serve; serve()"
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


def call_in_processes(
    function: Callable[..., None], arguments: Sequence[Any], indices: Sequence[int], processes: int
) -> Iterator[int]:
    """Call `function(*arguments, index)` for each index; yields each when that is done.

    Args:
        function: of a module that can be imported; what it does must outlast its process.
        arguments: numbers and text.
        indices: in which order they are done is open.
        processes: how many work.

    Raises:
        PammError: of the function.
        RuntimeError: a process died; its own output says why.
    """
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    workers = [_Worker(function, arguments) for _ in range(min(processes, len(indices)))]
    for worker in workers:
        idle.put(worker)

    def call(index: int) -> int:
        worker = idle.get()
        try:
            worker.call(index)
        finally:
            idle.put(worker)
        return index

    threads = ThreadPoolExecutor(len(workers))
    try:
        for done in as_completed([threads.submit(call, index) for index in indices]):
            yield done.result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.finish()
        for worker in workers:
            worker.wait()
        threads.shutdown(wait=True)


class _Worker:
    def __init__(self, function: Callable[..., None], arguments: Sequence[Any]) -> None:
        folders = [str(Path(pamm.errors.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        path = os.pathsep.join(folder for folder in folders if folder)
        given = json.dumps([function.__module__, function.__qualname__, *arguments])
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(os.getpid()), given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **_ONE_THREAD, "PYTHONPATH": path},
        )

    def call(self, index: int) -> None:
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
                f"a process ended early, at number {index} (exit code {self.process.poll()}); what "
                "is done already is kept, so try again"
            )

    def finish(self) -> None:
        """Let the process end after the number that it is at."""
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
    """A child's whole life: call the function with each number from standard input, and say so."""
    parent, given = sys.argv[1:]
    end_with_parent(int(parent))
    module, name, *arguments = json.loads(given)
    function = getattr(import_module(module), name)
    try:
        for line in sys.stdin:
            index = int(line)
            function(*arguments, index)
            print("done", index, flush=True)
    except PammError as error:
        print("error", error, flush=True)
    except (KeyboardInterrupt, BrokenPipeError):
        os._exit(1)  # the parent is gone or going: nobody reads a traceback
