"""Saliency: the objects that catch the eye."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from torch import Tensor

from pamm.tasks.base import Array, Protocol, at_least_some
from pamm.tasks.binary_map import BinaryMap

if TYPE_CHECKING:
    from pamm.metrics import MaxF


@dataclass(frozen=True, kw_only=True)
class Saliency(BinaryMap):
    """Class-balanced cross entropy, scored by the maximal F-measure.

    Positives weigh the share of negatives among the labelled pixels of the batch, negatives the
    share of positives, so both kinds count as much in sum. It is the weighted sum over the NUMBER
    of labelled pixels (not over the sum of weights), so at most 2 p (1 - p) of the plain cross
    entropy's size with a share p of positives; a batch with one kind only has loss 0.
    """

    type_name: ClassVar[str] = "saliency"
    title: ClassVar[str] = "saliency"
    score: ClassVar[str] = "maxF"

    name: str = type_name
    channels: int = 2
    loss_weight: float = 5.0
    protocol: Protocol = "official"
    """Of the score: see `pamm.metrics.MaxF`."""

    def with_protocol(self, protocol: Protocol) -> "Saliency":
        return replace(self, protocol=protocol)

    def metric(self) -> "MaxF":
        from pamm.metrics import MaxF

        return MaxF(protocol=self.protocol)

    def weight_of_positives(self, positives: Tensor, labelled: Tensor) -> Tensor:
        return 1 - positives / at_least_some(labelled)

    def summary(self, array: Array) -> dict[str, Any]:
        """The share of what stands out, and the box around it.

        The box is [left, top, right, bottom] in pixels, the last two exclusive; null where nothing
        stands out.
        """
        yes = self.is_yes(array)
        rows, columns = (np.flatnonzero(yes.any(axis)) for axis in (1, 0))
        ends = (columns, rows)
        box = [*(int(i[0]) for i in ends), *(int(i[-1]) + 1 for i in ends)] if len(rows) else None
        return {**super().summary(array), "box": box}
