"""Compiles the scan and the boundary evaluation; everything else is in pyproject.toml.

The result is a plain shared library, pamm/native/_native.so, that knows neither Python's nor
PyTorch's ABI; `pamm.native` loads it. It is optional: without a C++ compiler, or where the compiler
fails, one line says so, the reason is left in _native.txt beside it, and the installation goes on.
CXX and CXXFLAGS are honoured.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

FLAGS = [
    *("-O3", "-std=c++17", "-fPIC", "-fvisibility=hidden"),
    *("-fno-math-errno", "-fno-exceptions"),  # without exceptions Clang needs no libstdc++ either
]


class BuildError(Exception):
    """There is no library; the text is the reason."""


def compiler() -> list[str]:
    """The command that CXX names, or the first C++ compiler on the PATH; g++ shares its threads
    with PyTorch, so it comes first."""
    given = shlex.split(os.environ.get("CXX", ""))
    for command in [given] if given else [["g++"], ["c++"], ["clang++"]]:
        if shutil.which(command[0]):
            return command
    raise BuildError(
        f"no compiler {given[0]!r}, which CXX names" if given else "no C++ compiler was found"
    )


def compile_library(sources: list[Path], target: Path) -> None:
    """Compile with OpenMP, or else without; the target appears whole or not at all.

    Raises:
        BuildError: no compiler, or it fails.
    """
    command = compiler()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="_native.") as folder:
        library = Path(folder) / target.name
        try:
            compile_and_link(command, sources, library, openmp=["-fopenmp"])
        except BuildError:
            compile_and_link(command, sources, library, openmp=[])
        os.replace(library, target)


def compile_and_link(
    command: list[str], sources: list[Path], library: Path, openmp: list[str]
) -> None:
    """One attempt.

    On Linux, GCC's OpenMP runtime is left out of the link: `pamm.native` gives the library the one
    that PyTorch uses, so that the process has one pool of threads. Code by Clang calls the runtime
    of LLVM, by names that begin with __kmpc, and is linked with it.
    """
    flags, codes = shlex.split(os.environ.get("CXXFLAGS", "")), []
    for source in sources:
        codes.append(library.with_name(source.stem + ".o"))
        run([*command, *FLAGS, *openmp, *flags, "-c", str(source), "-o", str(codes[-1])])
    link = ["-shared"]
    if sys.platform == "linux":
        link.append("-Wl,--as-needed")
        openmp = openmp if any(b"__kmpc_" in code.read_bytes() for code in codes) else []
    run([*command, *link, *openmp, *flags, *map(str, codes), "-o", str(library)])


def run(command: list[str]) -> None:
    """Run a compiler; its first complaint becomes the text of the error."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise BuildError(f"{command[0]} does not run: {error.strerror}") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        wrong = [line for line in lines if "error" in line.lower()] or lines[-1:]
        reason = wrong[0].strip() if wrong else f"exit code {done.returncode}"
        raise BuildError(f"{command[0]} fails: {reason}")


class BuildLibrary(build_ext):
    """Compiles by the compiler's own command line, for the flags of Python's extensions are not
    ours, and goes on without a library."""

    def get_ext_filename(self, fullname: str) -> str:
        return os.path.join(*fullname.split(".")) + ".so"

    def run(self) -> None:
        (extension,) = self.extensions
        target = Path(self.get_ext_fullpath(extension.name))
        note = target.with_suffix(".txt")
        note.unlink(missing_ok=True)
        try:
            compile_library([Path(source) for source in extension.sources], target)
        except BuildError as error:
            target.unlink(missing_ok=True)  # of an earlier build
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(str(error), "utf-8")
            print(
                f"the compiled part is left out ({error}): with g++ or clang installed, build "
                "again; until then slower forms in Python are used",
                file=sys.stderr,
            )

    def get_output_mapping(self) -> dict[str, str]:
        """For `pip install --editable`: what was built, which may be nothing."""
        built = super().get_output_mapping().items()
        return {output: source for output, source in built if os.path.exists(source)}


class PlainWheel(bdist_wheel):
    """The library depends on the platform, not on the version of Python."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[
        Extension(
            "pamm.native._native", ["src/pamm/native/scan.cpp", "src/pamm/native/boundary.cpp"]
        )
    ],
    cmdclass={"build_ext": BuildLibrary, "bdist_wheel": PlainWheel},
)
