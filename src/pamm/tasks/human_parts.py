"""Human parts segmentation ("parsing"): which body part each pixel shows, if any."""

from dataclasses import dataclass
from typing import ClassVar

from pamm.tasks.class_map import ClassMap

PARTS = ("background", "head", "torso", "upper arm", "lower arm", "upper leg", "lower leg")


@dataclass(frozen=True, kw_only=True)
class HumanParts(ClassMap):
    """Images that show no part are ignored as a whole: the data set sets them to 255."""

    type_name: ClassVar[str] = "human_parts"
    title: ClassVar[str] = "human parts"

    name: str = type_name
    channels: int = len(PARTS)
    loss_weight: float = 2.0
    class_names: tuple[str, ...] = PARTS
