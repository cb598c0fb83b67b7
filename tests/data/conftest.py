"""A few tiny rooms, rendered once for all tests of the data package."""

from pathlib import Path

import pytest

from pamm.data import Synthetic

SIZE = (24, 32)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def rooms(root: Path) -> Synthetic:
    """Seven raw training samples of 24x32 with all tasks."""
    return Synthetic("train", size=SIZE, count=7, root=root)
