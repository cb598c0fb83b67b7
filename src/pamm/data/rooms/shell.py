"""The empty room: walls with skirting, floor and ceiling."""

from dataclasses import replace

import numpy as np

from pamm.data.rooms.geometry import Plane, Vector, turn
from pamm.data.rooms.items import Item, Piece
from pamm.data.rooms.layout import Placed, WallStrip
from pamm.data.rooms.materials import Generator, Material, Palette


def _wall(origin: Vector, yaw: float, height: float, paint: Material) -> Piece:
    # The plane's own axes: along the wall, up, into the room.
    upright = turn(yaw) @ np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
    return Piece(Plane(), np.array([*origin, height / 2]), upright, paint)


def _skirting(wall: WallStrip, board: Material) -> tuple[Piece, ...]:
    item = Item("wall")
    item.box((-wall.length / 2, 0, 0), (wall.length / 2, 0.015, 0.09), board)
    return Placed(item, np.array([*wall.origin, 0.0]), wall.yaw).solids()


def make_shell(
    g: Generator, palette: Palette, size: tuple[float, float, float], walls: list[WallStrip]
) -> list[tuple[str, tuple[Piece, ...]]]:
    """Label and solids of the walls, the floor and the ceiling of a room of the given size."""
    _, depth, height = size
    paint = palette.material(g, ("plain", "plain", "mottled", "stripes", "tiles"), pale=0.8)
    paint = replace(paint, scale=float(g.uniform(1.5, 4)), crosswise=False)
    ground = palette.material(g, ("planks", "planks", "tiles", "mottled", "checks"))
    ground = replace(ground, scale=float(g.uniform(2, 6)))
    overhead = palette.material(g, ("plain", "plain", "plain", "tiles"), pale=0.85)
    board = palette.material(g, pale=0.6)
    sides = [_wall(wall.origin, wall.yaw, height, paint) for wall in walls]
    sides.append(_wall(np.zeros(2), 0.0, height, paint))  # behind the camera
    for wall in walls:
        sides += _skirting(wall, board)
    floor = Piece(Plane(), np.zeros(3), np.eye(3), ground)
    upside_down = np.diag([1.0, -1.0, -1.0])
    ceiling = Piece(Plane(), np.array([0, depth / 2, height]), upside_down, overhead)
    return [("wall", tuple(sides)), ("floor", (floor,)), ("ceiling", (ceiling,))]
