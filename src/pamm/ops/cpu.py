"""The compiled scan on a CPU: tensors in and out of the native library.

The library works in float32 with any strides; other dtypes are converted here, at the edges.
"""

import ctypes
import os

import torch
from torch import Tensor

from pamm import native

_POINTER = ctypes.c_void_p
_SIZE = ctypes.c_int64


class Problem(ctypes.Structure):
    """What the library is given; the same structure as in native/scan.cpp."""

    _fields_ = (
        *((name, _SIZE) for name in ("batch", "channels", "groups", "state", "length")),
        *((name, _SIZE) for name in ("directions", "softplus", "threads", "tile")),
        ("orders", _POINTER),
        *((name, _POINTER) for name in ("u", "delta", "A", "B", "C", "D", "bias")),
        ("u_stride", _SIZE * 3),
        ("delta_stride", _SIZE * 3),
        ("B_stride", _SIZE * 4),
        ("C_stride", _SIZE * 4),
        ("y", _POINTER),
        ("y_stride", _SIZE * 3),
        ("grad_y", _POINTER),
        *((f"grad_{name}", _POINTER) for name in ("u", "delta", "A", "B", "C", "D", "bias")),
        ("grad_y_stride", _SIZE * 3),
        ("grad_u_stride", _SIZE * 3),
        ("grad_delta_stride", _SIZE * 3),
    )


_threads_after_fork: int | None = None


def _one_thread_after_fork() -> None:
    """OpenMP's threads do not survive a fork, and starting them again in the child would hang."""
    global _threads_after_fork
    _threads_after_fork = 1


os.register_at_fork(after_in_child=_one_thread_after_fork)


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
    """The multi-directional scan of checked arguments -> y (B, D, L) in u's dtype and layout.

    Raises:
        MemoryError: the scratch memory could not be had.
    """
    given = _Given(u_BDL, delta_BDL, A_DN, B_BGNL, C_BGNL, D_D, bias_D, orders_KL, softplus)
    y_BDL = torch.empty_like(u_BDL, dtype=torch.float32)
    if y_BDL.numel():
        given.set("y", y_BDL)
        given.run("pamm_scan_forward")
    return y_BDL.to(u_BDL.dtype)


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
    """Gradients of u, delta, A, B, C, D and bias, each in the shape and dtype of its argument.

    Raises:
        MemoryError: the scratch memory could not be had.
    """
    arguments = (u_BDL, delta_BDL, A_DN, B_BGNL, C_BGNL, D_D, bias_D)
    given = _Given(*arguments, orders_KL, softplus)
    gradients = {
        "grad_u": torch.empty_like(u_BDL, dtype=torch.float32),
        "grad_delta": torch.empty_like(delta_BDL, dtype=torch.float32),
        "grad_A": torch.empty(A_DN.shape),
        "grad_B": torch.empty(B_BGNL.shape),
        "grad_C": torch.empty(C_BGNL.shape),
        "grad_D": torch.empty(len(A_DN)),
        "grad_bias": torch.empty(len(A_DN)),
    }
    if u_BDL.numel():
        given.set("grad_y", given.dense(grad_y_BDL))
        for name, gradient in gradients.items():
            given.set(name, gradient)
        given.run("pamm_scan_backward")
    else:
        for gradient in gradients.values():
            gradient.zero_()
    return tuple(
        None if argument is None else gradient.to(argument.dtype)
        for argument, gradient in zip(arguments, gradients.values(), strict=True)
    )


class _Given:
    """The arguments in float32, kept alive while the library works on them."""

    def __init__(
        self,
        u_BDL: Tensor,
        delta_BDL: Tensor,
        A_DN: Tensor,
        B_BGNL: Tensor,
        C_BGNL: Tensor,
        D_D: Tensor | None,
        bias_D: Tensor | None,
        orders_KL: Tensor,
        softplus: bool,
    ) -> None:
        self.problem = Problem(
            batch=u_BDL.shape[0],
            channels=u_BDL.shape[1],
            groups=B_BGNL.shape[1],
            state=A_DN.shape[1],
            length=u_BDL.shape[2],
            directions=len(orders_KL),
            softplus=softplus,
            threads=_threads_after_fork or torch.get_num_threads(),
        )
        self.kept: list[Tensor] = []
        self.set("u", self.dense(u_BDL))
        self.set("delta", self.dense(delta_BDL))
        self.set("A", A_DN.float().contiguous())
        self.set("B", B_BGNL.float())
        self.set("C", C_BGNL.float())
        self.set("orders", orders_KL.contiguous())
        if D_D is not None:
            self.set("D", D_D.float().contiguous())
        if bias_D is not None:
            self.set("bias", bias_D.float().contiguous())

    @staticmethod
    def dense(x_BDL: Tensor) -> Tensor:
        """In float32 with channels or positions next to each other, which are read fast."""
        x_BDL = x_BDL.detach().float()
        return x_BDL if 1 in x_BDL.stride()[1:] else x_BDL.contiguous()

    def set(self, name: str, tensor: Tensor) -> None:
        self.kept.append(tensor)
        setattr(self.problem, name, tensor.data_ptr())
        stride = f"{name}_stride"
        if hasattr(self.problem, stride):
            setattr(self.problem, stride, (_SIZE * tensor.dim())(*tensor.stride()))

    def run(self, name: str) -> None:
        library = native.library()
        assert library is not None  # or this backend would not have been chosen
        if getattr(library, name)(ctypes.byref(self.problem)):
            raise MemoryError(f"{name}: no memory for its scratch space")
