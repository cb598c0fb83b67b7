"""What the makers build and how rooms are composed."""

import numpy as np
import pytest

from pamm.data.rooms import CLASSES, PARTS
from pamm.data.rooms.fittings import (
    make_box,
    make_door,
    make_floor_lamp,
    make_pendant,
    make_picture,
    make_rug,
    make_table_lamp,
    make_window,
)
from pamm.data.rooms.furniture import FURNITURE
from pamm.data.rooms.furniture_variants import HELD_OUT, MORE
from pamm.data.rooms.items import Item, Seat
from pamm.data.rooms.layout import Floorplan, Footprint, WallStrip
from pamm.data.rooms.materials import Palette
from pamm.data.rooms.people import make_person, make_sitter
from pamm.data.rooms.room import find_scene
from pamm.data.rooms.scene import compose

STANDING = {
    **FURNITURE,
    "lamp": make_floor_lamp,
    "table lamp": make_table_lamp,
    "box": make_box,
    "rug": make_rug,
    "door": make_door,
    "person": make_person,
    **{
        f"{maker.__name__[5:].replace('_', ' ')} {label}": maker
        for makers in (MORE, HELD_OUT)
        for label, several in makers.items()
        for maker in several
    },
}


@pytest.mark.parametrize("name", STANDING)
def test_things_stand_on_the_floor(name: str) -> None:
    for seed in range(30):
        g = np.random.default_rng(seed)
        item = STANDING[name](g, Palette.draw(g))
        low, high = item.bounds
        assert item.label == name.split()[-1]
        on_slanted_legs = name.startswith(("trestle", "ladder", "tripod"))
        assert low[2] == pytest.approx(0, abs=0.1 if name == "person" or on_slanted_legs else 1e-6)
        assert (high - low).max() < 2.7
        assert high[2] > 0.005
        for top in item.tops:
            assert top.height == pytest.approx(high[2], abs=1e-6)
            assert top.width <= (high - low)[0]


def test_wall_things_touch_the_wall_and_do_not_reach_far_into_the_room() -> None:
    for seed in range(30):
        g = np.random.default_rng(seed)
        for maker in (make_door, make_window, make_picture):
            low, high = maker(g, Palette.draw(g)).bounds
            assert low[1] == pytest.approx(0, abs=1e-6)
            assert high[1] < 0.15
        low, high = make_pendant(g, Palette.draw(g), ceiling=2.5).bounds
        assert high[2] == pytest.approx(2.5)
        assert low[2] > 1.6


def height_of(item: Item, part: str) -> float:
    number = PARTS.index(part)
    return float(np.mean([p.centre[2] for p in item.pieces if p.part == number]))


def test_people_have_all_parts_in_the_right_order_and_believable_sizes() -> None:
    for seed in range(30):
        g = np.random.default_rng(seed)
        person = make_person(g, Palette.draw(g))
        assert {p.part for p in person.pieces} == set(range(1, 7))
        low, high = person.bounds
        heads = [p.corners for p in person.pieces if p.part == PARTS.index("head")]
        tall = np.concatenate(heads, axis=1)[2].max() - low[2]
        assert 1.0 < tall < 2.0
        order = [height_of(person, p) for p in ("head", "torso", "upper leg", "lower leg")]
        assert order == sorted(order, reverse=True)
        head = np.ptp(np.concatenate(heads, axis=1)[2])
        assert 6 < tall / head < 8.5
        assert high[0] - low[0] < 1.3


def test_sitters_hips_rest_on_the_seat_and_feet_are_near_the_floor() -> None:
    for seed in range(30):
        g = np.random.default_rng(seed)
        seat = Seat(0.2, 0.4, g.uniform(0.4, 0.5))
        sitter = make_sitter(g, Palette.draw(g), seat)
        low, _ = sitter.bounds
        assert -0.05 < low[2] < 0.2
        assert height_of(sitter, "upper leg") == pytest.approx(seat.height + 0.08, abs=0.15)
        assert height_of(sitter, "head") - seat.height > 0.5


def test_footprints_overlap_exactly_when_some_point_is_in_both() -> None:
    g = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 61)] * 2), -1).reshape(-1, 2)

    def contains(footprint: Footprint, points: np.ndarray) -> np.ndarray:
        return (np.abs((points - footprint.centre) @ footprint.axes) <= footprint.half).all(1)

    seen = set()
    for _ in range(200):
        a, b = (
            Footprint(g.uniform(-1, 1, 2), g.uniform(0.1, 0.7, 2), g.uniform(-4, 4)) for _ in "ab"
        )
        points = a.centre + (grid * a.half) @ a.axes.T
        common = bool(contains(b, points).any())
        seen.add(common)
        if common:
            assert a.overlaps(b)
            assert b.overlaps(a)
        else:
            shrunk = Footprint(a.centre, a.half * 0.93, a.yaw)
            assert not shrunk.overlaps(Footprint(b.centre, b.half * 0.93, b.yaw))
    assert seen == {True, False}


def test_floorplan_and_walls_keep_things_apart() -> None:
    floor = Floorplan(4, 5)
    spot = Footprint(np.array([0.0, 2.0]), np.array([0.5, 0.5]), 0.3)
    assert floor.fits(spot)
    floor.taken.append(spot)
    assert not floor.fits(spot)
    assert not floor.fits(Footprint(np.array([1.8, 4.0]), np.array([0.5, 0.5]), 0.0))
    wall = WallStrip(np.array([0.0, 5.0]), np.pi, 4)
    np.testing.assert_allclose(wall.place(1, 0.5), [-1, 4.5], atol=1e-12)
    assert wall.free((-1, 1), [(1, 2)])
    assert not wall.free((-1, 1.1), [(1, 2)])
    assert not wall.free((1.5, 2.5))


@pytest.mark.parametrize("index", range(12))
def test_rooms_are_within_bounds(index: int) -> None:
    scene = compose(11, index, 0)
    width, depth, height = scene.size
    assert 3 <= width <= 5.5
    assert 3.2 <= depth <= 6
    names = [CLASSES[label] for label in scene.labels]
    assert names[:3] == ["wall", "floor", "ceiling"]
    assert 0 <= names.count("person") <= 2
    assert 30 <= sum(map(len, scene.pieces)) <= 160
    assert len(scene.lights) == 2
    for name, pieces in list(zip(names, scene.pieces, strict=True))[3:]:
        corners = np.concatenate([p.corners for p in pieces], axis=1)
        slack = 0.45 if name == "person" else 0.15
        assert (corners.min(1) > [-width / 2 - slack, -slack, -0.1]).all(), name
        assert (corners.max(1) < [width / 2 + slack, depth + slack, height + 0.01]).all(), name


def test_near_things_have_larger_numbers() -> None:
    scene = compose(3, 4, 0)
    flat = {CLASSES.index(name) for name in ("door", "window", "picture", "rug")}
    order = [label in flat for label in scene.labels[3:]]
    assert order == sorted(order, reverse=True)


def test_scene_search_is_deterministic_and_rarely_long() -> None:
    attempts = [find_scene(5, i)[1] for i in range(20)]
    assert attempts == [find_scene(5, i)[1] for i in range(20)]
    assert np.mean(attempts) < 3


def test_camera_axes_are_a_rotation() -> None:
    for index in range(10):
        axes = compose(0, index, 0).camera.axes
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
        right, up, forward = axes
        np.testing.assert_allclose(np.cross(right, forward), up, atol=1e-12)
        assert up[2] > 0.8
        assert forward[1] > 0
