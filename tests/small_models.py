"""What makes each model small enough to build in every test. A new model is a line of SMALL."""

from typing import Any

from pamm.model import MODELS, ModelConfig

TASKS = {"semseg": 5, "depth": 1, "normals": 3}
SMALL: dict[str, dict[str, Any]] = {
    "pamm": {"d_model": 32, "d_state": 3, "num_experts": 5, "top_k": 3},
    "baseline": {"d_model": 32},
    "padnet": {"channels": 16},
}


def small(name: str, **changes: Any) -> ModelConfig:
    """The config of a small model on timm's own test network."""
    given = {"tasks": TASKS, "backbone": "test_vit", **SMALL[name], **changes}
    return MODELS[name].Config(**given)
