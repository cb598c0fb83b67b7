"""What every test shares: two threads, and a cache of rendered rooms of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

torch.set_num_threads(2)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Rooms are rendered into a folder of this session, never into the user's cache; and the user's
    data sets are not looked at.
    """
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAMM_CACHE", str(folder))
        patch.delenv("PAMM_DATA", raising=False)
        yield folder
