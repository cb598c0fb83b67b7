"""Filling a room: what is in it, and where it stands or hangs."""

import numpy as np

from pamm.data.rooms.camera import Camera, looking_at
from pamm.data.rooms.fittings import (
    make_box,
    make_door,
    make_pendant,
    make_picture,
    make_rug,
    make_table_lamp,
    make_window,
)
from pamm.data.rooms.geometry import Vector
from pamm.data.rooms.items import FLAT, Item
from pamm.data.rooms.layout import Floorplan, Footprint, Placed, WallStrip
from pamm.data.rooms.materials import Generator, Palette
from pamm.data.rooms.people import HEAD, make_sitter
from pamm.data.rooms.things import make_thing
from pamm.data.rooms.variety import Variety


class Furnisher:
    """Fills a room step by step; every step draws from the same generator."""

    def __init__(
        self,
        g: Generator,
        palette: Palette,
        camera: Camera,
        size: tuple[float, float, float],
        walls: list[WallStrip],
        variety: Variety,
    ) -> None:
        self.g, self.palette, self.camera, self.walls = g, palette, camera, walls
        self.variety = variety
        self.floor = Floorplan(*size[:2])
        self.height = size[2]
        self.placed: list[Placed] = []
        self.subject: Placed | None = None
        self.floor.taken.append(Footprint(camera.position[:2], np.array([0.4, 0.4]), 0.0))

    def furnish(self) -> list[Placed]:
        """All things of the room, in the order in which they were placed."""
        self.portrait()
        self.openings()
        self.lay_rug()
        self.against_walls()
        self.free_standing()
        self.people()
        self.on_tops()
        self.things()
        self.overhead()
        self.pictures()
        self.close_up()
        return self.placed

    # ------------------------------------------------------------------ helpers

    def chance(self, probability: float) -> bool:
        return bool(self.g.random() < probability)

    def make(self, label: str) -> Item:
        """A thing of a class."""
        return self.variety.make(label, self.g, self.palette)

    def sees(self, point: Vector, *, margin: float = 0.85) -> bool:
        """Whether a point on the floor plan (2,) is well inside the horizontal field of view."""
        right, _, ahead = self.camera.to_camera(np.array([*point, self.camera.position[2]]))
        return bool(ahead > 0.8 and abs(right) < margin * ahead * 0.5 / self.camera.focal)

    def put(self, item: Item, position: Vector, yaw: float) -> Placed:
        """Put an item where nothing is checked."""
        placed = Placed(item, np.array([*position, 0.0])[:3], yaw)
        self.placed.append(placed)
        return placed

    def set_down(
        self, item: Item, position: Vector, yaw: float, margin: float = 0.03
    ) -> Placed | None:
        """Put an item on the floor if there is room and it does not block the view."""
        spot = Footprint.of(item, position, yaw, margin)
        gap = float(np.linalg.norm(spot.corners - self.camera.position[:2], axis=1).min())
        tall = item.bounds[1][2] > 0.9
        nearest = 1.6 if item.label == "lamp" else 1.2 if tall else 0.7
        if gap < nearest or not self.floor.fits(spot):
            return None
        self.floor.taken.append(spot)
        return self.put(item, position, yaw)

    def clear_of_others(self, spot: Footprint, own: Placed | None = None) -> bool:
        """Whether a spot touches nothing on the floor but ``own`` and high tables."""
        return not any(
            spot.overlaps(Footprint.of(other.item, other.position[:2], other.yaw))
            for other in self.placed
            if other is not own
            and other.item.label not in FLAT
            and not (other.item.label == "table" and other.item.bounds[1][2] > 0.6)
        )

    # ------------------------------------------------------------------ steps

    def portrait(self) -> None:
        """Somebody right in front of the camera, which turns to their face or chest."""
        g = self.g
        if not self.variety.portrait or not self.chance(self.variety.portrait):
            return
        person = self.variety.person(g, self.palette)
        gap = g.uniform(0.7, 1.6) * max(1.0, self.camera.focal)
        way = self.camera.axes[2, :2] / np.linalg.norm(self.camera.axes[2, :2])
        spot = self.camera.position[:2] + gap * way
        facing = float(np.arctan2(way[0], -way[1]) + g.normal(0, 0.6))
        footprint = Footprint.of(person, spot, facing)
        if not self.floor.fits(footprint):
            return
        self.floor.taken.append(footprint)
        placed = self.put(person, spot, facing)
        head = next(piece for piece in person.pieces if piece.part == HEAD)
        face = placed.point(*head.centre.tolist())
        aim = np.array([*face[:2], max(0.2, face[2] - g.uniform(-0.05, 0.5))])
        eye = np.array([*self.camera.position[:2], face[2] + g.normal(0.05, 0.2)])
        eye[2] = np.clip(eye[2], 0.3, self.height - 0.2)
        self.camera = looking_at(eye, aim, g.normal(0, 0.05), self.camera.focal)

    def close_up(self) -> None:
        """The camera comes near to one of the things, often from above."""
        if not self.variety.close_up:
            return
        g = self.g.spawn(1)[0]  # what comes later is drawn as without it
        things = [
            placed
            for placed in self.placed
            if placed.item.label not in FLAT and self.sees(placed.position[:2])
        ]
        if not things or g.random() >= self.variety.close_up:
            return
        self.subject = things[int(g.integers(len(things)))]
        low, high = self.subject.item.bounds
        middle = self.subject.point(*((low + high) / 2).tolist())
        across = float(np.linalg.norm(high - low))
        way = middle - self.camera.position
        azimuth = np.arctan2(way[0], way[1]) + g.normal(0, 0.5)
        fall = g.uniform(-0.05, 1.0)
        distance = 0.3 + across * max(0.5, self.camera.focal * g.uniform(0.8, 1.8))
        forward = [np.sin(azimuth) * np.cos(fall), np.cos(azimuth) * np.cos(fall), -np.sin(fall)]
        eye = middle - distance * np.array(forward)
        wide = self.floor.width / 2 - 0.15
        lowest, highest = (-wide, 0.15, 0.1), (wide, self.floor.depth - 0.15, self.height - 0.1)
        aim = middle + 0.1 * across * g.normal(size=3)
        eye = np.clip(eye, lowest, highest)
        self.camera = looking_at(eye, aim, g.normal(0, 0.06), self.camera.focal)

    def openings(self) -> None:
        """Doors and windows."""
        g = self.g
        for kind, probability in (("door", 0.7), ("window", 0.8), ("window", 0.4), ("door", 0.25)):
            if not self.chance(probability):
                continue
            item = (make_door if kind == "door" else make_window)(g, self.palette)
            low, high = item.bounds
            for _ in range(4):
                wall = self.walls[int(g.integers(3))]
                x = g.uniform(-0.5, 0.5) * wall.length
                stretch = (x + low[0] - 0.05, x + high[0] + 0.05)
                if wall.free(stretch, wall.tall):
                    wall.tall.append(stretch)
                    (wall.low if kind == "door" else wall.glazed).append(stretch)
                    self.put(item, wall.place(x, 0.0), wall.yaw)
                    break

    def against_walls(self) -> None:
        """Beds, sofas, cabinets, shelves, desks and lamps with their backs to a wall."""
        g = self.g
        names = ("bed", "sofa", "cabinet", "shelf", "table", "lamp")
        wanted = list(g.choice(names, size=6, p=(0.2, 0.2, 0.22, 0.19, 0.11, 0.08)))
        big = 0
        for name in wanted[: int(g.integers(4, 7))]:
            if name in ("bed", "sofa"):
                big += 1
                if big > 2:
                    continue
            item = self.make(name)
            for _ in range(8):
                if self._back_to_wall(item, self.walls[int(g.integers(3))]):
                    break

    def _back_to_wall(self, item: Item, wall: WallStrip) -> bool:
        low, high = item.bounds
        x = self.g.uniform(-0.5, 0.5) * wall.length
        stretch = (x + low[0], x + high[0])
        tall = high[2] > 1.15
        taken = [wall.low, wall.glazed] if tall else [wall.low]
        if item.label == "bed" and not wall.free(stretch, wall.glazed):
            return False
        if not wall.free(stretch, *taken):
            return False
        position = wall.place(x, 0.03 - low[1])
        if not self.sees(position, margin=1.2) or not self.set_down(item, position, wall.yaw, 0.0):
            return False
        if tall or item.label == "lamp":
            wall.tall.append(stretch)
        return True

    def _spot_in_view(self, margin: float = 0.9) -> Vector:
        """A random point of the floor, in view if one is found quickly."""
        point = np.zeros(2)
        for _ in range(12):
            point = np.array(
                [
                    self.g.uniform(-0.5, 0.5) * (self.floor.width - 0.6),
                    self.g.uniform(0.25, 0.92) * self.floor.depth,
                ]
            )
            if self.sees(point, margin=margin):
                break
        return point

    def free_standing(self) -> None:
        """A table with chairs, then single chairs, boxes and lamps."""
        g, palette = self.g, self.palette
        if self.chance(0.6):
            table = self.make("table")
            for _ in range(6):
                yaw = float(g.choice([0, np.pi / 2]) + g.normal(0, 0.15))
                if placed := self.set_down(table, self._spot_in_view(), yaw):
                    self._chairs_around(placed)
                    break
        labels = ("chair", "box", "box", "lamp", "table")
        for _ in range(int(g.integers(1, 4))):
            item = self.make(labels[int(g.choice(len(labels), p=(0.4, 0.22, 0.16, 0.12, 0.1)))])
            for _ in range(6):
                spot, yaw = self._spot_in_view(), g.uniform(-np.pi, np.pi)
                if placed := self.set_down(item, spot, yaw):
                    if item.label == "box" and self.chance(0.35):
                        height = item.bounds[1][2]
                        small = make_box(g, palette, size=float(g.uniform(0.2, 0.32)))
                        self.put(small, placed.point(0, 0, height), yaw + g.normal(0, 0.3))
                    break

    def _chairs_around(self, table: Placed) -> None:
        g = self.g
        if table.item.bounds[1][2] < 0.6:
            return
        chair = self.make("chair")
        low, high = table.item.bounds
        reach = (high - low)[:2] / 2
        sides = [(0, 1), (0, -1), (1, 0), (-1, 0)]
        for index in g.permutation(4)[: int(g.integers(1, 4))]:
            x, y = sides[index]
            gap = g.uniform(0.22, 0.4)
            position = table.point(x * (reach[0] + gap), y * (reach[1] + gap), 0)[:2]
            # The chair faces the table.
            yaw = table.yaw + np.arctan2(x, -y) + g.normal(0, 0.15)
            self.set_down(chair, position, float(yaw), 0.01)

    def on_tops(self) -> None:
        """Boxes and lamps on tables, cabinets and low shelves."""
        g = self.g
        for placed in list(self.placed):
            for top in placed.item.tops:
                for side in (-0.3, 0.3):
                    if not self.chance(0.5):
                        continue
                    lamp = self.chance(0.35)
                    size = float(min(g.uniform(0.16, 0.34), top.depth, 0.45 * top.width))
                    item = (
                        make_table_lamp(g, self.palette)
                        if lamp
                        else make_box(g, self.palette, size=size)
                    )
                    x = top.x + side * top.width * g.uniform(0.7, 1.1)
                    spot = placed.point(x, top.y + g.uniform(-0.1, 0.1) * top.depth, top.height)
                    self.put(item, spot, placed.yaw + g.normal(0, 0.3))

    def things(self) -> None:
        """Things without a class, on tops and on the floor."""
        g, share = self.g, self.variety.things
        if not share:
            return
        for placed in list(self.placed):
            for top in placed.item.tops:
                if self.chance(share):
                    thing = make_thing(g, self.palette, size=float(g.uniform(0.12, 0.4)))
                    x = top.x + top.width * g.uniform(-0.35, 0.35)
                    spot = placed.point(x, top.y + g.uniform(-0.3, 0.3) * top.depth, top.height)
                    self.put(thing, spot, g.uniform(-np.pi, np.pi))
        for _ in range(int(g.binomial(3, share))):
            thing = make_thing(g, self.palette, size=float(g.uniform(0.3, 0.9)))
            for _ in range(6):
                if self.set_down(thing, self._spot_in_view(), g.uniform(-np.pi, np.pi)):
                    break

    def overhead(self) -> None:
        """A lamp hanging from the ceiling."""
        if self.chance(0.45):
            item = make_pendant(self.g, self.palette, ceiling=self.height)
            for _ in range(8):
                spot = self._spot_in_view(0.7)
                far = np.linalg.norm(spot - self.camera.position[:2]) > 1.6
                if far and self.clear_of_others(Footprint.of(item, spot, 0.0)):
                    self.put(item, spot, 0.0)
                    break

    def people(self) -> None:
        """Nobody, one or several: sitting on what there is, standing or walking."""
        g = self.g
        seats = [
            (placed, seat)
            for placed in self.placed
            for seat in placed.item.seats
            if self.sees(placed.point(seat.x, seat.edge, 0)[:2])
        ]
        chances = self.variety.people
        for _ in range(int(g.choice(len(chances), p=chances))):
            if seats and self.chance(0.4):
                placed, seat = seats.pop(int(g.integers(len(seats))))
                sitter = make_sitter(g, self.palette, seat)
                spot = Footprint.of(sitter, placed.position[:2], placed.yaw)
                if self.clear_of_others(spot, placed):
                    self.put(sitter, placed.position, placed.yaw)
                    continue
            person = self.variety.person(g, self.palette)
            for _ in range(30):
                if self.set_down(person, self._spot_in_view(0.8), g.uniform(-np.pi, np.pi)):
                    break

    def lay_rug(self) -> None:
        if self.chance(0.6):
            item = make_rug(self.g, self.palette)
            for _ in range(6):
                spot, yaw = self._spot_in_view(0.6), self.g.normal(0, 0.25)
                if Floorplan(self.floor.width, self.floor.depth).fits(
                    Footprint.of(item, spot, yaw)
                ):
                    self.put(item, spot, yaw)
                    return

    def pictures(self) -> None:
        """Pictures where the walls are free."""
        g = self.g
        for _ in range(int(g.integers(2, 6))):
            item = make_picture(g, self.palette)
            low, high = item.bounds
            for _ in range(6):
                wall = self.walls[int(g.integers(3))]
                x = g.uniform(-0.5, 0.5) * wall.length
                stretch = (x + low[0] - 0.08, x + high[0] + 0.08)
                if wall.free(stretch, wall.tall) and self.sees(wall.place(x, 0.0), margin=1.1):
                    wall.tall.append(stretch)
                    height = min(g.uniform(1.4, 1.7), self.height - high[2] - 0.1)
                    self.put(item, np.array([*wall.place(x, 0.0), height]), wall.yaw)
                    break
