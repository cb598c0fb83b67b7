"""Intersections and normals of the solids against marching along signed distances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pamm.data.rooms.geometry import (
    Box,
    Capsule,
    Cylinder,
    Ellipsoid,
    Plane,
    Shape,
    dot,
    frame_along,
    rotate,
    turn,
    unit,
)

SHAPES = [
    Box(0.6, 1.1, 0.4),
    Box(0.02, 1.0, 1.0),
    Ellipsoid(0.5, 0.5, 0.5),
    Ellipsoid(0.7, 0.25, 0.4),
    Cylinder(0.4, 1.0),
    Cylinder(0.5, 0.8, top=0.2),
    Cylinder(0.15, 0.3, top=0.6),
    Capsule(0.25, 0.9),
    Capsule(0.05, 0.4),
]


def inside(shape: Shape, points: np.ndarray) -> np.ndarray:
    """Whether points (3, n) lie in the solid, straight from its definition, in float64."""
    x, y, z = points
    if isinstance(shape, Box):
        return (
            np.abs(points) <= np.array([shape.width, shape.depth, shape.height])[:, None] / 2
        ).all(0)
    if isinstance(shape, Ellipsoid):
        return (x / shape.x) ** 2 + (y / shape.y) ** 2 + (z / shape.z) ** 2 <= 1
    if isinstance(shape, Cylinder):
        top = shape.radius if shape.top is None else shape.top
        radius = shape.radius + (top - shape.radius) * (z / shape.height + 0.5)
        return (np.abs(z) <= shape.height / 2) & (np.hypot(x, y) <= radius)
    assert isinstance(shape, Capsule)
    end = np.clip(z, -shape.length / 2, shape.length / 2)
    return x**2 + y**2 + (z - end) ** 2 <= shape.radius**2


def some_rays(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rays from outside (distance 2 to 4) towards points near the origin, not of unit length."""
    g = np.random.default_rng(seed)
    away = g.standard_normal((3, count))
    origin = away / np.linalg.norm(away, axis=0) * g.uniform(2, 4, count)
    direction = (g.uniform(-0.8, 0.8, (3, count)) - origin) * g.uniform(0.2, 1.5, count)
    return origin.astype(np.float32), direction.astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_entry_is_where_the_ray_first_gets_inside(shape: Shape, seed: int) -> None:
    origin, direction = some_rays(seed, 60)
    t = shape.intersect(origin, direction)
    o, d = origin.astype(float), direction.astype(float)
    hit = np.isfinite(t)
    # Just behind the hit is inside, everything before it is outside, and a miss is never inside.
    step = 2e-4
    behind = o[:, hit] + d[:, hit] * t[hit] + d[:, hit] / np.linalg.norm(d[:, hit], axis=0) * step
    just_in = inside(shape, behind)
    assert (~just_in).sum() <= 1 + 0.05 * len(just_in)  # some rays just graze the solid
    for share in np.linspace(0, 1, 400, endpoint=False):
        reach = np.where(hit, t - step / np.linalg.norm(d, axis=0), 8.0 / np.linalg.norm(d, axis=0))
        assert not inside(shape, o + d * reach * share).any()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_many_rays_hit(shape: Shape) -> None:
    origin, direction = some_rays(0, 4000)
    assert np.isfinite(shape.intersect(origin, -direction)).sum() == 0
    assert np.isfinite(shape.intersect(origin, direction)).mean() > 0.02


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_normals_are_unit_outward_and_face_the_ray(shape: Shape, seed: int) -> None:
    origin, direction = some_rays(seed, 2000)
    t = shape.intersect(origin, direction)
    hit = np.isfinite(t)
    points = (origin + direction * np.where(hit, t, 0))[:, hit]
    normals = shape.normal(points)
    np.testing.assert_allclose(dot(normals, normals), 1, atol=1e-5)
    assert (dot(normals, unit(direction[:, hit])) < 1e-2).all()
    # Outside is where the normal points to; and the surface is flat across the normal.
    assert not inside(shape, points + 1e-3 * normals).any()
    helper = np.roll(normals, 1, axis=0)
    across = unit(helper - dot(helper, normals) * normals)
    tilted = unit(normals - 0.2 * across), unit(normals + 0.2 * across)
    smooth = [~inside(shape, points + 1e-3 * n) for n in tilted]
    assert np.mean(smooth) > 0.99
    assert inside(shape, points - 1e-3 * normals).mean() > 0.95


def test_sphere_by_hand() -> None:
    origin = np.array([[0.0, 0.5], [0, 0], [-3, -3]], np.float32)
    direction = np.array([[0.0, 0], [0, 0], [2, 2]], np.float32)
    t = Ellipsoid(1, 1, 1).intersect(origin, direction)
    np.testing.assert_allclose(t, [1, (3 - np.sqrt(0.75)) / 2], rtol=1e-6)


def test_box_by_hand_with_rays_along_the_axes() -> None:
    shape = Box(2, 4, 6)
    origin = np.diag([5.0, 5.0, 5.0]).astype(np.float32)
    direction = -np.eye(3, dtype=np.float32)
    np.testing.assert_allclose(shape.intersect(origin, direction), [4, 3, 2], rtol=1e-6)
    origin[:, 0] += np.array([0, 2.5, 0], np.float32)
    assert np.isinf(shape.intersect(origin, direction)[0])


def test_capsule_and_cylinder_along_their_axis() -> None:
    origin = np.array([[0.0], [0], [3]], np.float32)
    down = np.array([[0.0], [0], [-1]], np.float32)
    np.testing.assert_allclose(Capsule(0.2, 1).intersect(origin, down), [2.3], rtol=1e-6)
    np.testing.assert_allclose(Cylinder(0.2, 1).intersect(origin, down), [2.5], rtol=1e-6)


def test_plane_is_seen_from_above_only() -> None:
    origin = np.array([[0.0, 0, 0], [0, 0, 0], [2, 2, -2]], np.float32)
    direction = np.array([[1.0, 1, 1], [0, 0, 0], [-1, 1, 1]], np.float32)
    np.testing.assert_array_equal(Plane().intersect(origin, direction), [2, np.inf, np.inf])
    np.testing.assert_array_equal(Plane().normal(origin)[2], 1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rays_from_inside_and_things_behind_do_not_count(shape: Shape) -> None:
    g = np.random.default_rng(0)
    direction = g.standard_normal((3, 100)).astype(np.float32)
    assert np.isinf(shape.intersect(np.zeros((3, 1), np.float32), direction)).all()
    assert np.isinf(
        shape.intersect(2 * direction / np.linalg.norm(direction, axis=0), direction)
    ).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_surface_stays_in_the_bounding_box(shape: Shape) -> None:
    origin, direction = some_rays(3, 3000)
    t = shape.intersect(origin, direction)
    points = (origin + direction * np.where(np.isfinite(t), t, 0))[:, np.isfinite(t)]
    assert (np.abs(points) <= shape.half[:, None] + 1e-5).all()
    assert np.abs(points).max(axis=1) == pytest.approx(shape.half, rel=0.25)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_grids_of_rays_equal_lists_of_rays(shape: Shape) -> None:
    origin, direction = some_rays(4, 60)
    grid = shape.intersect(origin.reshape(3, 6, 10), direction.reshape(3, 6, 10))
    np.testing.assert_array_equal(grid.reshape(-1), shape.intersect(origin, direction))


@given(axis=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda a: np.linalg.norm(a) > 1e-3))
def test_frames_are_rotations(axis: tuple[float, float, float]) -> None:
    frame = frame_along(np.array(axis))
    np.testing.assert_allclose(frame.T @ frame, np.eye(3), atol=1e-12)
    assert np.linalg.det(frame) == pytest.approx(1)
    np.testing.assert_allclose(frame[:, 2], np.array(axis) / np.linalg.norm(axis), atol=1e-12)


def test_turn_and_rotate() -> None:
    np.testing.assert_allclose(turn(np.pi / 2) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    g = np.random.default_rng(0)
    matrix, vectors = g.standard_normal((3, 3)), g.standard_normal((3, 50))
    np.testing.assert_allclose(rotate(matrix, vectors), matrix @ vectors, rtol=1e-12)
