"""From (seed, index) to an image with its labels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from pamm.data.rooms import labels
from pamm.data.rooms.geometry import Array, rotate, unit
from pamm.data.rooms.items import CLASSES
from pamm.data.rooms.render import Hits, Surface, cast, develop, numbered, shade, surface
from pamm.data.rooms.scene import Scene, compose
from pamm.data.rooms.variety import PLAIN, VARIETIES, Variety
from pamm.tasks import Boundary, Depth, HumanParts, Normals, Saliency, Semseg, Task

VERSION = 1
"""Raised whenever the output for some (seed, index) changes, so that caches can tell."""

# Measured over scenes 0..99 of the train split at 128x160; a test keeps them true.
MEAN_DEPTH = 3.31
BOUNDARY_SHARE = 0.06

MAX_WALL = 0.6
_PROBE = (40, 50)
_ATTEMPTS = 1000
_CLOSEST = 0.12  # metres from the camera of a close-up to the nearest surface, at least
_SUBJECT = (0.06, 0.8)  # its share of such an image
_ANTI_ALIAS_ABOVE = 128


@dataclass(frozen=True)
class View:
    """What labels are made from: a scene as it is seen at h x w pixels."""

    scene: Scene
    hits: Hits
    seen: Surface
    semseg: NDArray[np.uint8]
    instance: NDArray[np.int32]


@dataclass(frozen=True)
class Label:
    """A label of the rooms: its task, and how it is made of what is seen."""

    task: Task
    draw: Callable[[View], NDArray[Any]]


@dataclass(frozen=True)
class Room:
    """One image with labels; h x w pixels.

    A label is declared here and nowhere else: a field named as its task. Rendering, the cache, the
    data set and what is written as files follow.
    """

    image: NDArray[np.uint8]
    """uint8 (h, w, 3), RGB."""
    semseg: Annotated[
        NDArray[np.uint8],
        Label(Semseg(channels=len(CLASSES), class_names=CLASSES), lambda view: view.semseg),
    ]
    """uint8 (h, w), index into ``CLASSES``."""
    human_parts: Annotated[
        NDArray[np.uint8],
        Label(HumanParts(), lambda view: labels.human_parts(_parts(view), view.semseg)),
    ]
    """uint8 (h, w), index into ``PARTS``, or 255 everywhere if nobody is visible."""
    saliency: Annotated[
        NDArray[np.uint8],
        Label(
            Saliency(), lambda view: labels.saliency(view.instance, view.semseg, view.hits.depth)
        ),
    ]
    """uint8 (h, w), 1 on the one or two most prominent objects."""
    normals: Annotated[Array, Label(Normals(), lambda view: _normals(view))]
    """float32 (h, w, 3), unit length; +x left, +y up, +z towards the camera."""
    boundary: Annotated[
        NDArray[np.uint8],
        # boundary and other pixels weigh the same in sum
        Label(
            Boundary(positive_weight=round(1 - BOUNDARY_SHARE, 2), max_dist=0.011),
            lambda view: labels.boundary(view.instance),
        ),
    ]
    """uint8 (h, w), 1 where instances meet, one pixel wide."""
    depth: Annotated[Array, Label(Depth(mean_depth=MEAN_DEPTH), lambda view: view.hits.depth)]
    """float32 (h, w), planar depth along the optical axis in metres, > 0."""
    instance: NDArray[np.int32]
    """int32 (h, w), number of the object; 0, 1, 2 are walls, floor and ceiling, larger numbers are
    nearer."""


LABELS: dict[str, Label] = {
    name: note
    for name, hint in get_type_hints(Room, include_extras=True).items()
    for note in getattr(hint, "__metadata__", ())
}
"""Those of `Room`, by name."""


def _class_map(scene: Scene, instance: NDArray[np.int32]) -> NDArray[np.uint8]:
    return np.array(scene.labels, np.uint8)[instance]


def _instance_map(scene: Scene, hits: Hits) -> NDArray[np.int32]:
    counts = [len(solids) for solids in scene.pieces]
    return np.repeat(np.arange(len(counts), dtype=np.int32), counts)[hits.piece]


def _worth_seeing(scene: Scene, variety: Variety) -> bool:
    """Whether a coarse look at the scene shows a room: not mostly wall, nothing in one's face; or,
    in a close-up, what it is of."""
    hits = cast(scene, *_PROBE)
    if scene.subject is not None:
        share_of_it = (_instance_map(scene, hits) == scene.subject).mean()
        return bool(hits.depth.min() > _CLOSEST and _SUBJECT[0] < share_of_it < _SUBJECT[1])
    if hits.depth.min() < variety.nearest or hits.depth.max() < 2.2:
        return False
    instance = _instance_map(scene, hits)
    share = np.bincount(_class_map(scene, instance).reshape(-1), minlength=16) / instance.size
    wall, floor, things = share[0], share[1], share[3:]
    return bool(
        wall < MAX_WALL - 0.05
        and floor > 0.04
        and things.sum() > 0.2
        and things.max() < variety.largest
        and (share > 0.01).sum() >= 6
    )


def find_scene(seed: int, index: int, variety: Variety = PLAIN) -> tuple[Scene, int]:
    """The first composition for (seed, index) that is worth seeing, and its attempt number."""
    for attempt in range(_ATTEMPTS):
        scene = compose(seed, index, attempt, variety)
        if _worth_seeing(scene, variety):
            return scene, attempt
    raise RuntimeError(f"no acceptable view of room {index} of series {seed}: report this as a bug")


def _check(seed: int, index: int, height: int, width: int, variety: str) -> None:
    if variety not in VARIETIES:
        raise ValueError(f"variety: got {variety!r}, want one of {', '.join(VARIETIES)}")
    if min(seed, index) < 0:
        raise ValueError(f"seed, index: got {seed} and {index}, want >= 0")
    if min(height, width) < 8:
        raise ValueError(f"height, width: got {height} x {width} pixels, want at least 8 each")


def render_room(seed: int, index: int, height: int, width: int, variety: str = "plain") -> Room:
    """Draw room ``index`` of the series ``seed`` at height x width pixels.

    A pure function of its arguments; the scene itself depends on (seed, index) and the variety, one
    of `VARIETIES`, only.
    Images taller than 128 pixels are anti-aliased with four samples a pixel; labels always belong
    to the centre of the pixel.

    Raises:
        ValueError: seed or index is negative, height or width is below 8, or an unknown variety.
    """
    _check(seed, index, height, width, variety)
    scene, attempt = find_scene(seed, index, VARIETIES[variety])
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
    view = View(scene, hits, seen, semseg, instance)
    drawn = {name: np.ascontiguousarray(label.draw(view)) for name, label in LABELS.items()}
    image = develop(np.ascontiguousarray(np.moveaxis(colours, 0, -1)), scene.exposure, noise)
    return Room(image=image, instance=instance, **drawn)


def _normals(view: View) -> Array:
    left_up_back = (view.scene.camera.axes * [[-1], [1], [-1]]).astype(np.float32)
    normals = unit(rotate(left_up_back, view.seen.normals))
    return np.moveaxis(normals.reshape(3, *view.instance.shape), 0, -1)


def _parts(view: View) -> NDArray[np.uint8]:
    return np.array([piece.part for piece in numbered(view.scene)], np.uint8)[view.hits.piece]


__all__ = ["CLASSES", "LABELS", "VERSION", "Label", "Room", "find_scene", "render_room"]
