"""The public scan functions: argument checks and the choice of a backend.

A backend gets arguments that were checked here, B and C always with their group axis, and orders
always given. "reference" is PyTorch operations on any device; the compiled ones serve one kind of
device each and are behind one operator.
"""

import weakref
from importlib import metadata, util

import torch
from torch import Tensor

from pamm import native
from pamm.ops import operator, reference
from pamm.ops.plain import is_plain

#: Kind of device -> the compiled backend that serves it.
COMPILED = {"cpu": "cpu", "cuda": "triton"}
BACKENDS = (*COMPILED.values(), "reference")
TRITON = (3, 3)
"""The first version that compiles the kernels."""

_permutations: weakref.WeakValueDictionary[int, Tensor] = weakref.WeakValueDictionary()


def available_backends() -> tuple[str, ...]:
    """The names that `backend=` accepts here besides "auto"."""
    return tuple(name for name in BACKENDS if not backend_problem(name))


@torch.compiler.assume_constant_result
def backend_problem(name: str) -> str:
    """One line: why a backend cannot be used on this machine and what to do; "" if it can."""
    if name == "cpu":
        return native.problem()
    if name == "triton":
        if not torch.cuda.is_available():
            return "PyTorch can use no GPU"
        if util.find_spec("triton") is None:
            return "Triton is missing: install a PyTorch with CUDA or ROCm, which brings it"
        if (version := _version("triton")) < TRITON:
            found, wanted = (".".join(map(str, v)) for v in (version, TRITON))
            return f"Triton is {found}, the scan wants {wanted}: install PyTorch 2.7 or newer"
    return ""


def _version(package: str) -> tuple[int, ...]:
    """Major and minor version; TRITON itself where nothing tells (ROCm's has another name)."""
    try:
        return tuple(int(n) for n in metadata.version(package).split(".")[:2])
    except metadata.PackageNotFoundError:
        return TRITON


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    *,
    softplus: bool = True,
    backend: str = "auto",
) -> Tensor:
    """Mamba's selective scan over one sequence (paper eqs. 1-7, B discretised as delta * B).

    Per batch b, channel d and state n, over the positions l in order::

        delta = softplus(delta + delta_bias)
        h[n]  = exp(delta * A[d, n]) * h[n] + delta * B[b, n, l] * u[b, d, l]
        y[l]  = sum_n C[b, n, l] * h[n] + D[d] * u[b, d, l]

    Args:
        u, delta: (batch, channels, length), any floating dtype.
        A: (channels, state), normally negative.
        B, C: (batch, state, length), or (batch, groups, state, length) with groups dividing
            channels: channel c uses group ``c // (channels // groups)``.
        D, delta_bias: (channels,) or None for zero.
        softplus: whether delta goes through softplus.
        backend: "auto" or one of `available_backends()`.

    Returns:
        y (batch, channels, length) in u's dtype; the state is kept in float32 or better.
        Differentiable in all seven tensors.

    Raises:
        ValueError, TypeError: an argument's shape, dtype or device does not fit, or the backend is
            unknown or unavailable; the message names the argument.
    """
    orders = torch.arange(u.shape[-1], device=u.device)[None]
    return multi_directional_scan(
        u, delta, A, B, C, D, delta_bias, orders=orders, softplus=softplus, backend=backend
    )


def multi_directional_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    *,
    orders: Tensor,
    softplus: bool = True,
    backend: str = "auto",
) -> Tensor:
    """`selective_scan` run once per visiting order, the outputs added in image order (eq. 20).

    Args:
        orders: int64 (directions, length); ``orders[k, t]`` is the image position visited at step
            t in direction k, each row a permutation of ``range(length)``.

    The other arguments, the dtype of the result and the errors are those of `selective_scan`.
    D is added once per direction.

    Returns:
        y (batch, channels, length): ``y[..., p]`` is the sum over k of the scan in order k, read
        back at image position p.
    """
    check_tensors(u, delta, A, B, C, D, delta_bias)
    check_orders(orders, length=u.shape[-1], device=u.device)
    if B.dim() == 3:
        B = B[:, None]
    if C.dim() == 3:
        C = C[:, None]
    tensors = (u, delta, A, B, C, D, delta_bias)
    if chosen_backend(backend, *tensors) == "reference":
        return reference.scan(*tensors, orders_KL=orders, softplus=softplus)
    return operator.scan(*tensors, orders, softplus)


def chosen_backend(name: str, *tensors: Tensor | None) -> str:
    """The backend that `name` means for these tensors, which are all on one device.

    "auto" is the compiled one of the device, if there is one here that has the precision.

    Raises:
        ValueError: unknown, not available here, or not for this device.
        TypeError: not for these dtypes.
    """
    given = [tensor for tensor in tensors if tensor is not None]
    device = given[0].device.type
    double = any(tensor.dtype == torch.float64 for tensor in given)
    if name == "auto":
        if device == "meta":  # shapes only, which every compiled backend knows
            return "cpu"
        compiled = COMPILED.get(device)
        usable = compiled is not None and not double and not backend_problem(compiled)
        return compiled if compiled and usable else "reference"
    if name not in BACKENDS:
        raise ValueError(
            f"backend: got {name!r}, which is unknown; use 'auto' or one of {', '.join(BACKENDS)}"
        )
    if name == "reference":
        return name
    if problem := backend_problem(name):
        raise ValueError(f"backend: {name!r} is not available here: {problem}")
    if COMPILED.get(device) != name:
        raise ValueError(f"backend: {name!r} does not work on {device} tensors; use 'auto'")
    if double:
        raise TypeError(f"backend: {name!r} works in float32, got float64; use 'auto'")
    return name


def check_tensors(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
) -> None:
    """Raise a ValueError or TypeError naming the first argument that does not fit the others."""
    given = {"u": u, "delta": delta, "A": A, "B": B, "C": C, "D": D, "delta_bias": delta_bias}
    for name, tensor in given.items():
        if tensor is None and name in ("D", "delta_bias"):
            continue
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name}: got {type(tensor).__name__}, want a torch.Tensor")
        if not tensor.is_floating_point():
            raise TypeError(f"{name}: got dtype {tensor.dtype}, want a real floating-point dtype")
        if tensor.device != u.device:
            raise ValueError(f"{name}: is on {tensor.device}, want {u.device}, where u is")
    if u.dim() != 3 or u.shape[-1] == 0:
        raise ValueError(f"u: got shape {tuple(u.shape)}, want (batch, channels, length >= 1)")
    batch, channels, length = u.shape
    if A.dim() != 2 or A.shape[0] != channels:
        raise ValueError(f"A: got shape {tuple(A.shape)}, want (channels={channels}, state)")
    _want("delta", delta, (batch, channels, length))
    for name, tensor in (("B", B), ("C", C)):
        groups = tensor.shape[1:2] if tensor.dim() == 4 else ()
        if groups and (groups[0] == 0 or channels % groups[0]):
            raise ValueError(
                f"{name}: got {groups[0]} groups, want a divisor of {channels} channels"
            )
        _want(name, tensor, (batch, *groups, A.shape[1], length))
    if (B.shape[1] if B.dim() == 4 else 1) != (C.shape[1] if C.dim() == 4 else 1):
        raise ValueError(f"C: got shape {tuple(C.shape)}, want the groups of B, {tuple(B.shape)}")
    for name, vector in (("D", D), ("delta_bias", delta_bias)):
        if vector is not None:
            _want(name, vector, (channels,))


def _want(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        raise ValueError(f"{name}: got shape {tuple(tensor.shape)}, want {tuple(shape)}")


def check_orders(orders: Tensor, *, length: int, device: torch.device) -> None:
    """Raise unless orders is int64 (directions, length), on the device, each row a permutation.

    The contents are looked at once per tensor object, so that a cached order costs nothing.
    """
    if not isinstance(orders, Tensor) or orders.dtype != torch.int64:
        got = orders.dtype if isinstance(orders, Tensor) else type(orders).__name__
        raise TypeError(f"orders: got {got}, want an int64 tensor")
    if orders.dim() != 2 or orders.shape[0] == 0 or orders.shape[1] != length:
        raise ValueError(
            f"orders: got shape {tuple(orders.shape)}, want (directions >= 1, length={length})"
        )
    if orders.device != device:
        raise ValueError(f"orders: is on {orders.device}, want {device}, where u is")
    if not is_plain(orders) or _permutations.get(id(orders)) is orders:
        return
    identity = torch.arange(length, device=device)
    if not torch.equal(orders.sort(dim=1).values, identity.expand_as(orders)):
        raise ValueError(f"orders: want every row a permutation of range({length})")
    _permutations[id(orders)] = orders
