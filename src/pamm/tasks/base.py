"""What a task is: everything that one kind of prediction needs, from its loss to its colours.

Shapes: B images, C = `Task.channels`, H x W pixels; `*lead` is `Task.target_lead`, the axes that a
target has in front of H and W.

`pamm.metrics` is imported where a metric is made: it needs SciPy, which predicting does not.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pamm.errors import PammError, check_name
from pamm.runtime.ranges import Channels, Weight, check_fields
from pamm.tasks.match import Match

if TYPE_CHECKING:
    from pamm.metrics import Metric

IGNORE = 255
"""The value of class maps, saliency and boundary maps that marks a pixel without a label."""

Protocol = Literal["official", "plain"]
"""How scores are computed: as the published ones were, or without their peculiarities."""

FRACTION = "fraction"
"""The unit of scores from 0 to 1, such as a mean intersection over union."""

Array = NDArray[Any]
Picture = NDArray[np.uint8]
"""A picture to look at: uint8 (H, W, 3), sRGB."""
ReduceMean = Callable[[Tensor], Tensor]
"""Averages counts over the processes of a training."""


def of_one_process(count: Tensor) -> Tensor:
    """What reduces the counts of one process: they are the mean."""
    return count


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """One prediction per pixel. Subclasses say how it is trained, decoded, scored and drawn.

    All of it works pixel by pixel except the sums in `loss`, so a caller may decode or draw an
    image in pieces.
    """

    type_name: ClassVar[str]
    """The key in `TASK_TYPES`, and the default `name`."""
    title: ClassVar[str]
    """The name in words, for pictures and tables."""
    score: ClassVar[str]
    """The key of the main number in `metric().compute()`."""
    higher_is_better: ClassVar[bool]
    unit: ClassVar[str]
    """Of the main number: FRACTION, which tables show in per cent, "degrees", "m" or another; of a
    plain number ""."""
    target_lead: ClassVar[tuple[int, ...]]
    """The axes of an un-batched target before (H, W): () for class maps, (3,) for normals."""
    target_dtype: ClassVar[torch.dtype]
    limits_crops: ClassVar[bool] = False
    """Whether random crops should not be filled by one class of this task."""

    name: str
    channels: Channels
    loss_weight: Weight = 1.0

    def __post_init__(self) -> None:
        check_name("task", self.name)
        check_fields(self, f"task {self.name!r}: ")

    def loss(
        self, logits: Tensor, target: Tensor, *, reduce_mean: ReduceMean = of_one_process
    ) -> Tensor:
        """The training loss, a scalar, before `loss_weight`: the mean over the valid pixels.

        It is `mean_loss` of the `loss_sums`.

        Where several processes have a part of the batch each, the mean of their losses is the loss
        of the whole batch: each divides its sum by the mean number of valid pixels.

        Args:
            logits: (B, C, H, W) of any float type; computed in float32 at least.
            target: (B, *lead, H, W).
            reduce_mean: averages counts over these processes; all of them must call.

        Returns:
            A scalar; 0 with a zero gradient where no pixel is valid.

        Raises:
            ValueError: where the shapes do not match.
        """
        sums, counts = self.loss_sums(logits, target)
        return self.mean_loss(sums, reduce_mean(counts))

    def loss_sums(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """What the loss is made of, and what adds up over images: sums and numbers of pixels.

        The loss of several images together is `mean_loss` of their added sums and counts, however
        they are divided into batches.

        Args:
            logits, target: as of `loss`.

        Returns:
            Float32 or float64 (K,), of the values at the valid pixels, and whole numbers (K',), the
            last of which is that of the valid pixels; what the K kinds are is the task's affair.

        Raises:
            ValueError: where the shapes do not match.
        """
        self._check_logits(logits)
        wanted = (logits.shape[0], *self.target_lead, *logits.shape[2:])
        if tuple(target.shape) != wanted:
            raise ValueError(
                f"task {self.name!r}: target has shape {tuple(target.shape)}, but logits of shape "
                f"{tuple(logits.shape)} want {wanted}"
            )
        return self._loss_sums(at_least_float32(logits), target)

    def mean_loss(self, sums: Tensor, counts: Tensor) -> Tensor:
        """The loss, a scalar, of what `loss_sums` gave; 0 where no pixel is valid."""
        return sums.sum() / at_least_some(counts[-1])

    def is_labelled(self, target: Tensor) -> Tensor:
        """Where a target (..., H, W) holds a label; of the same shape, bool."""
        return target != self.pad_value

    def is_scored(self, target: Tensor) -> Tensor:
        """Which images (B,) of a target (B, *lead, H, W) hold anything that the score counts."""
        return self.is_labelled(target).flatten(1).any(dim=1)

    def decode(self, logits: Tensor) -> Tensor:
        """Logits (B, C, H, W) to the prediction in units, see the subclass. Pixel by pixel."""
        self._check_logits(logits)
        return self._decode(at_least_float32(logits))

    @abstractmethod
    def metric(self) -> "Metric":
        """A fresh metric; it takes what `decode` returns, and the target."""

    def with_protocol(self, protocol: Protocol) -> "Task":
        """The task as it is scored under a protocol.

        "official" is how the published scores were computed, "plain" leaves their peculiarities
        out. Tasks that are scored in one way only stay as they are.
        """
        return self

    @abstractmethod
    def to_mean_space(self, logits: Tensor) -> Tensor:
        """Logits (B, C, H, W) as values of which a mean over several views makes sense.

        They are in the units of predictions, so `flip` and `rescale` hold for them: probabilities
        of the classes (B, C, H, W) or of "yes" (B, 1, H, W), unit vectors, metres.
        """

    @abstractmethod
    def from_mean_space(self, values: Tensor) -> Tensor:
        """Means of what `to_mean_space` gave, as logits (B, C, H, W) that `decode` to them."""

    @property
    @abstractmethod
    def pad_value(self) -> int | float:
        """What a target holds where there is no label: the value to pad it with."""

    @property
    def initial_output(self) -> float:
        """Where the last bias of the decoder head should start."""
        return 0.0

    def missing(self, height: int, width: int) -> Tensor:
        """The target (*lead, height, width) of an image that has no label for this task."""
        shape = (*self.target_lead, height, width)
        return torch.full(shape, self.pad_value, dtype=self.target_dtype)

    @abstractmethod
    def constant_prediction(self, targets: Iterable[Tensor], *, everywhere: bool = False) -> Tensor:
        """The best guess of someone who never sees an image: a floor for any score.

        Args:
            targets: un-batched (*lead, H, W); all of one size, but where `everywhere`.
            everywhere: make one guess for all positions, which fits images of any size.

        Returns:
            A prediction as of `decode`, without the batch axis: at each position the mean of the
            labels there, of class maps the most frequent class. Where `everywhere`, the same of
            all positions together, (*lead, 1, 1).

        Raises:
            ValueError: no target, or several sizes where one is wanted.
        """

    def flip(self, target: Tensor) -> Tensor:
        """The target or prediction (..., H, W) of the image mirrored left to right."""
        return target.flip(-1)

    def rescale(self, target: Tensor, scale: float) -> Tensor:
        """What the VALUES of a target or prediction become in an image enlarged `scale` times.

        Only depth changes, of images through one lens: an object drawn twice as large is half as
        far. Resampling the pixels is the caller's affair.
        """
        return target

    def after_crop(self, target: Tensor) -> Tensor:
        """What becomes of a target (*lead, H, W) once its image has been cropped, before padding.

        For tasks whose labels are of no use in some images as a whole.
        """
        return target

    @abstractmethod
    def to_array(self, prediction_or_target: Tensor) -> Array:
        """One prediction or target without the batch axis, as the array a user works with."""

    @abstractmethod
    def colourise(self, array: Array, value_range: tuple[float, float] | None = None) -> Picture:
        """A picture (H, W, 3) of what `to_array` returned; no label is `colours.INVALID`.

        `value_range` fixes which values get the first and the last colour, so that pictures can
        be compared; it counts only for tasks whose `value_range` is not None.
        """

    def value_range(self, array: Array) -> tuple[float, float] | None:
        """The values that `colourise` stretches over its colours, in `unit`.

        None where its colours are fixed, or where nothing is labelled.
        """
        return None

    def caption(self, value_range: tuple[float, float] | None = None) -> str:
        """The heading of a picture, such as "depth, 0.8 to 4.6 m"."""
        title = self.title if self.name == self.type_name else self.name.replace("_", " ")
        if value_range is None:
            return title
        return f"{title}, {value_range[0]:.1f} to {value_range[1]:.1f} {self.unit}".rstrip()

    def legend(self, array: Array) -> dict[str, tuple[int, int, int]]:
        """The named colours in the picture of `array`: {name: RGB}; empty without class names."""
        return {}

    def match(self, labels: "Task") -> Match:
        """How predictions of this task are scored on the labels of another data set.

        Args:
            labels: the task of this name as that data set has it.

        Raises:
            PammError: they are not of one type, or have nothing in common.
        """
        if type(self) is not type(labels):
            raise self._unlike(
                f"the model's is {self.type_name}, the data set's {labels.type_name}"
            )
        if self.channels != labels.channels:
            raise self._unlike(
                f"the model has {self.channels} channels, the data set's wants {labels.channels}"
            )
        return Match(task=labels)

    def _unlike(self, why: str) -> PammError:
        return PammError(f"task {self.name!r}: {why}; score the other tasks with --tasks")

    def summary(self, array: Array) -> dict[str, Any]:
        """What a prediction says of the image as a whole, in JSON values: shares, ranges, places.

        Args:
            array: as `to_array` returns; floating point may be of 16 bits.
        """
        return {}

    def to_dict(self) -> dict[str, Any]:
        """The task as JSON values; `task_from_dict` makes the same task of it."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        listed = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
        return {"type": self.type_name, **listed}

    @abstractmethod
    def _loss_sums(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def _decode(self, logits: Tensor) -> Tensor: ...

    def _check_logits(self, logits: Tensor) -> None:
        if logits.ndim != 4 or logits.shape[1] != self.channels:
            raise ValueError(
                f"task {self.name!r}: logits have shape {tuple(logits.shape)}, want "
                f"(batch, {self.channels}, height, width)"
            )

    def _check_channels(self, *allowed: int) -> None:
        if self.channels not in allowed:
            wanted = " or ".join(map(str, allowed))
            raise ValueError(f"task {self.name!r}: channels is {self.channels}, want {wanted}")


def mean_over_images(
    labelled: Iterable[tuple[Tensor, Tensor]], *, missing: float, everywhere: bool
) -> Tensor:
    """The mean at each position of values (c, H, W) where valid (1, H, W); `missing` where never.

    Where `everywhere`, the one mean of all positions, (c, 1, 1).

    Raises:
        ValueError: without any image, or with images of several sizes where one is wanted.
    """
    total, count = torch.zeros(()), torch.zeros(())
    for values, valid in labelled:
        kept, known = torch.where(valid, values, 0).double(), valid.double()
        if everywhere:
            kept, known = (x.sum(dim=(1, 2), keepdim=True) for x in (kept, known))
        if count.ndim and count.shape != known.shape:
            raise ValueError(
                f"a mean over images of several sizes, {tuple(count.shape[-2:])} and "
                f"{tuple(valid.shape[-2:])}; give targets of one size"
            )
        total, count = total + kept, count + known
    if not count.ndim:
        raise ValueError("a mean over no images; give at least one target")
    return torch.where(count > 0, total / count.clamp(min=1), missing).float()


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32; float64 stays, so that gradients can be checked in it."""
    return x if x.dtype == torch.float64 else x.float()


def sums_and_counts(values: Tensor, *masks: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of `values` where each mask (of the same or a broadcasting shape) is, and its size.

    Values that are in no mask may be anything, NaN too.
    """
    zero = values.new_zeros(())
    sums = torch.stack([torch.where(mask, values, zero).sum() for mask in masks])
    return sums, torch.stack([mask.sum() for mask in masks])


def at_least_some(count: Tensor) -> Tensor:
    """1 instead of 0: a divisor. A mean count of several processes may lie between the two."""
    return torch.where(count > 0, count, torch.ones_like(count))
