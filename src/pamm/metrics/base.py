"""What all metrics share: an additive state, argument checks, sums that do not depend on order."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

State = dict[str, Tensor]

# Quanta of the three parts of an exact sum: 36 bits each, so that 2**17 images of any usual size
# add up without rounding, whatever their order.
_QUANTA = (1.0, 2.0**-36, 2.0**-72)


class Metric(ABC):
    """A score over a data set, fed batch by batch.

    The state is a dictionary of int64 counts and float64 sums on the CPU. States add up: the sum of
    the states of several processes, given to `load_state`, yields the score of all their images,
    to the last digit the score that one process would have computed.
    """

    slow: ClassVar[bool] = False
    """Whether an image takes long, so that it is worth a thread (`InThreads`)."""

    def __init__(self) -> None:
        self._state = self._empty_state()

    @abstractmethod
    def _empty_state(self) -> State:
        """The state before the first image: zeros of the right names, shapes and dtypes."""

    @abstractmethod
    def measure(self, prediction: Tensor, target: Tensor) -> State:
        """What one batch adds to the state, which stays as it is; see `update`."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The scores so far; NaN where nothing valid has been seen. Does not change the state."""

    @abstractmethod
    def describe(self) -> dict[str, str | float]:
        """The protocol in words and numbers, for the report that the scores go into."""

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add one batch; shapes and values as in the docstring of the class. Any device and dtype.

        Raises TypeError or ValueError for arguments of another kind, and then leaves the state
        as it was.
        """
        with torch.no_grad():
            self.add(self.measure(prediction, target))

    def add(self, measured: State) -> None:
        """Add what `measure` gave."""
        for name, value in measured.items():
            self._state[name] += value.cpu()

    def reset(self) -> None:
        """Forget all images."""
        self._state = self._empty_state()

    def state(self) -> State:
        """A copy of the state: name -> int64 count or float64 sum, on the CPU."""
        return {name: value.clone() for name, value in self._state.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Replace the state, for example by the sum of the states of several processes.

        Raises ValueError when names, shapes or dtypes are not those of this metric's own state.
        """
        wanted = self._empty_state()
        if set(state) != set(wanted):
            raise ValueError(f"state: got the entries {sorted(state)}, want {sorted(wanted)}")
        for name, value in wanted.items():
            given = state[name]
            if given.shape != value.shape or given.dtype != value.dtype:
                raise ValueError(
                    f"state[{name!r}]: got {given.dtype} {tuple(given.shape)}, want "
                    f"{value.dtype} {tuple(value.shape)}; was it written by a metric with other "
                    "settings?"
                )
        self._state = {name: state[name].detach().cpu().clone() for name in wanted}


def check_pair(prediction: Tensor, target: Tensor, *, channels: int | None) -> None:
    """Raise unless both are tensors (B,channels,H,W), or (B,H,W) for None, of one shape."""
    wanted = "(B, H, W)" if channels is None else f"(B, {channels}, H, W)"
    for name, value in (("prediction", prediction), ("target", target)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name}: got {type(value).__name__}, want a torch.Tensor {wanted}")
        shape = tuple(value.shape)
        fits = len(shape) == 3 if channels is None else len(shape) == 4 and shape[1] == channels
        if not fits:
            raise ValueError(f"{name}: got shape {shape}, want {wanted}")
    if prediction.shape != target.shape:
        raise ValueError(
            f"target: got shape {tuple(target.shape)}, want the prediction's "
            f"{tuple(prediction.shape)}"
        )
    if prediction.is_complex() or target.is_complex():
        raise TypeError(f"got {prediction.dtype} and {target.dtype}, want real numbers")


def check_binary(target: Tensor, *, ignore_index: int) -> None:
    """Raise unless every value of the target is 0, 1 or ignore_index."""
    fits = (target == 0) | (target == 1) | (target == ignore_index)
    if not bool(fits.all()):
        worst = target[~fits].flatten()[0].item()
        raise ValueError(f"target: got the value {worst}, want 0, 1 or {ignore_index} (ignored)")


def check_probability(prediction: Tensor) -> None:
    """Raise unless every value is in 0..1 (NaN is not)."""
    fits = (prediction >= 0) & (prediction <= 1)
    if not bool(fits.all()):
        worst = prediction[~fits].flatten()[0].item()
        raise ValueError(
            f"prediction: got the value {worst}, want probabilities in 0..1; decode logits first"
        )


def to_float64(tensor: Tensor) -> Tensor:
    """The tensor in double precision, on its own device where that has double precision."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def count(mask: Tensor) -> Tensor:
    """The number of true elements, int64 ()."""
    return mask.sum(dtype=torch.int64)


def sum_per_image(values: Tensor, valid: Tensor) -> Tensor:
    """Sum values (B,...) where valid (B,...): the (3,) parts of an exact sum (see `exact_parts`).

    Each image is summed by itself, so that the result does not depend on how images were batched.
    """
    images = [exact_parts(v[m].sum()) for v, m in zip(values, valid, strict=True)]
    return torch.stack(images).sum(0) if images else torch.zeros(3, dtype=torch.float64)


def exact_parts(value: Tensor) -> Tensor:
    """Split a float64 scalar into multiples of three fixed quanta, float64 (3,).

    Floating point sums depend on the order of their terms; sums of multiples of one quantum are
    exact, and do not.
    """
    parts = []
    rest = value.double()
    for quantum in _QUANTA:
        part = (rest / quantum).round() * quantum
        rest = rest - part
        parts.append(part)
    return torch.stack(parts)


def ratio(numerator: Tensor, denominator: Tensor) -> float:
    """numerator / denominator, summing the parts of each; NaN where the denominator is 0."""
    below = float(denominator.sum())
    return float(numerator.sum()) / below if below else float("nan")
