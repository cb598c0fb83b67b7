"""The compiled part: finds, loads and checks the library that setup.py builds.

The library is plain C behind `ctypes`; the entry points are declared where they are called: the
scan's in `pamm.ops.cpu`, the boundary evaluation's in `pamm.metrics.boundary_native`. Everything
works without it, only slower, and `problem` says in one line what to do.
"""

import ctypes
import functools
import json
import os
import shlex
import sys
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

ABI_VERSION = 4
"""What `pamm_abi_version` of scan.cpp must give: one more whenever an entry point changes."""

PATH = Path(__file__).with_name("_native.so")
"""Where setup.py puts the library, under this name on every platform."""

_OPENMP = {"GCC's libgomp": b"GOMP_parallel", "LLVM's libomp": b"__kmpc_fork_call"}


def library() -> ctypes.CDLL | None:
    """The library, loaded once per process, or None where there is none that can be used."""
    return _load(PATH)[0]


def problem() -> str:
    """One line: why there is no library and what to do; "" when there is one."""
    return _load(PATH)[1]


def openmp() -> str:
    """The OpenMP runtime that the library's threads come from; "" if it is single-threaded."""
    code = PATH.read_bytes()
    return next((name for name, call in _OPENMP.items() if call in code), "")


@functools.cache
def _load(path: Path) -> tuple[ctypes.CDLL | None, str]:
    if not path.exists():
        note = path.with_suffix(".txt")
        reason = note.read_text("utf-8").strip() if note.exists() else "it was never built"
        return None, _sentence(f"is missing ({reason})", "with g++ or clang installed, run")
    try:
        if _OPENMP["GCC's libgomp"] in path.read_bytes():
            _share_openmp_with_torch()
        found = ctypes.CDLL(str(path))
        version = found.pamm_abi_version()
        if version != ABI_VERSION:
            raise OSError(f"{path} is version {version}, this pamm wants {ABI_VERSION}")
        found.pamm_compiler.restype = found.pamm_instruction_sets.restype = ctypes.c_char_p
    except (OSError, AttributeError) as error:  # AttributeError: the library lacks the function
        reason = f"cannot be used ({error})"
        if "GOMP" in reason or "omp.so" in reason:
            return None, _sentence(reason, "install its OpenMP runtime (libgomp or libomp), or run")
        return None, _sentence(reason, "build it again with")
    return found, ""


def _sentence(state: str, advice: str) -> str:
    return f"the compiled part {state}: {advice} `{_rebuild()}`; slower forms in Python are used"


def _rebuild() -> str:
    """The command that builds the library for this copy of the package."""
    checkout = Path(__file__).parents[3]
    source, editable = _installed_from()
    if (checkout / "setup.py").exists() and not (editable and source == str(checkout)):
        return "make native"
    if editable:
        return f"pip install --no-deps --editable {shlex.quote(source)}"
    # pip keeps wheels that it built, also one without the library.
    return f"pip install --force-reinstall --no-deps --no-cache-dir {shlex.quote(source)}"


def _installed_from() -> tuple[str, bool]:
    """What pip was given to install, as far as it says so, and whether that is an editable one."""
    try:
        record = metadata.distribution("pamm-vision").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        record = None
    origin = json.loads(record or "{}")
    if "vcs_info" in origin:
        return f"{origin['vcs_info']['vcs']}+{origin['url']}", False
    if "dir_info" in origin:
        folder = url2pathname(urlsplit(origin["url"]).path)
        return folder, origin["dir_info"].get("editable", False)
    return "pamm-vision", False


def _share_openmp_with_torch() -> None:
    """Make the library's threads those of PyTorch: two pools would compete for the processor.

    The library is linked without an OpenMP runtime (see setup.py). Whatever file gives PyTorch its
    GOMP_parallel, a libgomp of its own under whatever name or the system's, is made visible to all
    libraries that are loaded later. If PyTorch has none, the system's is.
    """
    if sys.platform != "linux":
        return
    import torch

    name = "libgomp.so.1"
    try:
        function = ctypes.CDLL(torch._C.__file__).GOMP_parallel  # looks through what it depends on
    except AttributeError:
        pass
    else:
        where = _Where()
        if ctypes.CDLL(None).dladdr(ctypes.cast(function, ctypes.c_void_p), ctypes.byref(where)):
            name = os.fsdecode(where.file)
    ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)


class _Where(ctypes.Structure):
    """Dl_info of dladdr(3)."""

    _fields_ = (
        ("file", ctypes.c_char_p),
        ("file_address", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("symbol_address", ctypes.c_void_p),
    )
