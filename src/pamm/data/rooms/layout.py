"""Where things can stand: footprints on the floor, and free stretches of the walls."""

from dataclasses import dataclass, field

import numpy as np

from pamm.data.rooms.geometry import Vector, turn
from pamm.data.rooms.items import Item, Piece


@dataclass(frozen=True)
class Footprint:
    """A turned rectangle on the floor: centre (2,), half sides (2,) in metres, yaw in radians."""

    centre: Vector
    half: Vector
    yaw: float

    @classmethod
    def of(cls, item: Item, position: Vector, yaw: float, margin: float = 0.0) -> "Footprint":
        """The footprint of an item set down at ``position`` (2,), grown by ``margin``."""
        low, high = item.bounds
        middle = turn(yaw)[:2, :2] @ ((low + high)[:2] / 2)
        return cls(position + middle, (high - low)[:2] / 2 + margin, yaw)

    @property
    def axes(self) -> Vector:
        """Its two directions, as columns."""
        return turn(self.yaw)[:2, :2]

    @property
    def corners(self) -> Vector:
        """Its corners, (4, 2)."""
        signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        return self.centre + (signs * self.half) @ self.axes.T

    def overlaps(self, other: "Footprint") -> bool:
        """Whether two rectangles intersect: no side of either separates them."""
        for axis in (*self.axes.T, *other.axes.T):
            a, b = self.corners @ axis, other.corners @ axis
            if a.max() <= b.min() or b.max() <= a.min():
                return False
        return True


@dataclass(frozen=True)
class Placed:
    """An item at a position (3,) of the room, turned by ``yaw``."""

    item: Item
    position: Vector
    yaw: float

    def point(self, x: float, y: float, z: float) -> Vector:
        """Room coordinates (3,) of a point of the item."""
        return np.asarray(turn(self.yaw) @ np.array([x, y, z]) + self.position)

    def solids(self) -> tuple[Piece, ...]:
        """The item's pieces in room coordinates."""
        rotation = turn(self.yaw)
        return tuple(piece.moved(rotation, self.position) for piece in self.item.pieces)


@dataclass
class Floorplan:
    """The floor of a room, x in -width/2..width/2 and y in 0..depth, and what stands on it."""

    width: float
    depth: float
    taken: list[Footprint] = field(default_factory=list)

    def fits(self, footprint: Footprint) -> bool:
        """Whether the footprint lies inside the room and touches nothing that stands there."""
        x, y = footprint.corners.T
        inside = max(abs(x)) <= self.width / 2 and y.min() >= 0 and y.max() <= self.depth
        return bool(inside) and not any(footprint.overlaps(other) for other in self.taken)


@dataclass
class WallStrip:
    """One wall: its frame has x along the wall from its middle and +y into the room.

    ``tall`` holds the stretches (from, to) where nothing can be hung, ``low`` those where nothing
    can stand, ``glazed`` those where only low furniture may stand.
    """

    origin: Vector
    yaw: float
    length: float
    tall: list[tuple[float, float]] = field(default_factory=list)
    low: list[tuple[float, float]] = field(default_factory=list)
    glazed: list[tuple[float, float]] = field(default_factory=list)

    def place(self, x: float, distance: float) -> Vector:
        """Room coordinates (2,) of a point at ``x`` along and ``distance`` from the wall."""
        return np.asarray(self.origin + turn(self.yaw)[:2, :2] @ np.array([x, distance]))

    def free(self, stretch: tuple[float, float], *taken: list[tuple[float, float]]) -> bool:
        """Whether a stretch lies on the wall and clear of all the taken ones."""
        start, end = stretch
        if start < -self.length / 2 or end > self.length / 2:
            return False
        return all(end <= a or start >= b for stretches in taken for a, b in stretches)


def room_walls(width: float, depth: float) -> list[WallStrip]:
    """The walls the camera can see: far, left, right."""
    return [
        WallStrip(np.array([0.0, depth]), np.pi, width),
        WallStrip(np.array([-width / 2, depth / 2]), -np.pi / 2, depth),
        WallStrip(np.array([width / 2, depth / 2]), np.pi / 2, depth),
    ]
