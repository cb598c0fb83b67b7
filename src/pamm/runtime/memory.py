"""How the process holds on to memory."""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_USUAL_MMAP_MAX, _USUAL_TRIM_THRESHOLD = 65_536, 128 * 1024


def keep_freed_memory() -> None:
    """Let the C library reuse the memory of freed tensors instead of giving it back each time.

    A network on a CPU frees and allocates the same large blocks over and over; by default glibc
    maps each anew, and the page faults cost up to as much as the arithmetic: in a training step of
    the demo. Elsewhere than on Linux with glibc nothing is done.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def give_back_freed_memory() -> None:
    """Undo `keep_freed_memory`: blocks of gigabytes leave holes that nothing else fits into."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, _USUAL_MMAP_MAX)
        libc.mallopt(_M_TRIM_THRESHOLD, _USUAL_TRIM_THRESHOLD)
        libc.malloc_trim(0)
