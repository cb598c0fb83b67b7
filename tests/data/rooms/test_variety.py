"""The varied rooms, and that what is held out of them is in none of them."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from pamm.data.rooms import CLASSES, PARTS, VARIETIES, Room, render_room
from pamm.data.rooms.furniture_variants import HELD_OUT, MORE
from pamm.data.rooms.items import NO_CLASS, THING
from pamm.data.rooms.materials import Palette
from pamm.data.rooms.people import HEAD, make_any_person
from pamm.data.rooms.room import find_scene
from pamm.data.rooms.scene import Scene, compose
from pamm.data.rooms.things import make_thing

SEED, COUNT, SIZE = 31, 24, (60, 76)
HELD_OUT_PATTERNS = set(VARIETIES["materials"].patterns)


@pytest.fixture(scope="module", params=[name for name in VARIETIES if name != "plain"])
def variety(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def rooms(variety: str) -> list[Room]:
    return [render_room(SEED, index, *SIZE, variety) for index in range(COUNT)]


@pytest.fixture(scope="module")
def scenes(variety: str) -> list[Scene]:
    return [find_scene(SEED, index, VARIETIES[variety])[0] for index in range(COUNT)]


def test_labels_are_in_range(rooms):
    for room in rooms:
        assert room.image.shape == (*SIZE, 3)
        assert 10 < room.image.mean() < 250
        assert set(np.unique(room.semseg)) <= {*range(len(CLASSES)), NO_CLASS}
        assert set(np.unique(room.human_parts)) <= {*range(len(PARTS)), NO_CLASS}
        assert set(np.unique(room.saliency)) <= {0, 1}
        assert 0.12 < room.depth.min() < room.depth.max() < 15
        np.testing.assert_allclose(np.linalg.norm(room.normals, axis=-1), 1, atol=1e-5)
        nobody = not (room.semseg == CLASSES.index("person")).any()
        assert (room.human_parts == NO_CLASS).all() == nobody


def test_normals_face_the_camera(rooms, scenes):
    for room, scene in zip(rooms, scenes, strict=True):
        u, v = scene.camera.grid(*SIZE)
        across, up = np.broadcast_arrays(u[None, :], v[:, None])
        to_camera = np.stack([across, -up, np.ones_like(across)], axis=-1)  # left, up, back
        assert ((room.normals * to_camera).sum(-1) > -1e-4).all()


def test_floor_and_ceiling_and_walls_lie_where_they_should(rooms, scenes):
    for room, scene in zip(rooms, scenes, strict=True):
        u, v = scene.camera.grid(*SIZE)
        across, up = np.broadcast_arrays(u[None, :], v[:, None])
        ray = np.stack([across, up, np.ones_like(across)], axis=-1)
        world = scene.camera.position + (room.depth[..., None] * ray) @ scene.camera.axes
        width, depth, height = scene.size
        np.testing.assert_allclose(world[room.instance == 1][:, 2], 0, atol=3e-3)
        np.testing.assert_allclose(world[room.instance == 2][:, 2], height, atol=3e-3)
        assert (np.abs(world[..., 0]) < width / 2 + 3e-3).all()
        assert (world[..., 1] < depth + 3e-3).all()


def test_every_instance_has_one_class(rooms, scenes):
    for room, scene in zip(rooms, scenes, strict=True):
        np.testing.assert_array_equal(np.array(scene.labels)[room.instance], room.semseg)


def test_a_room_is_a_function_of_its_numbers(variety, rooms):
    again = render_room(SEED, 5, *SIZE, variety)
    assert np.array_equal(again.image, rooms[5].image)
    assert not np.array_equal(render_room(SEED, 6, *SIZE, variety).image, again.image)


def test_every_class_is_seen(rooms):
    seen = Counter(int(c) for room in rooms for c in np.unique(room.semseg))
    assert all(seen[c] >= 2 for c in range(len(CLASSES))), seen
    unlabelled = np.mean([(room.semseg == NO_CLASS).mean() for room in rooms])
    assert 0.001 < unlabelled < 0.15


def patterns(scene: Scene) -> set[str]:
    return {piece.material.pattern for solids in scene.pieces for piece in solids}


def test_held_out_materials_are_in_their_series_only(variety, scenes):
    used = [patterns(scene) & HELD_OUT_PATTERNS for scene in scenes]
    assert all(used) if variety == "materials" else not any(used)


def makers(variety: str) -> set:
    return {maker for several in VARIETIES[variety].makers.values() for maker in several}


def test_held_out_furniture_is_in_its_series_only(variety):
    held_out = {maker for several in HELD_OUT.values() for maker in several}
    more = {maker for several in MORE.values() for maker in several}
    assert not held_out & more
    if variety == "furniture":
        assert held_out <= makers(variety)
        assert not makers(variety) & more
        assert all(VARIETIES[variety].makers[label] == HELD_OUT[label] for label in HELD_OUT)
    else:
        assert not makers(variety) & held_out
        assert more <= makers(variety)


def test_held_out_light_comes_from_below(variety, scenes):
    def lamps(scene: Scene) -> list[float]:
        return [light.position[2] / scene.size[2] for light in scene.lights if light.source < 0]

    low = [any(height < 0.35 for height in lamps(scene)) for scene in scenes]
    assert all(low) if variety == "light" else not any(low)


def test_unknown_varieties_are_refused():
    with pytest.raises(ValueError, match="variety: got 'odd', want one of plain, varied"):
        render_room(1, 2, 30, 40, "odd")


# ----------------------------------------------------------------------------- what is in them


def test_cameras_differ_more_than_in_plain_rooms():
    def spread(variety: str) -> np.ndarray:
        cameras = [compose(1, i, 0, VARIETIES[variety]).camera for i in range(80)]
        numbers = [[c.focal, c.position[2], c.axes[2, 2], c.axes[0, 2]] for c in cameras]
        return np.std(numbers, axis=0)

    assert (spread("varied") > 1.4 * spread("plain")).all()


def test_faces_are_seen_from_near():
    largest = []
    for index in range(40):
        room = render_room(SEED, index, 30, 38, "varied")
        largest.append((room.human_parts == HEAD).mean())
    assert np.quantile(largest, 0.9) > 0.01
    assert max(largest) > 0.03


def test_close_ups_show_what_they_are_of_and_change_nothing_else():
    varied = VARIETIES["varied"]
    scenes = [find_scene(SEED, index, varied) for index in range(120)]
    close = [index for index, (scene, _) in enumerate(scenes) if scene.subject is not None]
    assert 0.05 < len(close) / len(scenes) < 0.25
    for index in close[:5]:
        subject = scenes[index][0].subject
        shown = render_room(SEED, index, 30, 38, "varied").instance == subject
        assert 0.05 < shown.mean() < 0.82
        rows, columns = np.nonzero(shown)
        assert 0.2 < rows.mean() / 30 < 0.8
        assert 0.2 < columns.mean() / 38 < 0.8
    without = replace(varied, close_up=0.0)
    for index, (scene, attempt) in enumerate(scenes[:40]):
        other = compose(SEED, index, attempt, without)
        assert sorted(other.labels) == sorted(scene.labels)
        for light, same in zip(other.lights, scene.lights, strict=True):
            assert np.array_equal(light.colour, same.colour)
        assert (other.ambient, other.exposure) == (scene.ambient, scene.exposure)
        same_view = np.array_equal(other.camera.position, scene.camera.position)
        assert same_view == (scene.subject is None)


def test_people_of_any_pose_touch_the_floor_and_have_all_parts():
    heights = []
    for seed in range(60):
        g = np.random.default_rng(seed)
        person = make_any_person(g, Palette.draw(g))
        low, high = person.bounds
        assert low[2] == pytest.approx(0, abs=1e-6)
        assert {p.part for p in person.pieces} == set(range(1, 7))
        assert np.abs((low + high)[:2]).max() < 1e-6
        heights.append(high[2])
    assert min(heights) < 0.7  # who lies
    assert max(heights) > 1.6


def test_things_are_of_their_size_and_of_no_class():
    sizes = []
    for seed in range(120):
        g = np.random.default_rng(seed)
        thing = make_thing(g, Palette.draw(g), size=0.5)
        low, high = thing.bounds
        assert thing.label == THING
        assert low[2] > -0.15
        sizes.append((high - low).max())
    assert min(sizes) > 0.1
    assert max(sizes) < 1.6


def test_glossy_surfaces_mirror_lights(monkeypatch):
    """The same scene without gloss is nowhere brighter, and darker where lights are mirrored."""
    with_gloss = render_room(SEED, 3, 60, 76, "varied").image.astype(int)
    monkeypatch.setattr(Palette, "gloss", lambda self, g: draw_and_drop(self, g))
    without = render_room(SEED, 3, 60, 76, "varied").image.astype(int)
    assert (with_gloss >= without).all()
    assert (with_gloss > without + 5).any()


_gloss = Palette.gloss


def draw_and_drop(palette: Palette, g: np.random.Generator) -> float:
    """The same random numbers are drawn, so that the rest of the scene stays."""
    _gloss(palette, g)
    return 0.0
