"""From (seed, index) to an image with its labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pamm.data.rooms import labels
from pamm.data.rooms.geometry import Array, rotate, unit
from pamm.data.rooms.items import CLASSES
from pamm.data.rooms.render import Hits, cast, develop, numbered, shade, surface
from pamm.data.rooms.scene import Scene, compose

VERSION = 1
"""Raised whenever the output for some (seed, index) changes, so that caches can tell."""

MAX_WALL = 0.6
_PROBE = (40, 50)
_ATTEMPTS = 1000
_ANTI_ALIAS_ABOVE = 128


@dataclass(frozen=True)
class Room:
    """One image with labels for six tasks; h x w pixels.

    Attributes:
        image: uint8 (h, w, 3), RGB.
        depth: float32 (h, w), planar depth along the optical axis in metres, > 0.
        normals: float32 (h, w, 3), unit length; +x left, +y up, +z towards the camera.
        semseg: uint8 (h, w), index into ``CLASSES``.
        human_parts: uint8 (h, w), index into ``PARTS``, or 255 everywhere if nobody is visible.
        saliency: uint8 (h, w), 1 on the one or two most prominent objects.
        boundary: uint8 (h, w), 1 where instances meet, one pixel wide.
        instance: int32 (h, w), number of the object; 0, 1, 2 are walls, floor and ceiling, larger
            numbers are nearer.
    """

    image: NDArray[np.uint8]
    depth: Array
    normals: Array
    semseg: NDArray[np.uint8]
    human_parts: NDArray[np.uint8]
    saliency: NDArray[np.uint8]
    boundary: NDArray[np.uint8]
    instance: NDArray[np.int32]


def _class_map(scene: Scene, instance: NDArray[np.int32]) -> NDArray[np.uint8]:
    return np.array(scene.labels, np.uint8)[instance]


def _instance_map(scene: Scene, hits: Hits) -> NDArray[np.int32]:
    counts = [len(solids) for solids in scene.pieces]
    return np.repeat(np.arange(len(counts), dtype=np.int32), counts)[hits.piece]


def _worth_seeing(scene: Scene) -> bool:
    """Whether a coarse look at the scene shows a room: not mostly wall, nothing in one's face."""
    hits = cast(scene, *_PROBE)
    if hits.depth.min() < 0.45 or hits.depth.max() < 2.2:
        return False
    instance = _instance_map(scene, hits)
    share = np.bincount(_class_map(scene, instance).reshape(-1), minlength=16) / instance.size
    wall, floor, things = share[0], share[1], share[3:]
    return bool(
        wall < MAX_WALL - 0.05
        and floor > 0.04
        and things.sum() > 0.2
        and things.max() < 0.55
        and (share > 0.01).sum() >= 6
    )


def find_scene(seed: int, index: int) -> tuple[Scene, int]:
    """The first composition for (seed, index) that is worth seeing, and its attempt number."""
    for attempt in range(_ATTEMPTS):
        scene = compose(seed, index, attempt)
        if _worth_seeing(scene):
            return scene, attempt
    raise RuntimeError(f"no acceptable view of room {index} of series {seed}: report this as a bug")


def _check(seed: int, index: int, height: int, width: int) -> None:
    if min(seed, index) < 0:
        raise ValueError(f"seed and index must be >= 0, got {seed} and {index}")
    if min(height, width) < 8:
        raise ValueError(f"height and width must be at least 8 pixels, got {height} x {width}")


def render_room(seed: int, index: int, height: int, width: int) -> Room:
    """Draw room ``index`` of the series ``seed`` at height x width pixels.

    A pure function of its arguments, all integers; the scene itself depends on (seed, index) only.
    Images taller than 128 pixels are anti-aliased with four samples a pixel; labels always belong
    to the centre of the pixel.

    Raises:
        ValueError: seed or index is negative, or height or width is below 8.
    """
    _check(seed, index, height, width)
    scene, attempt = find_scene(seed, index)
    hits = cast(scene, height, width)
    seen = surface(scene, hits)
    if height > _ANTI_ALIAS_ABOVE:
        fine = shade(scene, surface(scene, cast(scene, 2 * height, 2 * width)))
        colours = fine.reshape(3, height, 2, width, 2).mean(axis=(2, 4))
    else:
        colours = shade(scene, seen).reshape(3, height, width)
    g = np.random.default_rng([seed, index, attempt, 1])
    noise = g.standard_normal((height, width, 3), np.float32) * np.float32(scene.noise)

    instance = _instance_map(scene, hits)
    semseg = _class_map(scene, instance)
    part = np.array([piece.part for piece in numbered(scene)], np.uint8)[hits.piece]
    left_up_back = (scene.camera.axes * [[-1], [1], [-1]]).astype(np.float32)
    normals = unit(rotate(left_up_back, seen.normals)).reshape(3, height, width)
    return Room(
        image=develop(np.ascontiguousarray(np.moveaxis(colours, 0, -1)), scene.exposure, noise),
        depth=hits.depth,
        normals=np.ascontiguousarray(np.moveaxis(normals, 0, -1)),
        semseg=semseg,
        human_parts=labels.human_parts(part, semseg),
        saliency=labels.saliency(instance, semseg, hits.depth),
        boundary=labels.boundary(instance),
        instance=instance,
    )


__all__ = ["CLASSES", "VERSION", "Room", "find_scene", "render_room"]
