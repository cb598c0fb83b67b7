"""What the benchmark of the scan compares: the backends of `pamm.ops`, and what they replace.

What they replace is a scan in one direction, run on a permuted copy for every direction. B batch,
D channels, N states, L positions; B and C have one group: (B, N, L).
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module, util

import torch
from torch import Tensor
from torch.nn import functional as F

from pamm.errors import PammError, unknown
from pamm.ops import backend_problem, multi_directional_scan
from pamm.ops.scan import BACKENDS, COMPILED

Scan = Callable[..., Tensor]
"""(u, delta, A, B, C, D, bias, orders) -> y, shapes as in `pamm.ops.multi_directional_scan`."""

SEQUENTIAL = "sequential PyTorch"
MAMBAPY = "mambapy"
MAMBA_SSM = "mamba-ssm"
PEERS = (SEQUENTIAL, MAMBAPY, MAMBA_SSM)


def implementations(device: str, names: Sequence[str] = ()) -> dict[str, Scan]:
    """The scans that run on a device ("cpu" or "cuda"), the backends of `pamm.ops` first.

    Args:
        device: where the tensors are.
        names: only these, if there are any.

    Raises:
        PammError: one of the names is unknown, or cannot run there; the message says why.
    """
    absent = missing(device)
    known = [*BACKENDS, *PEERS]
    for name in names:
        if name not in known:
            raise PammError(unknown("implementation", name, known))
        if name in absent:
            raise PammError(f"implementation {name!r} cannot be measured: {absent[name]}")
    return {name: _scan(name) for name in names or known if name not in absent}


def missing(device: str) -> dict[str, str]:
    """Why the others cannot run there, and how to get them."""
    reasons = {name: backend_problem(name) for name in BACKENDS}
    for kind, name in COMPILED.items():
        if kind != device:
            reasons[name] = reasons[name] or f"it is for {kind} tensors, these are on {device}"
    if not _importable("mambapy"):
        reasons[MAMBAPY] = "not installed: pip install mambapy"
    if device != "cuda":
        reasons[MAMBA_SSM] = "it needs a CUDA GPU"
    elif not _importable("mamba_ssm"):
        reasons[MAMBA_SSM] = "not installed: pip install mamba-ssm (it builds CUDA kernels)"
    return {name: reason for name, reason in reasons.items() if reason}


def _importable(package: str) -> bool:
    return util.find_spec(package) is not None


def _scan(name: str) -> Scan:
    if name in PEERS:
        makers: Mapping[str, Callable[[], Scan]] = {
            SEQUENTIAL: lambda: sequential_scan,
            MAMBAPY: _mambapy_scan,
            MAMBA_SSM: _mamba_ssm_scan,
        }
        return in_all_directions(makers[name]())

    def backend(*arguments: Tensor) -> Tensor:
        *tensors, orders = arguments
        return multi_directional_scan(*tensors, orders=orders, backend=name)

    return backend


def in_all_directions(scan: Scan) -> Scan:
    """A scan along the sequence, run on a permuted copy for every order, the outputs put back."""

    def scan_all(
        u: Tensor,
        delta: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor,
        bias: Tensor,
        orders: Tensor,
    ) -> Tensor:
        y = torch.zeros_like(u)
        for order in orders:
            u_k, delta_k, B_k, C_k = (v[..., order] for v in (u, delta, B, C))
            y = y + scan(u_k, delta_k, A, B_k, C_k, D, bias)[..., order.argsort()]
        return y

    return scan_all


def sequential_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, bias: Tensor
) -> Tensor:
    """The loop over the positions that stands in for a missing kernel, differentiated by PyTorch.

    The positions are taken apart with `unbind`, once: where they are indexed in every step, as is
    often done, the backward pass takes time quadratic in the length.
    """
    delta = F.softplus(delta + bias[:, None])
    decay = torch.exp(delta[..., None] * A[:, None])  # (B, D, L, N)
    x = (delta * u)[..., None] * B.transpose(1, 2)[:, None]
    h = torch.zeros_like(x[:, :, 0])
    outputs = []
    for decay_t, x_t, C_t in zip(decay.unbind(2), x.unbind(2), C.unbind(2), strict=True):
        h = decay_t * h + x_t
        outputs.append((h @ C_t[..., None]).squeeze(-1))
    return torch.stack(outputs, 2) + D[:, None] * u


def _mambapy_scan() -> Scan:
    """The parallel (Blelloch) scan of mambapy, and around it what its selective scan does."""
    pscan = import_module("mambapy.pscan").pscan

    def scan(
        u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, bias: Tensor
    ) -> Tensor:
        u_BLD = u.transpose(1, 2)
        delta_BLD = F.softplus(delta + bias[:, None]).transpose(1, 2)
        decay_BLDN = torch.exp(delta_BLD[..., None] * A)
        x_BLDN = (delta_BLD * u_BLD)[..., None] * B.transpose(1, 2)[:, :, None]
        h_BLDN = pscan(decay_BLDN, x_BLDN)
        y_BLD = (h_BLDN @ C.transpose(1, 2)[..., None]).squeeze(-1) + D * u_BLD
        return y_BLD.transpose(1, 2)

    return scan


def _mamba_ssm_scan() -> Scan:
    """The CUDA kernel of mamba-ssm."""
    kernel = import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn

    def scan(
        u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, bias: Tensor
    ) -> Tensor:
        return kernel(u, delta, A, B, C, D, delta_bias=bias, delta_softplus=True)

    return scan
