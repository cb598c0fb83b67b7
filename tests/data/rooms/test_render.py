"""Rendered rooms: determinism, ranges, geometry and variety."""

import hashlib
import os
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest

from pamm.data.rooms import CLASSES, PARTS, Room, render_room
from pamm.data.rooms.room import find_scene

SEED, COUNT, SIZE = 21, 40, (96, 120)  # of the fixture `rooms`


def digest(room: Room) -> str:
    arrays = [getattr(room, f.name) for f in fields(room)]
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


def rays(seed: int, index: int, height: int, width: int) -> np.ndarray:
    """Directions of the pixels' rays, one metre deep, in the axes of the normals."""
    camera = find_scene(seed, index)[0].camera
    u, v = camera.grid(height, width)
    x, y = np.meshgrid(u.astype(float), v.astype(float))
    return np.stack([-x, y, -np.ones_like(x)], axis=-1)


# ----------------------------------------------------------------------------- determinism


def test_same_arguments_same_bytes(rooms: list[Room]) -> None:
    assert digest(render_room(SEED, 3, *SIZE)) == digest(rooms[3])


def test_same_bytes_in_another_process_with_other_thread_counts() -> None:
    code = (
        "import sys, hashlib; from dataclasses import fields\n"
        "from pamm.data.rooms import render_room\n"
        "room = render_room(4, 5, 130, 150)\n"
        "data = b''.join(getattr(room, f.name).tobytes() for f in fields(room))\n"
        "print(hashlib.sha256(data).hexdigest())"
    )
    here = digest(render_room(4, 5, 130, 150))
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), PYTHONHASHSEED="7")
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == here


def test_seed_and_index_matter(rooms: list[Room]) -> None:
    digests = {digest(room) for room in rooms}
    digests |= {digest(render_room(SEED + 1, 0, *SIZE)), digest(render_room(0, SEED, *SIZE))}
    assert len(digests) == COUNT + 2


def test_the_scene_does_not_depend_on_the_resolution() -> None:
    small, large = render_room(SEED, 1, 60, 75), render_room(SEED, 1, 120, 150)
    # The centre of each small pixel is a corner of four large ones: most agree on what is there.
    same = [small.instance == large.instance[y::2, x::2] for y in (0, 1) for x in (0, 1)]
    assert np.mean(same) > 0.95
    assert set(np.unique(small.instance)) <= set(np.unique(large.instance))
    flat = np.logical_and.reduce(same)
    mean = large.depth.reshape(60, 2, 75, 2).mean(axis=(1, 3))
    assert np.median(np.abs(mean / small.depth - 1)[flat]) < 1e-3


# ----------------------------------------------------------------------------- ranges and sizes


def check_ranges(room: Room, height: int, width: int) -> None:
    shape = (height, width)
    assert room.image.shape == (*shape, 3)
    assert room.image.dtype == np.uint8
    assert room.depth.shape == shape
    assert room.depth.dtype == np.float32
    assert np.isfinite(room.depth).all()
    assert room.depth.min() > 0.2
    assert room.depth.max() < 9
    assert room.normals.shape == (*shape, 3)
    assert room.normals.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(room.normals, axis=-1), 1, atol=1e-5)
    for name in ("semseg", "human_parts", "saliency", "boundary"):
        assert getattr(room, name).shape == shape
        assert getattr(room, name).dtype == np.uint8
    assert room.semseg.max() < len(CLASSES)
    assert set(np.unique(room.human_parts)) <= {*range(len(PARTS)), 255}
    assert set(np.unique(room.saliency)) <= {0, 1}
    assert set(np.unique(room.boundary)) <= {0, 1}
    assert room.instance.shape == shape
    assert room.instance.dtype == np.int32
    assert room.instance.min() >= 0
    for f in fields(room):
        assert getattr(room, f.name).flags.c_contiguous


def test_ranges(rooms: list[Room]) -> None:
    for room in rooms:
        check_ranges(room, *SIZE)


@pytest.mark.parametrize("size", [(37, 61), (8, 8), (61, 37), (128, 160), (200, 260), (131, 64)])
def test_any_size(size: tuple[int, int]) -> None:
    check_ranges(render_room(2, 2, *size), *size)


@pytest.mark.parametrize(
    "arguments", [(-1, 0, 32, 32), (0, -1, 32, 32), (0, 0, 7, 32), (0, 0, 32, 0)]
)
def test_bad_arguments(arguments: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"want (>= 0|at least 8)"):
        render_room(*arguments)


def test_images_are_neither_dark_nor_burnt_out(rooms: list[Room]) -> None:
    means = np.array([room.image.mean() for room in rooms])
    assert means.min() > 40
    assert means.max() < 225
    assert min(room.image.std() for room in rooms) > 12


def test_large_images_are_anti_aliased() -> None:
    def jumps(height: int) -> float:
        room = render_room(SEED, 2, height, 160)
        grey = room.image.mean(axis=-1)
        return float((np.abs(np.diff(grey, axis=1)) > 60).mean())

    assert jumps(129) < 0.75 * jumps(128)


# ----------------------------------------------------------------------------- geometry


def test_normals_face_the_camera(rooms: list[Room]) -> None:
    for index, room in enumerate(rooms):
        ray = rays(SEED, index, *SIZE)
        towards = -(room.normals * ray).sum(-1) / np.linalg.norm(ray, axis=-1)
        assert towards.min() > -1e-5


def test_normals_agree_with_the_gradient_of_the_depth(rooms: list[Room]) -> None:
    angles = []
    for index, room in enumerate(rooms[:15]):
        points = room.depth[..., None].astype(float) * rays(SEED, index, *SIZE)
        across = points[1:-1, 2:] - points[1:-1, :-2]  # to the right, that is towards -x
        upwards = points[:-2, 1:-1] - points[2:, 1:-1]
        normal = np.cross(upwards, across)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        given = room.normals[1:-1, 1:-1]
        around = [
            room.normals[1 + y : SIZE[0] - 1 + y, 1 + x : SIZE[1] - 1 + x]
            for y, x in ((0, 1), (0, -1), (1, 0), (-1, 0))
        ]
        where = [
            room.instance[1 + y : SIZE[0] - 1 + y, 1 + x : SIZE[1] - 1 + x]
            for y, x in ((0, 1), (0, -1), (1, 0), (-1, 0))
        ]
        # On a plane 1 / depth is linear in the pixel coordinates: a bend is a step within a thing.
        inverse = 1 / room.depth.astype(float)
        middle = inverse[1:-1, 1:-1]
        bends = [
            np.abs(inverse[1:-1, 2:] + inverse[1:-1, :-2] - 2 * middle) < 2e-3 * middle,
            np.abs(inverse[2:, 1:-1] + inverse[:-2, 1:-1] - 2 * middle) < 2e-3 * middle,
        ]
        smooth = np.logical_and.reduce(
            bends
            + [(n * given).sum(-1) > 0.999 for n in around]
            + [w == room.instance[1:-1, 1:-1] for w in where]
        )
        assert smooth.mean() > 0.5
        angles.append(np.degrees(np.arccos(np.clip((normal * given).sum(-1), -1, 1)))[smooth])
    angle = np.concatenate(angles)
    assert np.median(angle) < 0.1
    assert np.quantile(angle, 0.95) < 1.0
    assert (angle < 5).mean() > 0.985  # the rest: parallel faces at different depths


def test_floor_and_ceiling_and_walls_lie_where_they_should(rooms: list[Room]) -> None:
    for index, room in enumerate(rooms):
        scene = find_scene(SEED, index)[0]
        ray = rays(SEED, index, *SIZE) * [-1, 1, -1]
        world = scene.camera.position + (room.depth[..., None] * ray) @ scene.camera.axes
        width, depth, height = scene.size
        tolerance = {"atol": 2e-3}
        np.testing.assert_allclose(world[room.instance == 1][:, 2], 0, **tolerance)
        np.testing.assert_allclose(world[room.instance == 2][:, 2], height, **tolerance)
        assert (np.abs(world[..., 0]) < width / 2 + 2e-3).all()
        assert (world[..., 1] < depth + 2e-3).all()
        up = scene.camera.axes[:, 2] * [-1, 1, -1]
        facing_up = room.normals @ up
        np.testing.assert_allclose(facing_up[room.instance == 1], 1, atol=1e-4)
        np.testing.assert_allclose(facing_up[room.instance == 2], -1, atol=1e-4)


# ----------------------------------------------------------------------------- label rules


def test_every_instance_has_one_class(rooms: list[Room]) -> None:
    for index, room in enumerate(rooms):
        labels = np.array(find_scene(SEED, index)[0].labels)
        np.testing.assert_array_equal(labels[room.instance], room.semseg)


# ----------------------------------------------------------------------------- variety


def test_walls_leave_room_for_other_things(rooms: list[Room]) -> None:
    shares = [(room.semseg == 0).mean() for room in rooms]
    assert max(shares) <= 0.6
    assert np.mean(shares) < 0.42


def test_every_class_is_frequent(rooms: list[Room]) -> None:
    pixels = np.concatenate([room.semseg.reshape(-1) for room in rooms])
    shares = np.bincount(pixels, minlength=16) / len(pixels)
    assert shares.min() > 0.01, dict(zip(CLASSES, shares.round(3), strict=True))
    seen_in = [np.mean([(room.semseg == c).any() for room in rooms]) for c in range(16)]
    assert min(seen_in) > 0.2
    assert min(len(np.unique(room.semseg)) for room in rooms) >= 6


def test_colour_alone_does_not_give_the_class_away(rooms: list[Room]) -> None:
    """The nearest class colour, and a linear classifier, both fitted to other rooms, do badly."""

    def pixels(part: list[Room]) -> tuple[np.ndarray, np.ndarray]:
        colours = np.concatenate([r.image[::3, ::3].reshape(-1, 3) for r in part]) / 255.0
        return colours, np.concatenate([r.semseg[::3, ::3].reshape(-1) for r in part])

    (x, y), (x_new, y_new) = pixels(rooms[:25]), pixels(rooms[25:])
    one_hot = np.eye(16)[y]
    means = (one_hot.T @ x) / one_hot.sum(0)[:, None]
    nearest = ((x_new[:, None] - means) ** 2).sum(-1).argmin(1)
    balance = np.sqrt(1 / one_hot.sum(0))[y][:, None]  # every class weighs the same
    design = np.hstack([x, x**2, np.ones((len(x), 1))])
    weights, *_ = np.linalg.lstsq(design * balance, one_hot * balance, rcond=None)
    linear = (np.hstack([x_new, x_new**2, np.ones((len(x_new), 1))]) @ weights).argmax(1)
    for guess in (nearest, linear):
        recalls = [(guess[y_new == c] == c).mean() for c in np.unique(y_new)]
        assert np.mean(recalls) < 0.2, recalls  # chance is 1/16
        ious = [
            ((guess == c) & (y_new == c)).sum() / ((guess == c) | (y_new == c)).sum()
            for c in np.unique(y_new)
        ]
        assert np.mean(ious) < 0.12, ious
