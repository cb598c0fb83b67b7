"""What furniture and people are made of: solids with a surface, gathered into items."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from pamm.data.rooms.geometry import (
    Array,
    Box,
    Capsule,
    Cylinder,
    Ellipsoid,
    Shape,
    Vector,
    frame_along,
)
from pamm.data.rooms.materials import Material

CLASSES = (
    "wall", "floor", "ceiling", "bed", "chair", "sofa", "table", "cabinet",
    "door", "window", "picture", "lamp", "person", "rug", "shelf", "box",
)  # fmt: skip
THING = "thing"
"""What has no class."""
NO_CLASS = 255
"""Of its pixels, and of all others without a label."""
FLAT = ("door", "window", "picture", "rug")
"""Classes of things that lie flat against a wall or the floor."""

PARTS = ("background", "head", "torso", "upper arm", "lower arm", "upper leg", "lower leg")

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Piece:
    """A solid in place: ``rotation`` (3, 3) and ``centre`` (3,) take its coordinates outwards."""

    shape: Shape
    centre: Vector
    rotation: Vector
    material: Material
    part: int = 0

    def moved(self, rotation: Vector, offset: Vector) -> "Piece":
        """The piece after turning about the origin and then shifting."""
        return replace(
            self, centre=rotation @ self.centre + offset, rotation=rotation @ self.rotation
        )

    @cached_property
    def corners(self) -> Array:
        """The eight corners (3, 8) of its oriented bounding box."""
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
        return (self.rotation @ (signs * self.shape.half).T + self.centre[:, None]).astype("f4")


@dataclass(frozen=True)
class Seat:
    """A place to sit: the middle of the cushion's front edge, and the cushion's height."""

    x: float
    edge: float
    height: float


@dataclass(frozen=True)
class Top:
    """A level rectangle on which small things can stand."""

    x: float
    y: float
    height: float
    width: float
    depth: float


@dataclass
class Item:
    """One object (one instance of one class) in its own coordinates.

    It stands on z = 0 around the origin and faces +y; x runs along its width.
    """

    label: str
    pieces: list[Piece] = field(default_factory=list)
    seats: list[Seat] = field(default_factory=list)
    tops: list[Top] = field(default_factory=list)

    def add(
        self,
        shape: Shape,
        centre: Point | Vector,
        material: Material,
        *,
        part: int = 0,
        rotation: Vector | None = None,
    ) -> None:
        """Add a solid at ``centre``, turned by ``rotation`` (3, 3)."""
        turned = np.eye(3) if rotation is None else rotation
        self.pieces.append(Piece(shape, np.asarray(centre, float), turned, material, part))

    def box(self, low: Point, high: Point, material: Material) -> None:
        """Add an upright box between two opposite corners."""
        a, b = np.asarray(low, float), np.asarray(high, float)
        self.add(Box(*(b - a).tolist()), (a + b) / 2, material)

    def post(
        self,
        base: Point,
        radius: float,
        height: float,
        material: Material,
        top: float | None = None,
    ) -> None:
        """Add a cylinder (or truncated cone) standing on ``base``."""
        x, y, z = base
        self.add(Cylinder(radius, height, top), (x, y, z + height / 2), material)

    def ball(self, centre: Point | Vector, half: Point, material: Material, part: int = 0) -> None:
        """Add an upright ellipsoid."""
        self.add(Ellipsoid(*half), centre, material, part=part)

    def limb(
        self, a: Point | Vector, b: Point | Vector, radius: float, material: Material, part: int = 0
    ) -> None:
        """Add a capsule from ``a`` to ``b``."""
        start, end = np.asarray(a, float), np.asarray(b, float)
        length = float(np.linalg.norm(end - start))
        middle, frame = (start + end) / 2, frame_along(end - start)
        self.add(Capsule(radius, length), middle, material, part=part, rotation=frame)

    @property
    def bounds(self) -> tuple[Vector, Vector]:
        """Lowest and highest x, y, z over all pieces."""
        corners = np.concatenate([piece.corners for piece in self.pieces], axis=1)
        return corners.min(axis=1).astype(float), corners.max(axis=1).astype(float)
