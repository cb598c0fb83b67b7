"""In what precision a network computes; what is asked of it is float32."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from pamm.errors import PammError, unknown

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]
_HALVES = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}


def arithmetic(precision: Precision, device_type: str) -> AbstractContextManager[Any]:
    """Where a network computes in this precision; without a gradient scaler."""
    if precision == "32-true":
        return nullcontext()
    return torch.autocast(device_type, _HALVES[precision])


def forward(model: nn.Module, image: Tensor, precision: Precision = "32-true") -> dict[str, Tensor]:
    """The logits of all tasks, in float32.

    Args:
        model: maps (B, 3, H, W) to {task: logits (B, C, H, W)}, of any floating point type.
        image: (B, 3, H, W); goes where the model is, in the type of its parameters.
        precision: "16-mixed" and "bf16-mixed" compute convolutions and matrix products in 16 bits,
            which is faster where the processor has instructions for it; "32-true" computes in the
            type of the parameters.

    Raises:
        PammError: another precision, or one of other 16 bits than the network's.
    """
    if precision not in get_args(Precision):
        raise PammError(unknown("precision", str(precision), get_args(Precision)))
    like = next((p for p in model.parameters() if p.is_floating_point()), None)
    if like is not None:
        image = image.to(like.device, like.dtype)
        inside = _HALVES.get(precision, like.dtype)
        if like.dtype in _HALVES.values() and inside != like.dtype:
            raise PammError(
                f"precision: got {precision!r} for a network in {str(like.dtype)[6:]}; want "
                "'32-true', which computes in the type of the network"
            )
    with arithmetic(precision, image.device.type):
        logits = model(image)
    return {name: value.float() for name, value in logits.items()}
