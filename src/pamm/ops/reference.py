"""The scan written down as plainly as it can be without being slow: every kernel is held to this.

`LinearRecurrence` is the recurrence, `scan_piece` what is around it, and `scan` cuts large problems
into pieces so that memory stays bounded.

Shape suffixes: B batch, D channels, G groups of channels, N states, L positions, K directions,
c channels of one group.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

PIECE = 2**25
"""States kept at once; in float32 a piece takes some six times 128 MiB."""


class LinearRecurrence(torch.autograd.Function):
    """``h[t] = a[t] * h[t-1] + x[t]`` over the first axis, with ``h[-1] = 0``.

    Its gradient is the same recurrence run backwards, so nothing but ``a`` and ``h`` is kept.
    """

    @staticmethod
    def forward(ctx, a: Tensor, x: Tensor) -> Tensor:
        h = torch.empty_like(x)
        h[0] = x[0]
        for t in range(1, len(x)):
            torch.addcmul(x[t], a[t], h[t - 1], out=h[t])
        ctx.save_for_backward(a, h)
        return h

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        a, h = ctx.saved_tensors
        grad_x = torch.empty_like(grad)
        grad_x[-1] = grad[-1]
        for t in range(len(grad) - 2, -1, -1):
            torch.addcmul(grad[t], a[t + 1], grad_x[t + 1], out=grad_x[t])
        grad_a = torch.empty_like(a)
        grad_a[0] = 0
        torch.mul(grad_x[1:], h[:-1], out=grad_a[1:])
        return grad_a, grad_x


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
    """The multi-directional scan of checked arguments; see `pamm.ops.multi_directional_scan`.

    Where the states of all directions and positions would be more than `PIECE` numbers, the
    channels are done a slice at a time, and their states are computed again for the gradient.
    """
    channels, groups = u_BDL.shape[1], B_BGNL.shape[1]
    states = u_BDL.numel() * len(orders_KL) * A_DN.shape[1]

    def piece(part: slice, group: slice) -> Tensor:
        arguments = (
            u_BDL[:, part],
            delta_BDL[:, part],
            A_DN[part],
            B_BGNL[:, group],
            C_BGNL[:, group],
            None if D_D is None else D_D[part],
            None if bias_D is None else bias_D[part],
            orders_KL,
            softplus,
        )
        if whole or not torch.is_grad_enabled():
            return scan_piece(*arguments)
        return checkpoint(scan_piece, *arguments, use_reentrant=False)

    whole = states <= PIECE
    if whole:
        return piece(slice(None), slice(None))
    per_group = channels // groups
    step = max(1, per_group * groups * PIECE // states)
    return torch.cat(
        [
            piece(slice(first + c, first + min(c + step, per_group)), slice(g, g + 1))
            for g, first in enumerate(range(0, channels, per_group))
            for c in range(0, per_group, step)
        ],
        dim=1,
    )


def scan_piece(
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
    """The scan with the states of all its channels in memory at once."""
    batch, _, length = u_BDL.shape
    groups, state = B_BGNL.shape[1:3]
    dtype = torch.promote_types(u_BDL.dtype, torch.float32)
    delta_BDL = delta_BDL.to(dtype)
    if bias_D is not None:
        delta_BDL = delta_BDL + bias_D.to(dtype)[:, None]
    if softplus:
        delta_BDL = F.softplus(delta_BDL)
    # With the channels of a group last, every operation below runs along contiguous numbers.
    u_LBGc, delta_LBGc = (
        x.permute(2, 0, 1).reshape(length, batch, groups, -1) for x in (u_BDL.to(dtype), delta_BDL)
    )
    A_GNc = A_DN.to(dtype).reshape(groups, -1, state).transpose(1, 2)
    B_LBGN, C_LBGN = (x.to(dtype).permute(3, 0, 1, 2) for x in (B_BGNL, C_BGNL))

    # Everything that does not depend on the direction, once per image position.
    decay_LBGNc = torch.exp(delta_LBGc[:, :, :, None] * A_GNc)
    input_LBGNc = (delta_LBGc * u_LBGc)[:, :, :, None] * B_LBGN[..., None]

    # Visit the positions in each order, then read the states back at their image positions.
    visits = orders_KL.T.reshape(-1)
    visited = [x.index_select(0, visits) for x in (decay_LBGNc, input_LBGNc, C_LBGN[..., None])]
    a, x, C = (v.unflatten(0, (length, -1)) for v in visited)  # (L, K, B, G, N, c or 1)
    y = (LinearRecurrence.apply(a, x) * C).sum(4).flatten(0, 1)
    y_LBGc = torch.zeros_like(u_LBGc).index_add(0, visits, y)
    y_BDL = y_LBGc.flatten(2).permute(1, 2, 0)
    if D_D is not None:
        y_BDL = y_BDL + len(orders_KL) * D_D.to(dtype)[:, None] * u_BDL.to(dtype)
    return y_BDL.to(u_BDL.dtype)
