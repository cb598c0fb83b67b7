"""The scan written down as plainly as it can be without being slow: every kernel is held to this.

`scan` is what is around the recurrence, in ordinary operations. `Recurrence` is the recurrence in
all directions, with its gradient written out by hand. It goes from visit to visit in all
directions at once, with only so many channels at a time that what a step touches stays in the
processor's cache. For the gradient it keeps nothing but its arguments.

Shape suffixes: B batch, D channels, G groups of channels, N states, L positions, K directions,
c channels of one group, S sequences (directions x batch), T steps of a segment.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

PIECE = 2**16
"""States done at once on a CPU: with their decay factors, half a MiB in float32."""
PIECE_ELSEWHERE = 2**21
"""On other devices, where a step must be long enough to be worth its launch."""


def scan(
    u_BDL: Tensor,
    delta_BDL: Tensor,
    A_DN: Tensor,
    B_BGNL: Tensor,
    C_BGNL: Tensor,
    D_D: Tensor | None,
    bias_D: Tensor | None,
    *,
    orders_KL: Tensor,
    softplus: bool,
) -> Tensor:
    """The multi-directional scan of checked arguments; see `pamm.ops.multi_directional_scan`."""
    groups = B_BGNL.shape[1]
    dtype = torch.promote_types(u_BDL.dtype, torch.float32)
    # Positions first and channels last: what a step touches lies together, in long rows.
    u_LBG1c, delta_LBG1c = (
        v.to(dtype).unflatten(1, (groups, 1, -1)).permute(4, 0, 1, 2, 3).contiguous()
        for v in (u_BDL, delta_BDL)
    )
    A_GNc = A_DN.to(dtype).unflatten(0, (groups, -1)).transpose(1, 2).contiguous()
    B_LBGN1, C_LBGN1 = (
        v.to(dtype).permute(3, 0, 1, 2).contiguous().unsqueeze(-1) for v in (B_BGNL, C_BGNL)
    )
    if bias_D is not None:
        delta_LBG1c = delta_LBG1c + bias_D.to(dtype).view(groups, 1, -1)
    if softplus:
        delta_LBG1c = F.softplus(delta_LBG1c, threshold=40)  # above 40 it is x, in float64 as well
    y_LBG1c = Recurrence.apply(
        delta_LBG1c * u_LBG1c, delta_LBG1c, A_GNc, B_LBGN1, C_LBGN1, orders_KL
    )
    if D_D is not None:
        D_G1c = len(orders_KL) * D_D.to(dtype).view(groups, 1, -1)
        y_LBG1c = torch.addcmul(y_LBG1c, D_G1c, u_LBG1c)
    return y_LBG1c.flatten(2).permute(1, 2, 0).to(u_BDL.dtype)


class Recurrence(torch.autograd.Function):
    """``h = exp(delta A) h + x B`` and ``y = sum_n C h``, the y of all directions added up.

    Shapes: x, delta, y LBG1c; A GNc; B, C LBGN1; orders KL. All but the orders have one dtype.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, orders: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, delta, A, B, C, orders)
        y = torch.zeros_like(x)
        for b, g, c in pieces(x, A, orders):
            add_outputs(y[:, b, g, :, c], orders, *part(b, g, c, x, delta, A, B, C))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        *given, orders = ctx.saved_tensors
        grads = [torch.zeros_like(v) for v in given]
        for b, g, c in pieces(given[0], given[2], orders):
            add_gradients(
                part(b, g, c, *grads), grad_y[:, b, g, :, c], orders, *part(b, g, c, *given)
            )
        return *grads, None


def pieces(x_LBG1c: Tensor, A_GNc: Tensor, orders_KL: Tensor) -> Iterator[tuple[slice, ...]]:
    """Slices of the batch, the groups and their channels that have `PIECE` states or fewer."""

    def cut(total: int, most: int) -> list[slice]:
        count = max(1, math.ceil(total / max(1, most)))
        size = max(1, math.ceil(total / count))
        return [slice(i, min(i + size, total)) for i in range(0, total, size)]

    _, batch, groups, _, channels = x_LBG1c.shape
    states = PIECE if x_LBG1c.device.type == "cpu" else PIECE_ELSEWHERE
    most = states // max(1, len(orders_KL) * A_GNc.shape[1])  # channels of all groups and samples
    return product(
        cut(batch, most // max(1, groups * channels)),
        cut(groups, most // max(1, channels)),
        cut(channels, most),
    )


def part(
    b: slice, g: slice, c: slice, x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor
) -> tuple[Tensor, ...]:
    """Views of the arguments of `Recurrence`, or of their gradients, that belong to a piece."""
    return x[:, b, g, :, c], delta[:, b, g, :, c], A[g, :, c], B[:, b, g], C[:, b, g]


def segments(orders_KL: Tensor) -> list[Tensor]:
    """The positions visited (T, K), in about as many segments as a segment has steps."""
    return list(orders_KL.T.split(math.isqrt(orders_KL.shape[1] - 1) + 1))


def visit(where_TK: Tensor, *images: Tensor) -> list[tuple[Tensor, ...]]:
    """What a segment finds in each of the images (L, B, ...): one (S, ...) for every step."""
    visited = where_TK.reshape(-1)
    found = [v.index_select(0, visited).unflatten(0, where_TK.shape) for v in images]
    return [v.flatten(1, 2).unbind() for v in found]


def add_home(image: Tensor, where_TK: Tensor, found: Sequence[Tensor]) -> None:
    """The reverse of `visit`: add one (S, ...) of every step to an image (L, B, ...).

    The directions come one after the other, since within one of them no position comes twice. So
    the order of the sums, and with it every bit of the result, is always the same.
    """
    found_TKB = torch.stack(list(found)).unflatten(1, (where_TK.shape[1], image.shape[1]))
    for k, where_T in enumerate(where_TK.unbind(1)):
        image.index_put_((where_T,), found_TKB[:, k], accumulate=True)


def step(
    h: Tensor, x: Tensor, delta: Tensor, rate: Tensor, B: Tensor, *, decay: Tensor, out: Tensor
) -> None:
    """``out = decay h + x B`` with ``decay = 2 ** (delta rate)``; both are filled in, in place.

    The power of two is several times faster than exp.
    """
    torch.mul(delta, rate, out=decay).exp2_()
    torch.mul(h, decay, out=out).addcmul_(x, B)


@torch.no_grad()  # torch.export looks into a Function with gradients on
def add_outputs(
    y: Tensor, orders: Tensor, x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor
) -> None:
    """Scan one piece in all directions and add the outputs to y."""
    rate = A / math.log(2)
    h = x.new_zeros(len(orders) * x.shape[1], *A.shape)
    work = torch.empty_like(h)
    for where in segments(orders):
        y_seen = []
        for x_t, delta_t, B_t, C_t in zip(*visit(where, x, delta, B, C), strict=True):
            step(h, x_t, delta_t, rate, B_t, decay=work, out=h)
            y_seen.append(torch.mul(h, C_t, out=work).sum(-2, keepdim=True))
        add_home(y, where, y_seen)


def add_gradients(
    grads: Sequence[Tensor],
    grad_y: Tensor,
    orders: Tensor,
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
) -> None:
    """Add the gradients in x, delta, A, B and C of one piece to `grads`.

    The states are needed from the last to the first. The first pass keeps those at which the
    segments start; then, from the last segment to the first, those between are computed again.
    """
    grad_x, grad_delta, grad_A, grad_B, grad_C = grads
    walk, rate = segments(orders), A / math.log(2)
    h = x.new_zeros(len(orders) * x.shape[1], *A.shape)
    work, grad_h = torch.empty_like(h), torch.zeros_like(h)
    starts = [h.clone()]
    for where in walk[:-1]:
        for x_t, delta_t, B_t in zip(*visit(where, x, delta, B), strict=True):
            step(h, x_t, delta_t, rate, B_t, decay=work, out=h)
        starts.append(h.clone())

    states = h.new_empty(len(walk[0]) + 1, *h.shape).unbind()
    decays = h.new_empty(len(walk[0]), *h.shape).unbind()
    for where, start in zip(reversed(walk), reversed(starts), strict=True):
        seen = list(zip(*visit(where, x, delta, B, C, grad_y), strict=True))
        states[0].copy_(start)
        for t, (x_t, delta_t, B_t, _, _) in enumerate(seen):
            step(states[t], x_t, delta_t, rate, B_t, decay=decays[t], out=states[t + 1])
        found, grad_A_seen = walk_back(seen, states, decays, A, grad_h, work)
        grad_A += grad_A_seen.sum(0)
        for image, rows in zip((grad_x, grad_delta, grad_B, grad_C), found, strict=True):
            add_home(image, where, rows)


def walk_back(
    seen: Sequence[tuple[Tensor, ...]],
    states: Sequence[Tensor],
    decays: Sequence[Tensor],
    A: Tensor,
    grad_h: Tensor,
    work: Tensor,
) -> tuple[list[tuple[Tensor, ...]], Tensor]:
    """One segment from its last step to its first.

    Args:
        seen: x, delta, B, C and the gradient of y, of every step.
        states: before the first step and after every step.
        decays: of every step.
        A: of the piece.
        grad_h: the gradient of the state after the last step; becomes that before the first.
        work: a buffer in the shape of a state.

    Returns:
        The gradients of x, delta, B and C at every step, and that of A (S, G, N, c).
    """
    found = []
    grad_A = torch.zeros_like(grad_h)
    for t in reversed(range(len(seen))):
        x, delta, B, C, grad_y = seen[t]
        grad_h.addcmul_(grad_y, C)
        grad_C = torch.mul(states[t + 1], grad_y, out=work).sum(-1, keepdim=True)
        grad_B = torch.mul(grad_h, x, out=work).sum(-1, keepdim=True)
        grad_x = torch.mul(grad_h, B, out=work).sum(-2, keepdim=True)
        grad_h.mul_(decays[t])
        torch.mul(grad_h, states[t], out=work)  # the gradient of delta A
        grad_A.addcmul_(work, delta)
        grad_delta = work.mul_(A).sum(-2, keepdim=True)
        found.append((grad_x, grad_delta, grad_B, grad_C))
    return list(zip(*reversed(found), strict=True)), grad_A
