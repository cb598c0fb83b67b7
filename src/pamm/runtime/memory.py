"""How the process holds on to memory."""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


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
