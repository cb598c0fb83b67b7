"""Culled ray casting and shadows against testing every ray with every solid."""

from dataclasses import replace

import numpy as np
import pytest

from pamm.data.rooms.geometry import dot
from pamm.data.rooms.render import cast, numbered, received, surface
from pamm.data.rooms.scene import Scene, compose


def scenes() -> list[Scene]:
    """Rooms seen from their usual place, and from their middle, where much is beside the camera."""
    usual = [compose(8, index, 0) for index in range(6)]
    within = [
        replace(s, camera=replace(s.camera, position=np.array([0.1, s.size[1] / 2, 1.0])))
        for s in usual
    ]
    return usual + within


def first_hits(scene: Scene, origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Ray parameter at every piece: (pieces, n), in float64."""
    hits = []
    for piece in numbered(scene):
        local = piece.rotation.T @ (origin - piece.centre[:, None])
        hits.append(piece.shape.intersect(local, piece.rotation.T @ direction))
    return np.array(hits)


def owners(scene: Scene) -> np.ndarray:
    """The instance of every piece."""
    return np.repeat(np.arange(len(scene.pieces)), [len(p) for p in scene.pieces])


@pytest.mark.parametrize("scene", scenes(), ids=[f"{v}{i}" for v in "ab" for i in range(6)])
def test_cast_misses_nothing(scene: Scene) -> None:
    height, width = 36, 45
    u, v = (a.astype(float) for a in scene.camera.grid(height, width))
    right, up, forward = scene.camera.axes
    x, y = (a.reshape(-1) for a in np.meshgrid(u, v))
    direction = right[:, None] * x + up[:, None] * y + forward[:, None]
    t = first_hits(scene, scene.camera.position[:, None], direction)
    found = cast(scene, height, width)
    depth, piece = found.depth.reshape(-1), found.piece.reshape(-1)
    # Rounding may decide otherwise at an outline, but not at more than a few pixels.
    assert np.isclose(depth, t.min(axis=0), rtol=1e-4).mean() > 0.997
    # Solids of one thing may share a face, but not those of two things.
    owner = owners(scene)
    assert (owner[piece] == owner[t.argmin(axis=0)]).mean() > 0.997


@pytest.mark.parametrize("index", range(6))
def test_a_light_reaches_exactly_the_points_with_a_free_way_to_it(index: int) -> None:
    scene = compose(8, index, 0)
    seen = surface(scene, cast(scene, 36, 45))
    owner = owners(scene)
    for light in scene.lights:
        points = seen.points.astype(float) + 4e-3 * seen.normals
        towards = light.position[:, None] - points
        t = first_hits(scene, points, towards)
        t[(owner == light.source) | (owner == 1) | (owner == 2)] = np.inf
        t[:4] = np.inf  # walls; the room is convex
        slant = dot(seen.normals, towards) / np.sqrt(dot(towards, towards))
        facing = np.abs(slant) > 0.02
        free = (t.min(axis=0) >= 1) & (slant > 0)
        lit = received(scene, seen, light) > 0
        assert (lit == free)[facing].mean() > 0.995
        assert 0.05 < lit.mean() < 0.99
