"""The compiled library is built for any Python, or left out; what cannot be used is explained."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from pamm import native

ROOT = Path(__file__).parents[1]
TINY = """
#define EXPORT extern "C" __attribute__((visibility("default")))
EXPORT int pamm_abi_version() { return %d; }
EXPORT const char* pamm_compiler() { return "a compiler"; }
EXPORT const char* pamm_instruction_sets() { return "one two"; }
EXPORT int team(int threads) {
  int members = 0;
#pragma omp parallel num_threads(threads) reduction(+ : members)
  members += 1;
  return members;
}
"""
needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="there is no C++ compiler"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What a build needs of the checkout, with a scan.cpp that compiles at once."""
    pytest.importorskip("setuptools", minversion="77")
    project = tmp_path / "project"
    shutil.copytree(
        ROOT / "src" / "pamm" / "native",
        project / "src" / "pamm" / "native",
        ignore=shutil.ignore_patterns("_native.*", "__pycache__"),
    )
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, project)
    shutil.copy(ROOT / "src" / "pamm" / "__init__.py", project / "src" / "pamm")
    (project / "src" / "pamm" / "native" / "scan.cpp").write_text(TINY % native.ABI_VERSION)
    return project


def setup(project: Path, *arguments: str, **environment: str) -> str:
    """Run setup.py, which must succeed; what it says on standard error."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("CXX", "CXXFLAGS")}
    run = subprocess.run(
        [sys.executable, "setup.py", "-q", *arguments],
        cwd=project,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stderr


def built(project: Path) -> Path:
    return project / "src" / "pamm" / "native" / "_native.so"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):
    """Look for the library in another place; gives (library, problem)."""

    def load(path: Path):
        monkeypatch.setattr(native, "PATH", path)
        native._load.cache_clear()
        return native.library(), native.problem()

    yield load
    native._load.cache_clear()


# ---- Building


@needs_compiler
def test_a_wheel_of_the_scan_fits_every_python(project, tmp_path, load):
    shutil.copy(ROOT / "src" / "pamm" / "native" / "scan.cpp", built(project).parent)
    setup(project, "bdist_wheel", "--dist-dir", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")
    assert re.fullmatch(r"pamm_vision-[\d.]+-py3-none-(?!any)\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        inside = {n for n in archive.namelist() if n.startswith("pamm/native/")}
        assert inside == {"pamm/native/__init__.py", "pamm/native/_native.so"}
        library = Path(archive.extract("pamm/native/_native.so", tmp_path))

    found, problem = load(library)
    assert problem == ""
    assert found.pamm_compiler()
    if sys.platform == "linux" and shutil.which("objdump"):
        dump = subprocess.check_output(["objdump", "-p", str(library)], text=True)
        assert set(re.findall(r"NEEDED +(\S+)", dump)) <= {"libc.so.6", "libm.so.6"}
        versions = re.findall(r"\bGLIBC_2\.(\d+)", dump)
        assert max(map(int, versions)) <= 17, "too new a C library for a manylinux2014 system"


def test_the_sources_are_in_the_sdist(project, tmp_path):
    setup(project, "sdist", "--dist-dir", str(tmp_path))
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = {f"src/pamm/native/{p.name}" for p in built(project).parent.glob("*.[ci]*")}
    assert "src/pamm/native/scan.cpp" in sources
    assert sources | {"setup.py"} <= names


def test_without_a_compiler_the_build_goes_on(project, tmp_path, load):
    (tmp_path / "empty").mkdir()
    said = setup(project, "bdist_wheel", "--dist-dir", str(tmp_path), PATH=str(tmp_path / "empty"))
    (line,) = (line for line in said.splitlines() if "compile" in line)
    assert line.startswith("the compiled part is left out (no C++ compiler was found): with g++")
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    library, problem = load(tmp_path / "site" / "pamm" / "native" / "_native.so")
    assert library is None
    assert problem.startswith("the compiled part is missing (no C++ compiler was found): with g++")


@pytest.mark.parametrize(
    ("source", "environment", "reason"),
    [
        ("#error this compiler is too old", {}, "error: #error this compiler is too old"),
        (TINY % 1, {"CXX": "no-such-compiler -m64"}, "no compiler 'no-such-compiler', which CXX"),
    ],
    ids=["an error in the source", "CXX"],
)
@needs_compiler
def test_a_failure_is_one_line_and_leaves_no_old_library(
    source, environment, reason, project, load
):
    built(project).write_text("of an earlier build")
    (built(project).parent / "scan.cpp").write_text(source)
    said = setup(project, "build_ext", "--inplace", **environment)
    assert len(said.splitlines()) == 1
    assert reason in said
    assert not built(project).exists()
    assert reason in load(built(project))[1]

    (built(project).parent / "scan.cpp").write_text(TINY % native.ABI_VERSION)
    setup(project, "build_ext", "--inplace")
    left = {p.name for p in built(project).parent.glob("_native.*")}
    assert left == {"_native.so"}, "the note of the failure is gone"


@needs_compiler
def test_a_compiler_without_openmp(project, tmp_path, load):
    real = next(filter(None, map(shutil.which, ("g++", "c++", "clang++"))))
    compiler = tmp_path / "compiler"
    compiler.write_text(
        '#!/bin/sh\nfor a; do if [ "$a" = -fopenmp ]; then echo no >&2; exit 1; fi; done\n'
        f'exec {real} "$@"\n'
    )
    compiler.chmod(0o755)
    assert setup(project, "build_ext", "--inplace", CXX=str(compiler), CXXFLAGS="-DOTHER") == ""
    library, problem = load(built(project))
    assert problem == ""
    assert library.team(2) == 1
    assert native.openmp() == ""


@needs_compiler
@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
@pytest.mark.parametrize("first", ["torch", "pamm"])
def test_its_threads_are_those_of_torch(first, project):
    """Whichever of the two makes its pool of threads first, the other uses it."""
    setup(project, "build_ext", "--inplace")
    code = f"""
import os, sys
from pathlib import Path
import torch
from pamm import native

def torch_team(): torch.ones(2**20).exp()
def pamm_team(): assert native.library().team(2) == 2

native.PATH = Path({str(built(project))!r})
torch.set_num_threads(2)
assert native.library(), native.problem()
if native.openmp() != "GCC's libgomp": sys.exit(77)
{first}_team()
before = len(os.listdir("/proc/self/task"))
torch_team()
pamm_team()
print(len(os.listdir("/proc/self/task")) - before)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if run.returncode == 77:
        pytest.skip("the compiler does not use GCC's OpenMP runtime")
    assert run.stdout.strip() == "0", run.stderr


@needs_compiler
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the runtime is linked")
def test_a_runtime_under_any_name_is_used_if_it_is_that_of_torch(project, tmp_path):
    """PyTorch's wheels may bundle libgomp under a name of their own; here a counting one."""
    setup(project, "build_ext", "--inplace")
    (tmp_path / "runtime.cpp").write_text(
        'extern "C" {\n int teams = 0;\n'
        "void GOMP_parallel(void (*task)(void*), void* data, unsigned, unsigned) {\n"
        "  teams++;\n  task(data);\n}\n}\n"
    )
    (tmp_path / "torch.cpp").write_text("int torch;\n")
    compiler = next(filter(None, map(shutil.which, ("g++", "c++", "clang++"))))
    for arguments in (
        ["runtime.cpp", "-o", "libgomp-5ca1ab1e.so.1"],
        ["torch.cpp", "-o", "_C.so", "-Wl,--no-as-needed,-rpath,$ORIGIN", "libgomp-5ca1ab1e.so.1"],
    ):
        subprocess.run([compiler, "-shared", "-fPIC", *arguments], cwd=tmp_path, check=True)
    code = f"""
import ctypes, sys
from pathlib import Path
from types import SimpleNamespace
sys.modules["torch"] = SimpleNamespace(_C=SimpleNamespace(__file__={str(tmp_path / "_C.so")!r}))
from pamm import native

native.PATH = Path({str(built(project))!r})
assert native.library(), native.problem()
if native.openmp() != "GCC's libgomp": sys.exit(77)
print(native.library().team(2))
print(ctypes.c_int.in_dll(ctypes.CDLL("libgomp-5ca1ab1e.so.1"), "teams").value)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if run.returncode == 77:
        pytest.skip("the compiler does not use GCC's OpenMP runtime")
    assert run.stdout.split() == ["1", "1"], run.stderr


# ---- Loading


def test_what_is_no_library(tmp_path, load):
    (tmp_path / "_native.so").write_text("half a libr")
    library, problem = load(tmp_path / "_native.so")
    assert library is None
    assert re.search(r"cannot be used \(.*_native.so.*\): build it again with `", problem)


@needs_compiler
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (TINY % (native.ABI_VERSION + 1), f"version {native.ABI_VERSION + 1}, this pamm wants"),
        ("int other() { return 0; }", "pamm_abi_version"),
    ],
    ids=["another version", "another library"],
)
def test_what_is_not_the_library_of_this_version(source, reason, project, load):
    (built(project).parent / "scan.cpp").write_text(source)
    setup(project, "build_ext", "--inplace")
    library, problem = load(built(project))
    assert library is None
    assert reason in problem
    assert "\n" not in problem


def test_a_missing_openmp_runtime(tmp_path, load, monkeypatch):
    def missing() -> None:
        raise OSError("libgomp.so.1: cannot open shared object file")

    (tmp_path / "_native.so").write_text("calls GOMP_parallel")
    monkeypatch.setattr(native, "_share_openmp_with_torch", missing)
    assert "install its OpenMP runtime (libgomp" in load(tmp_path / "_native.so")[1]


def test_a_checkout_that_was_never_built(tmp_path, load):
    assert "missing (it was never built)" in load(tmp_path / "_native.so")[1]


@pytest.mark.parametrize(
    ("origin", "source"),
    [
        (None, "pamm-vision"),
        ({"url": "file:///a%20b/pamm", "dir_info": {}}, "'/a b/pamm'"),
        ({"url": "https://x.org/p", "vcs_info": {"vcs": "git"}}, "git+https://x.org/p"),
        ({"url": "https://x.org/pamm.whl", "archive_info": {}}, "pamm-vision"),
    ],
)
def test_the_command_that_installs_it_again(origin, source, tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "pamm" / "native" / "__init__.py"
    installed(origin, tmp_path, monkeypatch)
    monkeypatch.setattr(native, "__file__", str(package))
    command = native._rebuild()
    assert command == f"pip install --force-reinstall --no-deps --no-cache-dir {source}"


def test_the_command_that_builds_it_in_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(native, "__file__", str(ROOT / "src" / "pamm" / "native" / "__init__.py"))
    origin = {"url": tmp_path.as_uri(), "dir_info": {"editable": True}}
    installed(origin, tmp_path, monkeypatch)
    assert native._rebuild() == "make native", "another checkout is installed"
    origin["url"] = ROOT.as_uri()
    installed(origin, tmp_path, monkeypatch)
    assert native._rebuild() == f"pip install --no-deps --editable {ROOT}"


def installed(origin, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pamm-vision be installed, from where pip would say so."""
    record = folder / "pamm_vision-0.dist-info"
    record.mkdir(exist_ok=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: pamm-vision\nVersion: 0\n")
    if origin is not None:
        (record / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.syspath_prepend(str(folder))
