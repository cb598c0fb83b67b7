"""How much memory a call needs at its peak, found out in a process of its own.

On a CPU that is the peak of the process's resident set, which counts every page that was touched,
whoever asked for it. The process starts fresh; freed blocks go back to the system at once, so that
nothing freed before the call hides what the call takes; and it may take no more than is free, so
that too large a call fails instead of the machine. On a GPU it is what PyTorch's allocator gave
out at its peak.
"""

import ctypes
import multiprocessing
import os
import platform
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

GIB = 2**30


def in_own_process(
    function: Callable[..., Iterable[Any]], *arguments: Any, seconds: float
) -> tuple[list[Any], str]:
    """What a function yields, one by one, in a process of its own that may run out of memory.

    Args:
        function: returns an iterable; at the top of its module, so that it can be found there.
        arguments: for it.
        seconds: how long it may take for each of them.

    Returns:
        What it yielded before it ended, and why it ended early: out of memory or time, or another
        error, whose traceback is printed; "" if it came to its end.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    with _freed_blocks_returned():
        process = context.Process(target=_run, args=(there, function, arguments))
        process.start()
    there.close()
    found: list[Any] = []
    try:
        while here.poll(seconds):
            kind, value = here.recv()
            if kind == "problem":
                return found, value
            found.append(value)
        return found, f"took more than {seconds:.0f} s"
    except EOFError:
        process.join()
        if process.exitcode == -9:  # SIGKILL: what the system does to the largest
            return found, "killed by the system, as it does when memory runs out"
        return found, f"ended with exit code {process.exitcode}" if process.exitcode else ""
    finally:
        process.kill()
        process.join()
        here.close()


@contextmanager
def _freed_blocks_returned() -> Iterator[None]:
    """Processes started within have a glibc that maps every larger block by itself."""
    name = "MALLOC_MMAP_THRESHOLD_"
    before = os.environ.get(name)
    os.environ[name] = str(2**16)
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def _run(pipe: Connection, function: Callable[..., Iterable[Any]], arguments: Any) -> None:
    try:
        for value in function(*arguments):
            pipe.send(("found", value))
    except Exception as error:
        problem = "out of memory"
        if not is_out_of_memory(error):
            traceback.print_exc()
            problem = f"{type(error).__name__}: {error}".splitlines()[0]
        pipe.send(("problem", problem))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of PyTorch or Python means that memory ran out."""
    signs = ("allocate memory", "not enough memory", "bad_alloc", "bad allocation")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        return True
    return any(sign in str(error) for sign in signs)


def forbid_more_than_is_free() -> None:
    """From here on this process fails to get memory that the machine does not have (on Linux)."""
    if sys.platform != "linux":
        return
    import resource

    used, free = _kib("/proc/self/status", "VmSize"), _kib("/proc/meminfo", "MemAvailable")
    if used is not None and free is not None:
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        soft = (used + free) * 1024
        resource.setrlimit(resource.RLIMIT_AS, (soft if hard < 0 else min(soft, hard), hard))


def peak_memory(call: Callable[[], Any], device: str) -> tuple[int | None, Any]:
    """Bytes that a call takes above what was there before it, and its result, which is among them.

    On a CPU only the first call in a process tells the truth everywhere; on Linux every one does.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result = call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before, result
    start = _start_of_peak()
    result = call()
    end = _highest_resident()
    return (None if start is None or end is None else max(0, end - start)), result


def _start_of_peak() -> int | None:
    """Bytes resident now; on Linux the peak starts anew from there."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _highest_resident()


def _highest_resident() -> int | None:
    """Bytes of the resident set at its peak."""
    kib = _kib("/proc/self/status", "VmHWM")
    if kib is not None:
        return kib * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _kib(file: str, name: str) -> int | None:
    """A number of KiB in a file of lines ``name: number kB``."""
    try:
        lines = Path(file).read_text("utf-8").splitlines()
    except OSError:
        return None
    values = (int(line.split()[1]) for line in lines if line.startswith(name + ":"))
    return next(values, None)
