"""What this installation consists of, which backends of the scan run here, and what to do."""

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

import torch

import pamm
from pamm import native
from pamm.ops import backend_problem
from pamm.ops.scan import BACKENDS, COMPILED

GIB = 2**30


def print_report() -> None:
    """Print `rows`, aligned."""
    report = rows()
    width = max(len(name) for name, _ in report)
    for name, value in report:
        print(f"{name:{width}}  {value}")


def rows() -> list[tuple[str, str]]:
    """The report as names and values; nothing that is missing or broken is an error."""
    return [
        ("pamm", f"{pamm.__version__}, {Path(__file__).parent}"),
        ("Python", f"{platform.python_version()}, {sys.executable}"),
        ("platform", platform.platform()),
        ("torch", torch.__version__),
        ("timm", _version("timm")),
        ("processor", f"{processor()}, {os.cpu_count()} threads"),
        ("memory", memory()),
        ("GPU", "; ".join(gpus()) or "none that PyTorch can use"),
        ("threads in use", str(torch.get_num_threads())),
        *_library_rows(),
        *((f"scan: {name}", _backend(name)) for name in BACKENDS),
        ("auto on a CPU", _auto("cpu")),
        ("auto on a GPU", _auto("cuda") if torch.cuda.is_available() else "no GPU"),
    ]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """The name of the processor, or of its architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def memory() -> str:
    """The machine's memory, and how much of it is free, as far as the system tells."""
    try:
        lines = Path("/proc/meminfo").read_text("utf-8").splitlines()
        kib = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
        total, free = kib["MemTotal"] * 1024 / GIB, kib["MemAvailable"] * 1024 / GIB
    except (OSError, KeyError, ValueError, IndexError):
        return "unknown"
    return f"{total:.1f} GiB, {free:.1f} GiB available"


def gpus() -> list[str]:
    """Name, memory and architecture of each GPU that PyTorch can use."""
    found = []
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        gpu = torch.cuda.get_device_properties(i)
        size = gpu.total_memory / GIB
        found.append(f"{gpu.name}, {size:.0f} GiB, compute capability {gpu.major}.{gpu.minor}")
    return found


def _library_rows() -> list[tuple[str, str]]:
    library = native.library()
    if library is None:
        return [("compiled library", "none")]
    first, *others = library.pamm_instruction_sets().decode().split()
    return [
        ("compiled library", str(native.PATH)),
        ("compiled by", library.pamm_compiler().decode()),
        ("instruction set", f"{first}; also there: {', '.join(others)}" if others else first),
        ("OpenMP", native.openmp() or "no: the scan uses one thread"),
    ]


def _backend(name: str) -> str:
    problem = backend_problem(name)
    return f"not available: {problem}" if problem else "available"


def _auto(device: str) -> str:
    compiled = COMPILED[device]
    return "reference" if backend_problem(compiled) else compiled
