"""A model small enough to build in every test: timm's own test networks, a few channels."""

from collections.abc import Callable

import pytest

from pamm.model import PAMM, PAMMConfig

TASKS = {"semseg": 5, "depth": 1, "normals": 3}
SMALL = {"backbone": "test_vit", "d_model": 32, "d_state": 3, "num_experts": 5, "top_k": 3}


@pytest.fixture
def build() -> Callable[..., PAMM]:
    def make(**changes: object) -> PAMM:
        return PAMM(PAMMConfig(**{"tasks": TASKS, **SMALL, **changes}))

    return make
