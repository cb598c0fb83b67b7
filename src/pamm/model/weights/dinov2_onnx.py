"""A DINOv2 ViT inside an ONNX graph that was exported from the transformers library."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

PREFIX = "backbone."
EMBEDDINGS = {
    "cls_token": "embeddings.cls_token",
    "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
    "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
    "norm.weight": "layernorm.weight",
    "norm.bias": "layernorm.bias",
}
BLOCK = {  # but for the attention's three inputs, which are one in timm
    "norm1.weight": "norm1.weight",
    "norm1.bias": "norm1.bias",
    "attn.proj.weight": "attention.output.dense.weight",
    "attn.proj.bias": "attention.output.dense.bias",
    "ls1.gamma": "layer_scale1.lambda1",
    "norm2.weight": "norm2.weight",
    "norm2.bias": "norm2.bias",
    "mlp.fc1.weight": "mlp.fc1.weight",
    "mlp.fc1.bias": "mlp.fc1.bias",
    "mlp.fc2.weight": "mlp.fc2.weight",
    "mlp.fc2.bias": "mlp.fc2.bias",
    "ls2.gamma": "layer_scale2.lambda1",
}


def read_dinov2_onnx(file: Path) -> Mapping[str, Tensor]:
    """The tensors of the graph's backbone under the names of timm's `vit_*_dinov2`."""
    import onnx

    arrays = named_arrays(onnx.load(str(file)).graph)
    width = arrays["embeddings.cls_token"].shape[-1]
    found = {ours: arrays[theirs] for ours, theirs in EMBEDDINGS.items()}
    found["pos_embed"] = position_embedding(arrays, width)
    blocks = sum(name.endswith(".norm1.weight") for name in arrays)
    for i in range(blocks):
        layer = f"encoder.layer.{i}."
        for ours, theirs in BLOCK.items():
            found[f"blocks.{i}.{ours}"] = arrays[layer + theirs]
        for kind in ("weight", "bias"):
            found[f"blocks.{i}.attn.qkv.{kind}"] = np.concatenate(
                [
                    arrays[f"{layer}attention.attention.{part}.{kind}"]
                    for part in ("query", "key", "value")
                ]
            )
    return {name: torch.from_numpy(np.array(array)) for name, array in found.items()}


def named_arrays(graph: Any) -> dict[str, np.ndarray]:
    """The backbone's arrays by their names in the transformers library; others as they are called.

    The export turns the weight of a linear layer and gives it a number for a name. What its bias is
    called, which is added to the product, says whose it is.
    """
    from onnx import numpy_helper

    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    added = defaultdict(list)
    for node in graph.node:
        if node.op_type == "Add":
            for name in node.input:
                added[name].extend(node.input)
    found = {name.removeprefix(PREFIX): array for name, array in arrays.items()}
    for node in graph.node:
        if node.op_type != "MatMul":
            continue
        weights = [name for name in node.input if name in arrays]
        biases = [name for name in added[node.output[0]] if name in arrays]
        if len(weights) == len(biases) == 1 and biases[0].startswith(PREFIX):
            name = biases[0].removeprefix(PREFIX).removesuffix("bias") + "weight"
            found[name] = arrays[weights[0]].T
    return found


def position_embedding(arrays: Mapping[str, np.ndarray], width: int) -> np.ndarray:
    """(1, 1 + positions, width): the export has split off that of the class token.

    Neither half has kept its name; their shapes tell them from all else.
    """
    rows = [a for name, a in arrays.items() if a.ndim == 3 and name != "embeddings.cls_token"]
    rows = [a for a in rows if a.shape[0] == 1 and a.shape[2] == width]
    (first,) = (a for a in rows if a.shape[1] == 1)
    (grid,) = (a for a in rows if a.shape[1] > 1)
    return np.concatenate([first, grid], axis=1)
