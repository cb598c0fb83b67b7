"""Semantic segmentation: the class of every pixel."""

from dataclasses import dataclass
from typing import ClassVar

from pamm.tasks.class_map import ClassMap


@dataclass(frozen=True, kw_only=True)
class Semseg(ClassMap):
    """Everything but the number of classes is common to class maps: see `ClassMap`."""

    type_name: ClassVar[str] = "semseg"
    title: ClassVar[str] = "semantic segmentation"
    limits_crops: ClassVar[bool] = True

    name: str = type_name
