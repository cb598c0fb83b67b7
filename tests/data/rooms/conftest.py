"""Rooms that several test files look at."""

import pytest

from pamm.data.rooms import Room, render_room


@pytest.fixture(scope="session")
def rooms() -> list[Room]:
    return [render_room(21, index, 96, 120) for index in range(40)]
