"""A function that is called in several processes."""

import os
from pathlib import Path

import pytest

from pamm.errors import PammError
from pamm.runtime.workers import call_in_processes


def test_every_number_is_done_once_whatever_process_does_it(tmp_path: Path) -> None:
    done = list(call_in_processes(make_folder, (str(tmp_path), "n"), [3, 1, 2], 2))
    assert sorted(done) == [1, 2, 3]
    assert sorted(p.name for p in tmp_path.glob("n*")) == ["n1", "n2", "n3"]


def make_folder(root: str, prefix: str, index: int) -> None:
    (Path(root) / f"{prefix}{index}").mkdir()
    if index > 10:
        raise PammError(f"{index} is too many")
    if index < 0:
        os._exit(7)


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The children import this file by its name."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


def test_its_own_error_is_told(tmp_path: Path) -> None:
    with pytest.raises(PammError, match="^11 is too many$"):
        list(call_in_processes(make_folder, (str(tmp_path), ""), [1, 11, 2], 1))
    assert (tmp_path / "1").is_dir()


def test_a_process_that_dies_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"ended early, at number -1 \(exit code .*try again"):
        list(call_in_processes(make_folder, (str(tmp_path), "n"), [-1], 1))
