"""The scan as one PyTorch operator, `pamm::scan`, with its gradient and its shapes.

torch.compile, torch.export, checkpointing and DDP see a single node. A CPU tensor goes to the
compiled library, a CUDA tensor to the Triton kernels; both take mixed floating dtypes, so autocast
has nothing to convert.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from pamm.ops import cpu

Shape = tuple[int, ...]


@torch.library.custom_op("pamm::scan", mutates_args=(), device_types="cpu")
def scan(
    u_BDL: Tensor,
    delta_BDL: Tensor,
    A_DN: Tensor,
    B_BGNL: Tensor,
    C_BGNL: Tensor,
    D_D: Tensor | None,
    bias_D: Tensor | None,
    orders_KL: Tensor,
    softplus: bool,
) -> Tensor:
    """The multi-directional scan of checked arguments -> y (B, D, L), dtype and layout of u."""
    return cpu.forward(u_BDL, delta_BDL, A_DN, B_BGNL, C_BGNL, D_D, bias_D, orders_KL, softplus)


@torch.library.custom_op("pamm::scan_backward", mutates_args=(), device_types="cpu")
def scan_backward(
    grad_y_BDL: Tensor,
    u_BDL: Tensor,
    delta_BDL: Tensor,
    A_DN: Tensor,
    B_BGNL: Tensor,
    C_BGNL: Tensor,
    D_D: Tensor | None,
    bias_D: Tensor | None,
    orders_KL: Tensor,
    softplus: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of u, delta, A, B, C, D and bias; an empty tensor for what is None."""
    return _present(
        cpu.backward(
            grad_y_BDL,
            *(u_BDL, delta_BDL, A_DN, B_BGNL, C_BGNL, D_D, bias_D),
            orders_KL,
            softplus,
        ),
        u_BDL,
    )


@scan.register_kernel("cuda")
def _scan_cuda(*arguments: Any) -> Tensor:
    from pamm.ops import triton_scan

    return triton_scan.forward(*arguments)


@scan_backward.register_kernel("cuda")
def _scan_backward_cuda(grad_y_BDL: Tensor, u_BDL: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    from pamm.ops import triton_scan

    return _present(triton_scan.backward(grad_y_BDL, u_BDL, *rest), u_BDL)


@scan.register_fake
def _scan_shape(u_BDL: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(u_BDL)


@register_flop_formula(torch.ops.pamm.scan)
def scan_flops(u: Shape, delta: Shape, A: Shape, *rest: Any, **_: Any) -> int:
    """Operations of the scan, from its shapes: per channel, state and position, exp(delta A) and
    delta u B are made once (3), and each direction updates the state and sums the output (4).
    """
    batch, channels, length = u
    directions = next(shape[0] for shape in reversed(rest) if isinstance(shape, tuple | torch.Size))
    return batch * channels * length * A[1] * (3 + 4 * directions)


@scan_backward.register_fake
def _scan_backward_shapes(grad_y_BDL: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    u_BDL, delta_BDL, *parameters = arguments[:7]
    rest = (None if x is None else x.new_empty(x.shape) for x in parameters)
    return _present((torch.empty_like(u_BDL), torch.empty_like(delta_BDL), *rest), u_BDL)


def _present(gradients: tuple[Tensor | None, ...], like: Tensor) -> Any:
    return tuple(like.new_empty(0) if g is None else g for g in gradients)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.softplus = inputs
    ctx.save_for_backward(*tensors)


def _gradient(ctx: Any, grad_y_BDL: Tensor) -> tuple[Tensor | None, ...]:
    tensors = ctx.saved_tensors
    gradients = scan_backward(grad_y_BDL, *tensors, ctx.softplus)
    given = zip(tensors[:7], gradients, strict=True)
    return (*(None if x is None else g for x, g in given), None, None)


scan.register_autograd(_gradient, setup_context=_save)
