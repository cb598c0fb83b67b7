"""Human parts segmentation ("parsing"): which body part each pixel shows, if any."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pamm.tasks.class_map import ClassMap

PARTS = ("background", "head", "torso", "upper arm", "lower arm", "upper leg", "lower leg")


@dataclass(frozen=True, kw_only=True)
class HumanParts(ClassMap):
    """Images that show no part, after cropping, are ignored as a whole, as published scores do.

    Such a model finds people in everything; see `empty_images`.
    """

    type_name: ClassVar[str] = "human_parts"
    title: ClassVar[str] = "human parts"

    name: str = type_name
    channels: int = len(PARTS)
    loss_weight: float = 2.0
    class_names: tuple[str, ...] = PARTS
    empty_images: bool = False
    """Whether images that show no part count, as background."""

    def after_crop(self, target: Tensor) -> Tensor:
        if self.empty_images or ((target > 0) & (target != self.ignore_index)).any():
            return target
        return torch.full_like(target, self.ignore_index)
