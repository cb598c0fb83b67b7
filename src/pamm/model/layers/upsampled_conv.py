"""A 3x3 convolution of a map that was enlarged four times, computed at the small size.

Enlarging mixes positions and a convolution's weights mix channels; both are linear and they
commute. With U the bilinear enlargement along an axis and S_d the shift by d positions,

    conv(enlarge(x)) = sum over (dy, dx) of  (S_dy U) (S_dx U) W_dydx x,      dy, dx in -1, 0, 1.

So the nine taps W_dydx are applied to the small map, as one 1x1 convolution to nine times the
channels with a sixteenth of the positions; then the taps of a row are put together along x, and the
rows along y. S_dx U reaches one position to either side: the matrix that makes the columns of the
enlarged map from the columns and taps of the small one is a band, applied in blocks.

Shape suffixes: B images, h x w positions, C channels, R block of positions, n blocks along an axis.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pamm.model.layers.constants import constant

SCALE = 4
_BLOCK = 4  # positions; measured: smaller blocks copy more, larger ones multiply by more zeros


def upsampled_conv3x3(x_BChw: Tensor, weight: Tensor) -> Tensor:
    """`conv2d(interpolate(x, scale_factor=4, mode="bilinear"), weight, padding=1)`.

    Args:
        x_BChw: the small map, any size.
        weight: (outputs, C, 3, 3).

    Returns:
        (4h, B, 4w, outputs): rows first and channels last.
    """
    taps = weight.permute(2, 3, 0, 1).flatten(0, 2)[..., None, None]  # (3 * 3 * outputs, C, 1, 1)
    padded = F.pad(x_BChw, (1, 1, 1, 1)).contiguous(memory_format=torch.channels_last)
    products = F.conv2d(padded, taps).permute(2, 0, 3, 1).unflatten(3, (3, 3, -1))
    h, w = x_BChw.shape[-2:]
    return _Assemble.apply(products, cached_bands(h, like=products), cached_bands(w, like=products))


class _Assemble(torch.autograd.Function):
    """The products of the taps (h+2, B, w+2, dy, dx, C), zero around -> (4h, B, 4w, C).

    Its other arguments are the `bands` of h and of w.

    As an operation of its own since the gradient of overlapping windows is slow in torch.
    """

    @staticmethod
    def forward(products: Tensor, along_y: Tensor, along_x: Tensor) -> Tensor:
        padded_h, B, padded_w, _, _, C = products.shape
        # One product of matrices per row, tap dy, image and block of columns.
        x = windows(products, 2).permute(0, 4, 1, 2, 3, 5, 6)  # (h+2, dy, B, n, R+2, dx, C)
        x = x.reshape(-1, along_x.size(2), C)
        rows = torch.bmm(along_x.repeat(x.size(0) // along_x.size(0), 1, 1), x)
        # One per block of rows; its windows overlap in memory.
        y = windows(rows.reshape(padded_h, 3, -1), 0).flatten(1, 2)  # (n, (R+2) * dy, B * 4w * C)
        return torch.bmm(along_y, y).reshape(SCALE * (padded_h - 2), B, SCALE * (padded_w - 2), C)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        products, along_y, along_x = inputs
        ctx.shape = products.shape
        ctx.save_for_backward(along_y, along_x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        padded_h, B, _, _, _, C = ctx.shape
        along_y, along_x = ctx.saved_tensors
        y = torch.bmm(along_y.mT, grad.reshape(*along_y.shape[:2], -1))
        rows = overlap_add(y.unflatten(1, (-1, 3)), 0)  # (h+2, dy, B * 4w * C)
        rows = rows.reshape(-1, along_x.shape[1], C)
        x = torch.bmm(along_x.mT.repeat(rows.size(0) // along_x.size(0), 1, 1), rows)
        x = x.reshape(padded_h, 3, B, len(along_x), -1, 3, C)
        return overlap_add(x.permute(0, 2, 3, 4, 1, 5, 6), 2), None, None


@torch.compiler.allow_in_graph
def cached_bands(size: int, *, like: Tensor) -> Tensor:
    """`bands` on the device and in the dtype of another tensor, computed once per size."""
    return constant(bands, size, like=like)


def bands(size: int) -> Tensor:
    """The matrix of S_d U for d = -1, 0, 1 in blocks along its diagonal.

    Returns:
        (n, 4R, (R+2) * 3): from R positions, the one before, the one after, and their taps.
    """
    unit = torch.eye(size)[:, None]
    enlarged = F.interpolate(unit, scale_factor=SCALE, mode="linear", align_corners=False)
    matrix = F.pad(enlarged[:, 0], (1, 1, 1, 1)).unfold(1, 3, 1)  # (size + 2, 4 * size, 3)
    R = block(size)
    blocks = [
        matrix[start : start + R + 2, SCALE * start : SCALE * (start + R)]
        for start in range(0, size, R)
    ]
    return torch.stack(blocks).transpose(1, 2).flatten(2)


def block(size: int) -> int:
    """The divisor of a number of positions that is nearest to `_BLOCK`."""
    return min((r for r in range(1, size + 1) if size % r == 0), key=lambda r: abs(r - _BLOCK))


def windows(x: Tensor, axis: int) -> Tensor:
    """A padded axis of R * n + 2 positions becomes (n, R + 2): overlapping windows, a view."""
    R = block(x.shape[axis] - 2)
    return x.unfold(axis, R + 2, R).movedim(-1, axis + 1)


def overlap_add(x: Tensor, axis: int) -> Tensor:
    """The adjoint of `windows`, but for the outer two positions, which stay zero."""
    n, R = x.shape[axis], x.shape[axis + 1] - 2
    out = x.new_zeros([*x.shape[:axis], n * R + 2, *x.shape[axis + 2 :]])
    to, x = out.movedim(axis, 0), x.movedim((axis, axis + 1), (0, 1))
    to[1:-1].unflatten(0, (n, R)).copy_(x[:, 1:-1])
    to[R + 1 : -1 : R].add_(x[:-1, -1])
    to[R:-2:R].add_(x[1:, 0])
    return out
