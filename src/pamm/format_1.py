"""Model folders of format 1, of before there was more than one model: what is called otherwise now.

They predict as they did. Their trainings cannot be resumed.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pamm.runtime.rgb import IMAGENET_MEAN, IMAGENET_STD

NEW_PREFIXES = {
    "backbone.project.": "grid.project.",
    "decoder.heads.": "task_heads.logits.",
    "decoder.refine.": "task_heads.refine.",
}


def new_config(model: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of its model, which was PAMM on images that ImageNet's numbers normalised."""
    return {**model, "name": "pamm", "mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}


def new_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Its weights under the names that they have now."""
    renamed = {}
    for name, tensor in tensors.items():
        old = next((prefix for prefix in NEW_PREFIXES if name.startswith(prefix)), "")
        renamed[NEW_PREFIXES.get(old, "") + name.removeprefix(old)] = tensor
    return renamed
