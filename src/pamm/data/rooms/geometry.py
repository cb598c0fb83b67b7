"""Analytic solids in their own coordinates: where a ray enters them, which way their surface faces.

Vectors are stored component first: an array of n vectors has shape (3, n), or (3, h, w) for a
grid. All products are written out instead of calling BLAS, whose rounding may depend on the number
of threads. A ray that starts inside a solid does not hit it.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
"""Per-pixel arrays: float32 when rendering."""
Vector = NDArray[np.float64]
"""Points and directions of the composition: float64."""

NEAREST = np.float32(1e-3)
"""Hits nearer than this (in units of the ray's direction) do not count."""
_TINY = np.float32(1e-9)
_MISS = np.float32(np.inf)


def dot(a: Array, b: Array) -> Array:
    """Inner product over the first axis: (3, ...), (3, ...) -> (...)."""
    product: Array = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    return product


def rotate(matrix: Array, vectors: Array) -> Array:
    """``matrix @ vectors`` for a 3x3 matrix and vectors (3, ...), without BLAS."""
    x, y, z = vectors
    return np.stack([row[0] * x + row[1] * y + row[2] * z for row in matrix])


def unit(vectors: Array) -> Array:
    """Vectors (3, ...) divided by their lengths; a zero vector stays zero."""
    return vectors / np.maximum(np.sqrt(dot(vectors, vectors)), _TINY)


def turn(yaw: float) -> Vector:
    """3x3 rotation by ``yaw`` radians about the vertical axis, counter-clockwise from above."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def frame_along(axis: Vector) -> Vector:
    """A 3x3 rotation whose third column points along ``axis`` (any length but zero)."""
    z = axis / np.linalg.norm(axis)
    helper = np.array([0.0, 1.0, 0.0]) if abs(z[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    x = np.cross(helper, z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], axis=1)


def _nonzero(a: Array) -> Array:
    return np.where(np.abs(a) < _TINY, _TINY, a)


class Shape(ABC):
    """A convex solid around the origin of its own coordinates."""

    @cached_property
    @abstractmethod
    def half(self) -> Array:
        """Half the sides of the bounding box, (3,), metres."""

    @abstractmethod
    def intersect(self, origin: Array, direction: Array) -> Array:
        """Ray parameter t of the entry point, infinity where the ray misses.

        ``origin`` (3, ...) broadcasts against ``direction`` (3, ...), which need not be unit.
        """

    @abstractmethod
    def normal(self, points: Array) -> Array:
        """Outward unit normals (3, n) at points (3, n) of the surface."""


@dataclass(frozen=True)
class Plane(Shape):
    """The half space z <= 0, entered from above; walls, floor and ceiling."""

    @cached_property
    def half(self) -> Array:
        return np.full(3, np.inf, np.float32)

    def intersect(self, origin: Array, direction: Array) -> Array:
        down = direction[2] < -_TINY
        t = -origin[2] / np.where(down, direction[2], np.float32(-1))
        return np.where(down & (t > NEAREST), t, _MISS)

    def normal(self, points: Array) -> Array:
        normals = np.zeros_like(points)
        normals[2] = 1
        return normals


@dataclass(frozen=True)
class Box(Shape):
    """A box with the given full sides, metres."""

    width: float
    depth: float
    height: float

    @cached_property
    def half(self) -> Array:
        return np.array([self.width, self.depth, self.height], np.float32) / 2

    def intersect(self, origin: Array, direction: Array) -> Array:
        inverse = 1 / _nonzero(direction)
        half = self.half.reshape(3, *[1] * (direction.ndim - 1))
        middle, reach = -origin * inverse, half * np.abs(inverse)
        enter, leave = middle - reach, middle + reach
        near = np.maximum(np.maximum(enter[0], enter[1]), enter[2])
        far = np.minimum(np.minimum(leave[0], leave[1]), leave[2])
        return np.where((near <= far) & (near > NEAREST), near, _MISS)

    def normal(self, points: Array) -> Array:
        face = np.argmax(np.abs(points) - self.half[:, None], axis=0)
        columns = np.arange(points.shape[1])
        normals = np.zeros_like(points)
        normals[face, columns] = np.where(points[face, columns] < 0, -1, 1)
        return normals


@dataclass(frozen=True)
class Ellipsoid(Shape):
    """An ellipsoid with semi-axes x, y, z in metres; three equal ones make a sphere."""

    x: float
    y: float
    z: float

    @cached_property
    def half(self) -> Array:
        return np.array([self.x, self.y, self.z], np.float32)

    def intersect(self, origin: Array, direction: Array) -> Array:
        scale = (1 / self.half).reshape(3, *[1] * (direction.ndim - 1))
        o, d = origin * scale, direction * scale
        length2 = dot(d, d)
        closest = -dot(o, d) / length2
        q = o + closest * d
        inside = 1 - dot(q, q)
        t = closest - np.sqrt(np.maximum(inside, 0) / length2)
        return np.where((inside > 0) & (t > NEAREST), t, _MISS)

    def normal(self, points: Array) -> Array:
        return unit(points / (self.half * self.half)[:, None])


@dataclass(frozen=True)
class Cylinder(Shape):
    """An upright cylinder, or a truncated cone when ``top`` differs from ``radius``, metres."""

    radius: float
    height: float
    top: float | None = None

    @cached_property
    def half(self) -> Array:
        widest = max(self.radius, self._top)
        return np.array([widest, widest, self.height / 2], np.float32)

    @property
    def _top(self) -> float:
        return self.radius if self.top is None else self.top

    @cached_property
    def _profile(self) -> tuple[np.float32, np.float32]:
        """Radius at half height, and how fast it grows with z."""
        middle = (self.radius + self._top) / 2
        return np.float32(middle), np.float32((self._top - self.radius) / self.height)

    def intersect(self, origin: Array, direction: Array) -> Array:
        middle, slope = self._profile
        h = self.half[2]
        closest = -dot(origin, direction) / dot(direction, direction)
        x, y, z = origin + closest * direction
        dx, dy, dz = direction
        radius = middle + slope * z
        # Of the two crossings of the side, this root is always the one that goes inwards.
        a = _nonzero(dx * dx + dy * dy - slope * slope * dz * dz)
        b = x * dx + y * dy - slope * radius * dz
        inside = b * b - a * (x * x + y * y - radius * radius)
        side = (-b - np.sqrt(np.maximum(inside, 0))) / a
        on_side = (inside > 0) & (np.abs(z + side * dz) <= h) & (side + closest > NEAREST)
        cap_z = np.where(dz > 0, -h, h)
        cap = (cap_z - z) / _nonzero(dz)
        cx, cy, cap_radius = x + cap * dx, y + cap * dy, middle + slope * cap_z
        on_cap = (cx * cx + cy * cy <= cap_radius * cap_radius) & (cap + closest > NEAREST)
        t = np.minimum(np.where(on_side, side, _MISS), np.where(on_cap, cap, _MISS))
        return t + closest

    def normal(self, points: Array) -> Array:
        middle, slope = self._profile
        x, y, z = points
        radius = np.sqrt(x * x + y * y)
        # The surface is where the larger of these two gaps is zero.
        cap_gap = np.abs(z) - self.half[2]
        side_gap = (radius - middle - slope * z) / np.sqrt(1 + slope * slope)
        side = unit(np.stack([x, y, -slope * radius]))
        cap = np.stack([np.zeros_like(x), np.zeros_like(x), np.where(z < 0, -1, 1).astype("f4")])
        return np.where(cap_gap > side_gap, cap, side)


@dataclass(frozen=True)
class Capsule(Shape):
    """A cylinder along z with hemispherical ends; ``length`` is between the two end centres."""

    radius: float
    length: float

    @cached_property
    def half(self) -> Array:
        return np.array([self.radius, self.radius, self.length / 2 + self.radius], np.float32)

    def intersect(self, origin: Array, direction: Array) -> Array:
        r2, h = np.float32(self.radius) ** 2, np.float32(self.length / 2)
        x, y, z = origin
        dx, dy, dz = direction
        a = np.maximum(dx * dx + dy * dy, _TINY)
        closest = -(x * dx + y * dy) / a
        qx, qy = x + closest * dx, y + closest * dy
        inside = r2 - (qx * qx + qy * qy)
        side = closest - np.sqrt(np.maximum(inside, 0) / a)
        # A ray enters the capsule by its side, or by the end on whose side it enters the
        # infinite cylinder.
        entry_z = z + side * dz
        end_z = z - np.clip(entry_z, -h, h)
        length2 = dot(direction, direction)
        closest = -(x * dx + y * dy + end_z * dz) / length2
        qx, qy, qz = x + closest * dx, y + closest * dy, end_z + closest * dz
        in_end = r2 - (qx * qx + qy * qy + qz * qz)
        end = closest - np.sqrt(np.maximum(in_end, 0) / length2)
        end = np.where(in_end > 0, end, _MISS)
        t = np.where(np.abs(entry_z) <= h, side, end)
        return np.where((inside > 0) & (t > NEAREST), t, _MISS)

    def normal(self, points: Array) -> Array:
        h = np.float32(self.length / 2)
        return unit(np.stack([points[0], points[1], points[2] - np.clip(points[2], -h, h)]))
