"""What every test shares: an environment of its own, on any machine, for any user, in any terminal.

Nothing of the user's environment comes in, neither his variables nor his home, caches, data sets,
weights, colours or locale. What is printed is as wide as `--columns` says, in the tests and in the
processes that they start.
"""

import atexit
import os
import tempfile
import time
from pathlib import Path

import pytest

INHERITED = (
    *("PATH", "PYTHONPATH", "VIRTUAL_ENV", "TMPDIR", "TEMP", "TMP"),
    *("USER", "LOGNAME", "USERNAME"),  # pytest names its temporary folder so
    *("LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS"),
    *("TRITON_INTERPRET", "SYSTEMROOT", "COMSPEC", "PATHEXT"),
)
"""Variables that say where programs are, or that a test or `make sanitize` sets itself."""
PREFIXES = ("CUDA_", "HIP_", "ROCR_", "NVIDIA_", "PYTEST_", "COVERAGE_", "COV_CORE_")

# Before anything reads them: libraries do so when they are imported.
_home = tempfile.TemporaryDirectory(prefix="pamm-home-")
atexit.register(_home.cleanup)
HOME = Path(_home.name)
ENVIRONMENT = {
    "HOME": str(HOME),
    "USERPROFILE": str(HOME),
    "PAMM_CACHE": str(HOME / "pamm"),
    "TORCHINDUCTOR_CACHE_DIR": str(HOME / "inductor"),  # else beside the temporary folders of all
    "MPLBACKEND": "agg",
    "HF_HUB_OFFLINE": "1",
    "NO_COLOR": "1",
    "TZ": "UTC",
    "LC_ALL": "C.UTF-8",
    "OMP_NUM_THREADS": "2",
    # Threads that wait asleep: on a busy machine they spin longer than they work.
    "OMP_WAIT_POLICY": "PASSIVE",
}
for _name in list(os.environ):
    if _name not in INHERITED and not _name.startswith(PREFIXES):
        del os.environ[_name]
os.environ.update(ENVIRONMENT)
os.umask(0o022)
if hasattr(time, "tzset"):  # not on Windows
    time.tzset()

import hypothesis  # noqa: E402
import torch  # noqa: E402

# The examples are the same in every run, and no file of failures is kept in the current folder.
hypothesis.settings.register_profile("same", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("same")
torch.set_num_threads(2)

# They have no doctests, and two of one name cannot both be imported for them.
collect_ignore_glob = ["conftest.py", "*/conftest.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--columns", type=int, default=80, help="width of the terminal that is printed to"
    )


def pytest_configure(config: pytest.Config) -> None:
    os.environ["COLUMNS"] = str(config.getoption("--columns"))
    config.addinivalue_line("markers", "text: looks at what is printed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`-m text`: the tests that look at what is printed, whose result a width might change.

    Those of test_bad_input look at what kind of answer is printed only, in too many commands to be
    repeated.
    """
    for item in items:
        prints = {"capsys", "capfd"} & set(getattr(item, "fixturenames", ()))
        if prints and item.path.name != "test_bad_input.py":
            item.add_marker("text")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
