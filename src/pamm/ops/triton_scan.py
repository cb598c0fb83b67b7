"""The multi-directional selective scan for GPUs, in Triton: nothing to build.

It wants Triton 3.3 or newer. NOT measured on a GPU: the constants below come from the registers and
instructions of the compiled kernels, and where no GPU is at hand the results are tested in Triton's
interpreter, on a CPU.

The states of a channel are a serial chain, ``h = exp(dt * A) * h + dt * u * B``. To have work for a
whole GPU, the L steps of each direction are cut into segments that run at the same time:

1. `_segment_ends` runs each segment from a zero state to its last state. For the gradient it also
   sums up what the segment's outputs say about its first state. The decay over a whole segment is
   ``exp(A * sum of dt)``, so of the decays it keeps the sum of dt.
2. `_carry` goes from segment to segment: the state that enters each of them and, backwards, the
   gradient of the state that leaves it.
3. `_outputs`, or `_gradients`, runs each segment from the state that really enters it.

Where images and channels alone fill the GPU, the forward pass has one segment and only step 3.

A program is one warp. It has `BLOCK` neighbouring channels of one group, in one segment of one
direction of one image, and takes the segment in tiles of `TILE` steps. It gathers the rows of dt
and dt * u at a tile's positions into registers (the tensors are channels-last, so rows are
contiguous), then goes through the states n one by one. So a thread has the whole tile of its two
channels, nothing is exchanged along the steps, and N may be any number. From tile to tile the
states wait in memory that no other program uses.

`_gradients` first keeps the states at the start of each tile of its segment, in scratch memory that
it uses again for its next segment. Then it takes the tiles from last to first: computes the states
again, in registers, and walks their gradient back. In memory at once are only the states at the
ends of the segments, and the scratch.

Nothing is permuted, positions are looked up in the orders. Nothing is added by atomics: every
direction writes y, and every block of channels the gradients of B and C, to a place of its own, and
torch adds them up. So results do not change from run to run, not by a bit. States and sums are
float32 whatever the inputs are.

Shape suffixes: B batch, D channels, G groups, N states, L positions or steps, K directions,
S segments, X blocks of channels in a group, Q = B * K sequences.
"""

from contextlib import AbstractContextManager, nullcontext
from math import log, prod
from sys import maxsize
from typing import Any, NamedTuple

# Triton has no types. In its kernels a tuple may grow in a loop, by addition and not by unpacking.
# mypy: disable-error-code="import-untyped, import-not-found, assignment"
# ruff: noqa: RUF005
import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F

if [int(number) for number in triton.__version__.split(".")[:2]] < [3, 3]:
    raise ImportError(
        f"Triton is {triton.__version__}, the scan wants 3.3 or newer, which comes with PyTorch 2.7"
    )

TILE = 8
"""Steps whose numbers are in registers at once; a power of two."""
BLOCK = 64
"""Channels of a program, a power of two: two for each thread."""
SEGMENT = 64
"""Steps of a segment, or more in the forward pass; a multiple of TILE."""
PROGRAMS = 1024
"""Programs of `_gradients` on an H100 at a time: it takes 255 registers, so 8 warps on each of 132
processors. Of the others about twice as many."""


# Of the numbers, only D and the channels of a group matter to the code that is generated, so an
# image of another size is not a new kernel.
_kernel = triton.jit(
    do_not_specialize=["L", "N", "K", "G", "group_blocks", "segments", "steps", "items"]
)


@triton.jit
def _work(item, segments, G, group_blocks, group_channels, BLOCK: tl.constexpr):
    """A program's part: sequence, segment, group, block, channels d, those from d_stop on not."""
    blocks = G * group_blocks
    block = item % blocks
    segment = item // blocks % segments
    sequence = (item // (blocks * segments)).to(tl.int64)
    group = block // group_blocks
    d_start = group * group_channels + block % group_blocks * BLOCK
    d_stop = (group + 1) * group_channels
    return sequence, segment, group, block, d_start + tl.arange(0, BLOCK), d_stop


@triton.jit
def _positions(order_ptr, start, stop, TILE: tl.constexpr):
    """The image positions of a tile's steps; 0 for steps past the end."""
    positions = ()
    for i in tl.static_range(TILE):
        positions = positions + (tl.load(order_ptr + start + i, mask=start + i < stop, other=0),)
    return positions


@triton.jit
def _rows(ptr, positions, start, stop, D, d, d_stop, TILE: tl.constexpr):
    """A tile's rows of a channels-last tensor; past the end zero, which changes no state."""
    rows = ()
    for i in tl.static_range(TILE):
        mask = d < tl.where(start + i < stop, d_stop, 0)
        rows = rows + (tl.load(ptr + positions[i] * D + d, mask=mask, other=0.0),)
    return rows


@triton.jit
def _numbers(ptr, positions, start, stop, N, TILE: tl.constexpr):
    """A tile's numbers of one state of B or C; past the end zero."""
    numbers = ()
    for i in tl.static_range(TILE):
        mask = start + i < stop
        numbers = numbers + (tl.load(ptr + positions[i] * (2 * N), mask=mask, other=0.0),)
    return numbers


@triton.jit
def _zeros(TILE: tl.constexpr, BLOCK: tl.constexpr):
    """A tile's rows of sums, before anything is added."""
    rows = ()
    for _ in tl.static_range(TILE):
        rows = rows + (tl.zeros((BLOCK,), tl.float32),)
    return rows


@_kernel
def _segment_ends(
    dt_ptr, x_ptr, gy_ptr, A_ptr, BC_ptr, order_ptr, span_ptr, end_ptr, gstart_ptr,
    L, D, N, K, G, group_blocks, group_channels, segments, steps,
    GRADIENT: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Each segment alone: the sum of dt, the last state; with GRADIENT, the first's gradient."""
    sequence, segment, group, _, d, d_stop = _work(
        tl.program_id(0), segments, G, group_blocks, group_channels, BLOCK
    )
    image = sequence // K * L * D
    BC = BC_ptr + (sequence // K * G + group) * L * N * 2
    order = order_ptr + sequence % K * L
    place = sequence * segments + segment
    first = segment * steps
    stop = tl.minimum(first + steps, L)
    inside = d < d_stop

    span = tl.zeros((BLOCK,), tl.float32)
    for start in range(first, stop, TILE):
        positions = _positions(order, start, stop, TILE)
        dt = _rows(dt_ptr + image, positions, start, stop, D, d, d_stop, TILE)
        x = _rows(x_ptr + image, positions, start, stop, D, d, d_stop, TILE)
        if GRADIENT:
            gy = _rows(gy_ptr + image, positions, start, stop, D, d, d_stop, TILE)
        begun = d < tl.where(start > first, d_stop, 0)
        for n in range(N):
            state = (place * N + n) * D + d
            A = tl.load(A_ptr + n * D + d, mask=inside, other=0.0)
            b = _numbers(BC + n * 2, positions, start, stop, N, TILE)
            h = tl.load(end_ptr + state, mask=begun, other=0.0)
            if GRADIENT:
                c = _numbers(BC + n * 2 + 1, positions, start, stop, N, TILE)
                g = tl.load(gstart_ptr + state, mask=begun, other=0.0)
                decay = tl.exp2(span * A)
            for i in tl.static_range(TILE):
                a = tl.exp2(dt[i] * A)
                h = a * h + x[i] * b[i]
                if GRADIENT:
                    decay = decay * a
                    g = g + decay * (c[i] * gy[i])
            tl.store(end_ptr + state, h, mask=inside)
            if GRADIENT:
                tl.store(gstart_ptr + state, g, mask=inside)
        for i in tl.static_range(TILE):
            span = span + dt[i]
        tl.debug_barrier()  # the next tile loads what this one stored
    tl.store(span_ptr + place * D + d, span, mask=inside)


@_kernel
def _carry(
    span_ptr, A_ptr, end_ptr, enter_ptr, gstart_ptr, gleave_ptr,
    D, N, segments,
    GRADIENT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The states that enter the segments and, with GRADIENT, the gradients of those that leave."""
    blocks = tl.cdiv(N * D, BLOCK)
    sequence = (tl.program_id(0) // blocks).to(tl.int64)
    nd = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    inside = nd < N * D
    A = tl.load(A_ptr + nd, mask=inside, other=0.0)
    h = tl.zeros((BLOCK,), tl.float32)
    for segment in range(segments):
        place = sequence * segments + segment
        span = tl.load(span_ptr + place * D + nd % D, mask=inside, other=0.0)
        end = tl.load(end_ptr + place * N * D + nd, mask=inside, other=0.0)
        tl.store(enter_ptr + place * N * D + nd, h, mask=inside)
        h = tl.exp2(span * A) * h + end
    if GRADIENT:
        g = tl.zeros((BLOCK,), tl.float32)
        for back in range(segments):
            place = sequence * segments + segments - 1 - back
            span = tl.load(span_ptr + place * D + nd % D, mask=inside, other=0.0)
            start = tl.load(gstart_ptr + place * N * D + nd, mask=inside, other=0.0)
            tl.store(gleave_ptr + place * N * D + nd, g, mask=inside)
            g = tl.exp2(span * A) * g + start


@_kernel
def _outputs(
    dt_ptr, x_ptr, A_ptr, BC_ptr, order_ptr, state_ptr, y_ptr,
    L, D, N, K, G, group_blocks, group_channels, segments, steps,
    TILE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """y of each direction at image positions, from the entering states, which are overwritten."""
    sequence, segment, group, _, d, d_stop = _work(
        tl.program_id(0), segments, G, group_blocks, group_channels, BLOCK
    )
    image = sequence // K * L * D
    BC = BC_ptr + (sequence // K * G + group) * L * N * 2
    order = order_ptr + sequence % K * L
    place = sequence * segments + segment
    first = segment * steps
    stop = tl.minimum(first + steps, L)
    inside = d < d_stop

    for start in range(first, stop, TILE):
        positions = _positions(order, start, stop, TILE)
        dt = _rows(dt_ptr + image, positions, start, stop, D, d, d_stop, TILE)
        x = _rows(x_ptr + image, positions, start, stop, D, d, d_stop, TILE)
        y = _zeros(TILE, BLOCK)
        for n in range(N):
            state = (place * N + n) * D + d
            A = tl.load(A_ptr + n * D + d, mask=inside, other=0.0)
            b = _numbers(BC + n * 2, positions, start, stop, N, TILE)
            c = _numbers(BC + n * 2 + 1, positions, start, stop, N, TILE)
            h = tl.load(state_ptr + state, mask=inside, other=0.0)
            sums = ()
            for i in tl.static_range(TILE):
                h = tl.exp2(dt[i] * A) * h + x[i] * b[i]
                sums = sums + (y[i] + h * c[i],)
            y = sums
            tl.store(state_ptr + state, h, mask=inside)
        for i in tl.static_range(TILE):
            row = (sequence * L + positions[i]) * D + d
            tl.store(y_ptr + row, y[i], mask=d < tl.where(start + i < stop, d_stop, 0))
        tl.debug_barrier()  # the next tile loads what this one stored


@_kernel
def _gradients(
    dt_ptr, x_ptr, gy_ptr, A_ptr, BC_ptr, order_ptr, enter_ptr, gleave_ptr, scratch_ptr,
    gx_ptr, gdt_ptr, gA_ptr, gB_ptr, gC_ptr,
    L, D, N, K, G, group_blocks, group_channels, segments, steps, items,
    TILE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Gradients of dt * u and of dt (over ln 2, through the decay alone) at image positions, of A
    by segment, of B and C by block of channels and step. The leaving gradients are overwritten.
    """
    program = tl.program_id(0)
    slot = N * BLOCK
    scratch = scratch_ptr + program.to(tl.int64) * (steps // TILE) * slot + tl.arange(0, BLOCK)
    for item in range(program, items, tl.num_programs(0)):
        sequence, segment, group, block, d, d_stop = _work(
            item, segments, G, group_blocks, group_channels, BLOCK
        )
        image = sequence // K * L * D
        BC = BC_ptr + (sequence // K * G + group) * L * N * 2
        order = order_ptr + sequence % K * L
        place = sequence * segments + segment
        first = segment * steps
        stop = tl.minimum(first + steps, L)
        inside = d < d_stop

        # The states before each tile.
        for n in range(N):
            h = tl.load(enter_ptr + (place * N + n) * D + d, mask=inside, other=0.0)
            tl.store(scratch + n * BLOCK, h)
        tl.debug_barrier()
        for start in range(first, stop - TILE, TILE):
            kept = scratch + (start - first) // TILE * slot
            positions = _positions(order, start, stop, TILE)
            dt = _rows(dt_ptr + image, positions, start, stop, D, d, d_stop, TILE)
            x = _rows(x_ptr + image, positions, start, stop, D, d, d_stop, TILE)
            for n in range(N):
                A = tl.load(A_ptr + n * D + d, mask=inside, other=0.0)
                b = _numbers(BC + n * 2, positions, start, stop, N, TILE)
                h = tl.load(kept + n * BLOCK)
                for i in tl.static_range(TILE):
                    h = tl.exp2(dt[i] * A) * h + x[i] * b[i]
                tl.store(kept + slot + n * BLOCK, h)
            tl.debug_barrier()  # the next tile loads what this one stored

        # The tiles backwards.
        tiles = tl.cdiv(stop - first, TILE)
        for back in range(tiles):
            tile = tiles - 1 - back
            start = first + tile * TILE
            positions = _positions(order, start, stop, TILE)
            dt = _rows(dt_ptr + image, positions, start, stop, D, d, d_stop, TILE)
            x = _rows(x_ptr + image, positions, start, stop, D, d, d_stop, TILE)
            gy = _rows(gy_ptr + image, positions, start, stop, D, d, d_stop, TILE)
            gx = _zeros(TILE, BLOCK)
            gdt = _zeros(TILE, BLOCK)
            t = tl.arange(0, TILE)
            begun = d < tl.where(back > 0, d_stop, 0)
            for n in range(N):
                state = (place * N + n) * D + d
                A = tl.load(A_ptr + n * D + d, mask=inside, other=0.0)
                b = _numbers(BC + n * 2, positions, start, stop, N, TILE)
                c = _numbers(BC + n * 2 + 1, positions, start, stop, N, TILE)
                h = tl.load(scratch + tile * slot + n * BLOCK)
                decays, before = (), ()
                gC = tl.zeros((TILE,), tl.float32)
                for i in tl.static_range(TILE):
                    a = tl.exp2(dt[i] * A)
                    decays = decays + (a,)
                    before = before + (h,)
                    h = a * h + x[i] * b[i]
                    gC = tl.where(t == i, tl.sum(h * gy[i], axis=0), gC)

                g = tl.load(gleave_ptr + state, mask=inside, other=0.0)
                gA = tl.load(gA_ptr + state, mask=begun, other=0.0)
                gB = tl.zeros((TILE,), tl.float32)
                gx_sums, gdt_sums = (), ()
                for i in tl.static_range(TILE - 1, -1, -1):
                    g = g + c[i] * gy[i]
                    gB = tl.where(t == i, tl.sum(g * x[i], axis=0), gB)
                    gx_sums = (gx[i] + g * b[i],) + gx_sums
                    g = decays[i] * g
                    through_decay = g * before[i]
                    gdt_sums = (gdt[i] + through_decay * A,) + gdt_sums
                    gA = gA + through_decay * dt[i]
                gx, gdt = gx_sums, gdt_sums
                tl.store(gleave_ptr + state, g, mask=inside)
                tl.store(gA_ptr + state, gA, mask=inside)
                steps_n = ((sequence * G * group_blocks + block) * N + n) * L + start + t
                tl.store(gB_ptr + steps_n, gB, mask=start + t < stop)
                tl.store(gC_ptr + steps_n, gC, mask=start + t < stop)
            for i in tl.static_range(TILE):
                mask = d < tl.where(start + i < stop, d_stop, 0)
                row = (sequence * L + positions[i]) * D + d
                tl.store(gx_ptr + row, gx[i], mask=mask)
                tl.store(gdt_ptr + row, gdt[i], mask=mask)
            tl.debug_barrier()  # the next tile loads what this one stored


class _Problem(NamedTuple):
    """The inputs as the kernels want them, float32 and channels-last, and how they are cut up."""

    u_BLD: Tensor
    dt_BLD: Tensor
    x_BLD: Tensor  # dt * u
    A_ND: Tensor  # over ln 2: the kernels take powers of two
    BC_BGLN2: Tensor  # B and C side by side
    orders_KL: Tensor
    steps: int  # of a segment

    @property
    def states_QSND(self) -> tuple[int, int, int, int]:
        """The shape of one state for every segment."""
        (batch, length, channels), directions = self.u_BLD.shape, len(self.orders_KL)
        return batch * directions, triton.cdiv(length, self.steps), len(self.A_ND), channels

    @property
    def blocks(self) -> tuple[int, int]:
        """Groups, and blocks of channels in each."""
        groups = self.BC_BGLN2.shape[1]
        return groups, triton.cdiv(self.u_BLD.shape[2] // groups, BLOCK)

    @property
    def items(self) -> int:
        """Programs, when each has one segment of one block of channels."""
        sequences, segments, _, _ = self.states_QSND
        return sequences * segments * prod(self.blocks)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers that all kernels but `_carry` take, from L to steps."""
        _, segments, state, channels = self.states_QSND
        directions, length = self.orders_KL.shape
        groups, group_blocks = self.blocks
        per_group = channels // groups
        return (
            *(length, channels, state, directions),
            *(groups, group_blocks, per_group, segments, self.steps),
        )


def _prepare(
    u_BDL: Tensor,
    delta_BDL: Tensor,
    A_DN: Tensor,
    B_BGNL: Tensor,
    C_BGNL: Tensor,
    bias_D: Tensor | None,
    orders_KL: Tensor,
    softplus: bool,
    *,
    programs: int,
) -> _Problem:
    """The segments are as short as it takes to have so many programs, but `SEGMENT` at least."""
    (batch, channels, length), groups = u_BDL.shape, B_BGNL.shape[1]
    uncut = batch * len(orders_KL) * groups * triton.cdiv(channels // groups, BLOCK)
    steps = max(SEGMENT, triton.cdiv(length, max(1, programs // uncut)))
    u_BLD, dt_BLD = _channels_last(u_BDL), _channels_last(delta_BDL)
    if bias_D is not None:
        dt_BLD = dt_BLD + bias_D.float()
    if softplus:
        dt_BLD = F.softplus(dt_BLD)
    return _Problem(
        u_BLD=u_BLD,
        dt_BLD=dt_BLD,
        x_BLD=dt_BLD * u_BLD,
        A_ND=(A_DN.float() / log(2)).T.contiguous(),
        BC_BGLN2=torch.stack((B_BGNL.mT.float(), C_BGNL.mT.float()), dim=-1),
        orders_KL=orders_KL.contiguous(),
        steps=TILE * triton.cdiv(min(steps, length), TILE),
    )


def _channels_last(x_BDL: Tensor) -> Tensor:
    return x_BDL.transpose(1, 2).float().contiguous()


def _launch(kernel: Any, programs: int, *arguments: Any, **constants: Any) -> None:
    """Start a kernel; a program is one warp."""
    kernel[(programs,)](*arguments, **constants, num_warps=1, num_stages=1, enable_fp_fusion=True)


def _boundary_states(p: _Problem, gy_BLD: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The states (Q, S, N, D) that enter segments; with gy, the gradients of those that leave."""
    sequences, segments, state, channels = p.states_QSND
    gradient = gy_BLD is not None
    enter = p.u_BLD.new_zeros(p.states_QSND)
    leave = torch.zeros_like(enter) if gradient else None
    if segments == 1:
        return enter, leave
    span = p.u_BLD.new_empty(sequences, segments, channels)
    end = torch.empty_like(enter)
    start = torch.empty_like(enter) if gradient else None
    _launch(
        _segment_ends,
        p.items,
        *(p.dt_BLD, p.x_BLD, gy_BLD, p.A_ND, p.BC_BGLN2, p.orders_KL, span, end, start),
        *p.sizes,
        GRADIENT=gradient,
        TILE=TILE,
        BLOCK=BLOCK,
    )
    _launch(
        _carry,
        sequences * triton.cdiv(state * channels, BLOCK),
        *(span, p.A_ND, end, enter, start, leave, channels, state, segments),
        GRADIENT=gradient,
        BLOCK=BLOCK,
    )
    return enter, leave


def forward(
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
    """y (B, D, L) in u's dtype, of checked arguments; see `pamm.ops.multi_directional_scan`."""
    if u_BDL.numel() == 0:
        return torch.empty_like(u_BDL)
    tensors = (u_BDL, delta_BDL, A_DN, B_BGNL, C_BGNL, bias_D, orders_KL)
    with _on(u_BDL.device):
        # More than one segment costs a second run through all states, so only to fill the GPU.
        p = _prepare(*tensors, softplus, programs=2 * PROGRAMS)
        state, _ = _boundary_states(p, None)
        y_QLD = p.u_BLD.new_empty(len(state), *p.u_BLD.shape[1:])
        _launch(
            _outputs,
            p.items,
            *(p.dt_BLD, p.x_BLD, p.A_ND, p.BC_BGLN2, p.orders_KL, state, y_QLD),
            *p.sizes,
            TILE=TILE,
            BLOCK=BLOCK,
        )
        y_BLD = y_QLD.unflatten(0, (len(u_BDL), -1)).sum(1)
        if D_D is not None:
            y_BLD = y_BLD + len(orders_KL) * D_D.float() * p.u_BLD
        return _like(u_BDL, y_BLD.transpose(1, 2))


def backward(
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
) -> tuple[Tensor | None, ...]:
    """The gradients of u, delta, A, B, C, D and bias, each in the shape and dtype of its argument,
    those of u and delta also in its layout; None where the argument is None.
    """
    arguments = (u_BDL, delta_BDL, A_DN, B_BGNL, C_BGNL, D_D, bias_D)
    if u_BDL.numel() == 0:
        return tuple(None if x is None else torch.zeros_like(x) for x in arguments)
    tensors = (u_BDL, delta_BDL, A_DN, B_BGNL, C_BGNL, bias_D, orders_KL)
    with _on(u_BDL.device):
        # Segments as short as can be: the scratch holds the states of a whole one.
        p, gy_BLD = _prepare(*tensors, softplus, programs=maxsize), _channels_last(grad_y_BDL)
        gx_BLD, gdt_BLD, gA_DN, gB_BGNL, gC_BGNL = _kernel_gradients(p, gy_BLD)
        gu_BLD = p.dt_BLD * gx_BLD
        gD_D = len(orders_KL) * (gy_BLD * p.u_BLD).sum((0, 1))
        if D_D is not None:
            gu_BLD = gu_BLD + len(orders_KL) * D_D.float() * gy_BLD
        gdelta_BLD = gdt_BLD + p.u_BLD * gx_BLD
        if softplus:
            gdelta_BLD = gdelta_BLD * -torch.expm1(-p.dt_BLD)  # 1 - exp(-softplus) is the sigmoid
        gradients = (gA_DN, gB_BGNL, gC_BGNL, gD_D, gdelta_BLD.sum((0, 1)))
        maps = (_like(u_BDL, gu_BLD.transpose(1, 2)), _like(delta_BDL, gdelta_BLD.transpose(1, 2)))
        rest = zip(arguments[2:], gradients, strict=True)
        return *maps, *(None if x is None else g.to(x.dtype).contiguous() for x, g in rest)


def _kernel_gradients(p: _Problem, gy_BLD: Tensor) -> tuple[Tensor, ...]:
    """The gradients of dt * u (B, L, D), of dt through the decays alone (B, L, D), of A (D, N), and
    of B and C (B, G, N, L), added up over the directions.
    """
    (batch, length, channels), (groups, group_blocks) = p.u_BLD.shape, p.blocks
    sequences, _, state, _ = p.states_QSND
    programs = min(p.items, PROGRAMS)
    enter, leave = _boundary_states(p, gy_BLD)
    scratch = p.u_BLD.new_empty(programs, p.steps // TILE, state, BLOCK)
    gA_QSND = torch.empty_like(enter)
    gx_QLD, gdt_QLD, gB_QGXNL, gC_QGXNL = (
        p.u_BLD.new_empty(sequences, *shape)
        for shape in 2 * [(length, channels)] + 2 * [(groups, group_blocks, state, length)]
    )
    _launch(
        _gradients,
        programs,
        *(p.dt_BLD, p.x_BLD, gy_BLD, p.A_ND, p.BC_BGLN2, p.orders_KL, enter, leave, scratch),
        *(gx_QLD, gdt_QLD, gA_QSND, gB_QGXNL, gC_QGXNL),
        *p.sizes,
        p.items,
        TILE=TILE,
        BLOCK=BLOCK,
    )
    gx_BLD, gdt_BLD = (x.unflatten(0, (batch, -1)).sum(1) for x in (gx_QLD, gdt_QLD))
    # The gradients of B and C are by step: at which step was each position visited?
    visits_KGNL = p.orders_KL.argsort(1)[:, None, None].expand(-1, groups, state, -1)

    def by_position(x_QGXNL: Tensor) -> Tensor:
        x_BKGNL = x_QGXNL.sum(2).unflatten(0, (batch, -1))
        return x_BKGNL.gather(-1, visits_KGNL.expand_as(x_BKGNL)).sum(1)

    gB_BGNL, gC_BGNL = by_position(gB_QGXNL), by_position(gC_QGXNL)
    return gx_BLD, log(2) * gdt_BLD, gA_QSND.sum((0, 1)).T, gB_BGNL, gC_BGNL


def _on(device: torch.device) -> AbstractContextManager[Any]:
    """Triton launches on the current device."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _like(argument: Tensor, values: Tensor) -> Tensor:
    """Values in the dtype and layout of an argument."""
    return torch.empty_like(argument).copy_(values)
