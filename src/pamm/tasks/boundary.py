"""Boundary detection: the outlines of objects."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from pamm.metrics.boundary_forms import boundary_form
from pamm.runtime.ranges import MatchDistance, Share
from pamm.tasks.binary_map import BinaryMap

if TYPE_CHECKING:
    from pamm.metrics import BoundaryF


@dataclass(frozen=True, kw_only=True)
class Boundary(BinaryMap):
    """Binary cross entropy with fixed weights, scored by the F-measure of matched boundaries."""

    type_name: ClassVar[str] = "boundary"
    title: ClassVar[str] = "boundaries"
    score: ClassVar[str] = "odsF"

    name: str = type_name
    channels: int = 1
    loss_weight: float = 50.0
    positive_weight: Share = 0.95
    """Weight of boundary pixels; the rest weigh 1 minus this. Published: 0.88 NYUD, 0.95 PASCAL."""
    max_dist: MatchDistance = 0.0075
    """Farthest match in the score, as a share of the image diagonal. Published: 0.011 NYUD."""
    form: str = "seism"
    """Of the score, a key of `pamm.metrics.boundary_forms.FORMS`; published tables are in seism."""

    def __post_init__(self) -> None:
        super().__post_init__()
        boundary_form(self.form)

    def metric(self) -> "BoundaryF":
        from pamm.metrics import BoundaryF

        return BoundaryF(max_dist=self.max_dist, form=boundary_form(self.form))

    def weight_of_positives(self, positives: Tensor, labelled: Tensor) -> float:
        return self.positive_weight
