"""In what precision a network computes; its weights stay in float32."""

from typing import Literal

import torch
from torch import Tensor, nn

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]
_HALVES = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}


def forward(model: nn.Module, image: Tensor, precision: Precision = "32-true") -> dict[str, Tensor]:
    """The logits of all tasks, in float32.

    Args:
        model: maps (B, 3, H, W) to {task: logits (B, C, H, W)}.
        image: (B, 3, H, W), where the model is.
        precision: "16-mixed" and "bf16-mixed" compute convolutions and matrix products in 16 bits,
            which is faster where the processor has instructions for it.
    """
    if precision == "32-true":
        logits = model(image)
    else:
        with torch.autocast(image.device.type, _HALVES[precision]):
            logits = model(image)
    return {name: value.float() for name, value in logits.items()}
