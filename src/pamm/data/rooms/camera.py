"""The pinhole camera, and where it stands in a room."""

from dataclasses import dataclass

import numpy as np

from pamm.data.rooms.geometry import Array, Vector
from pamm.data.rooms.materials import Generator

ASPECT = 1.25
"""Width over height of the reference frame; other frames are cut out of it."""


@dataclass(frozen=True)
class Camera:
    """``position`` (3,) in metres; ``axes`` (3, 3) with the rows right, up and forward.

    ``focal`` is the focal length in widths of the reference frame. The world has x to the right,
    y into the room and z up.
    """

    position: Vector
    axes: Vector
    focal: float

    def focal_pixels(self, height: int, width: int) -> float:
        """Focal length in pixels; the principal point is the middle of the image."""
        return self.focal * max(width, ASPECT * height)

    def grid(self, height: int, width: int) -> tuple[Array, Array]:
        """Slopes of the pixels' rays: to the right (width,) and upwards (height,).

        The ray of pixel (y, x) is ``right * u[x] + up * v[y] + forward``: it advances by one metre
        along the optical axis, so that ray parameters are planar depths.
        """
        focal = self.focal_pixels(height, width)
        u = (np.arange(width) + 0.5 - width / 2) / focal
        v = (height / 2 - 0.5 - np.arange(height)) / focal
        return u.astype(np.float32), v.astype(np.float32)

    def to_camera(self, points: Vector) -> Vector:
        """World points (..., 3) as right, up, forward of the camera."""
        return (points - self.position) @ self.axes.T


def axes_of(yaw: float, pitch: float, roll: float) -> Vector:
    """The axes of a camera that looks to ``yaw`` (0 is into the room) and up by ``pitch``."""
    forward = np.array([np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), np.sin(pitch)])
    level = np.array([np.cos(yaw), -np.sin(yaw), 0.0])
    upright = np.cross(level, forward)
    right = np.cos(roll) * level + np.sin(roll) * upright
    return np.stack([right, np.cross(right, forward), forward])


def looking_at(position: Vector, target: Vector, roll: float, focal: float) -> Camera:
    """A camera at ``position`` (3,) with ``target`` (3,) in the middle of its image."""
    way = target - position
    yaw = float(np.arctan2(way[0], way[1]))
    pitch = float(np.arctan2(way[2], np.hypot(way[0], way[1])))
    return Camera(position, axes_of(yaw, pitch, roll), focal)


def draw_camera(g: Generator, size: tuple[float, float, float]) -> Camera:
    """A camera near the front wall at eye height that looks into the room, slightly down."""
    width, depth, _ = size
    position = np.array([g.uniform(-0.4, 0.4) * width, g.uniform(0.12, 0.3), g.uniform(1.3, 1.75)])
    target = np.array([g.uniform(-0.25, 0.25) * width, depth * g.uniform(0.6, 0.85)])
    aim = target - position[:2]
    yaw = np.arctan2(aim[0], aim[1]) + g.normal(0, 0.08)
    pitch = np.clip(g.normal(-0.22, 0.08), -0.42, 0.0)
    roll = g.normal(0, 0.015)
    return Camera(position, axes_of(yaw, pitch, roll), float(g.uniform(0.72, 0.92)))


def draw_any_camera(g: Generator, size: tuple[float, float, float]) -> Camera:
    """Any height and focal length, in the front half of the room, looking at any part of it.

    Angles of view are 85 to 39 degrees across, as of a telephone's wide lens to a short telephoto.
    """
    width, depth, height = size
    tall = min(2.2, height - 0.25)
    position = np.array(
        [g.uniform(-0.42, 0.42) * width, g.uniform(0.1, 0.45 * depth), g.uniform(0.5, tall)]
    )
    target = np.array(
        [g.uniform(-0.4, 0.4) * width, depth * g.uniform(0.6, 1.0), g.uniform(0.1, 1.5)]
    )
    focal = float(np.exp(g.uniform(np.log(0.55), np.log(1.4))))
    return looking_at(position, target, g.normal(0, 0.04), focal)
