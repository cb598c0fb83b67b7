"""Ray casting and shading of a scene, vectorised over pixels.

Each solid is tested only in the rectangle of pixels it can cover, and casts shadows only on points
from which its bounding sphere can hide the light.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pamm.data.rooms.geometry import Array, dot, rotate, unit
from pamm.data.rooms.items import Piece
from pamm.data.rooms.lights import Light
from pamm.data.rooms.scene import Scene

_NEAR = 0.05
_EDGES = np.array([(a, b) for a in range(8) for b in range(a) if bin(a ^ b).count("1") == 1]).T
_LIFT = np.float32(4e-3)
"""Shadow rays start this many metres off the surface."""


@dataclass(frozen=True)
class Hits:
    """What each pixel sees: planar depth (h, w) in metres and piece index (h, w).

    Pieces are numbered through all instances of the scene in order.
    """

    depth: Array
    piece: NDArray[np.int32]


@dataclass(frozen=True)
class Surface:
    """Visible points, one column per pixel in row order.

    World position, unit normal towards the camera, and colour (3, n); light given off and how
    strongly lights are mirrored (n,).
    """

    points: Array
    normals: Array
    albedo: Array
    glow: Array
    gloss: Array


def numbered(scene: Scene) -> list[Piece]:
    """All pieces of a scene in the order of their indices."""
    return [piece for solids in scene.pieces for piece in solids]


def _rectangle(piece: Piece, scene: Scene, u: Array, v: Array) -> tuple[int, int, int, int] | None:
    """Rows and columns (y0, y1, x0, x1) that a piece can cover; None if it is out of view."""
    height, width = len(v), len(u)
    if not np.isfinite(piece.shape.half[0]):
        return 0, height, 0, width
    x, y, z = scene.camera.to_camera(piece.corners.T.astype(float)).T
    behind = z < _NEAR
    if behind.all():
        return None
    if behind.any():
        # Replace the part behind the near plane by where the box's edges cross that plane.
        a, b = _EDGES
        cross = behind[a] != behind[b]
        a, b = a[cross], b[cross]
        share = (_NEAR - z[a]) / (z[b] - z[a])
        x = np.concatenate([x[~behind], x[a] + share * (x[b] - x[a])])
        y = np.concatenate([y[~behind], y[a] + share * (y[b] - y[a])])
        z = np.concatenate([z[~behind], np.full(len(a), _NEAR)])
    focal = scene.camera.focal_pixels(height, width)
    columns, rows = x / z * focal + width / 2, height / 2 - y / z * focal
    x0, x1 = max(0, int(columns.min()) - 1), min(width, int(columns.max()) + 2)
    y0, y1 = max(0, int(rows.min()) - 1), min(height, int(rows.max()) + 2)
    return (y0, y1, x0, x1) if x0 < x1 and y0 < y1 else None


def cast(scene: Scene, height: int, width: int) -> Hits:
    """Follow the ray through every pixel's centre to the nearest solid."""
    u, v = scene.camera.grid(height, width)
    depth = np.full((height, width), np.inf, np.float32)
    index = np.full((height, width), -1, np.int32)
    for number, piece in enumerate(numbered(scene)):
        rectangle = _rectangle(piece, scene, u, v)
        if rectangle is None:
            continue
        y0, y1, x0, x1 = rectangle
        # In the piece's own coordinates a ray is still linear in its two slopes.
        right, up, ahead = (scene.camera.axes @ piece.rotation).astype(np.float32)
        origin = (scene.camera.position - piece.centre) @ piece.rotation
        rows = up[:, None] * v[y0:y1] + ahead[:, None]
        columns = right[:, None] * u[x0:x1]
        direction = columns[:, None, :] + rows[:, :, None]
        t = piece.shape.intersect(origin.astype(np.float32).reshape(3, 1, 1), direction)
        nearest = depth[y0:y1, x0:x1]
        closer = t < nearest
        np.copyto(nearest, t, where=closer)
        np.copyto(index[y0:y1, x0:x1], np.int32(number), where=closer)
    return Hits(depth, index)


def _directions(scene: Scene, height: int, width: int) -> Array:
    """World directions (3, h * w) of the pixels' rays, one metre deep."""
    u, v = scene.camera.grid(height, width)
    right, up, ahead = scene.camera.axes.astype(np.float32)
    rows = up[:, None] * v + ahead[:, None]
    columns = right[:, None] * u
    return np.asarray(columns[:, None, :] + rows[:, :, None]).reshape(3, -1)


def _surface_coordinates(piece: Piece, points: Array, normals: Array) -> tuple[Array, Array]:
    """Flat coordinates u, v (n,) in metres on the face that a piece's own normals point out of.

    u runs along the longer side of the face.
    """
    order = np.argsort(-piece.shape.half, kind="stable")
    face = np.argmax(np.abs(normals[order]), axis=0)
    a, b, c = points[order]
    return np.where(face == 0, b, a), np.where(face == 2, b, c)


def surface(scene: Scene, hits: Hits) -> Surface:
    """What the surfaces look like at all pixels."""
    directions = _directions(scene, *hits.depth.shape)
    origin = scene.camera.position.astype(np.float32)[:, None]
    depth, piece_of = hits.depth.reshape(-1), hits.piece.reshape(-1)
    points = origin + directions * depth
    normals, albedo = np.empty_like(points), np.empty_like(points)
    glow, gloss = np.zeros_like(depth), np.zeros_like(depth)
    focal = np.float32(scene.camera.focal_pixels(*hits.depth.shape))
    pieces = numbered(scene)
    order = np.argsort(piece_of, kind="stable")
    starts = np.flatnonzero(np.diff(piece_of[order], prepend=-2))
    for group in np.split(order, starts[1:]):
        piece = pieces[piece_of[group[0]]]
        rotation = piece.rotation.astype(np.float32)
        offset = points[:, group] - piece.centre.astype(np.float32)[:, None]
        local = rotate(rotation.T, offset)
        own_normals = piece.shape.normal(local)
        facing = rotate(rotation, own_normals)
        # At a silhouette, rounding may turn a normal slightly away from the camera.
        ray = unit(directions[:, group])
        slope = dot(facing, ray)
        facing = unit(facing - np.maximum(slope, 0) * ray)
        normals[:, group] = facing
        # The size of a pixel on the surface grows with the distance and with the slant.
        footprint = depth[group] / (focal * np.maximum(-slope, np.float32(0.15)))
        u, v = _surface_coordinates(piece, local, own_normals)
        albedo[:, group] = piece.material.albedo(u, v, footprint)
        glow[group], gloss[group] = piece.material.glow, piece.material.gloss
    return Surface(points, normals, albedo, glow, gloss)


def _hidden(pieces: tuple[Piece, ...], points: Array, towards: Array) -> NDArray[np.bool_]:
    """Whether one object's pieces stand between the points (3, n) and the light."""
    hidden = np.zeros(points.shape[1], bool)
    for piece in pieces:
        near = np.flatnonzero(~hidden)
        if len(near) > 200:
            near = near[_close(points[:, near], towards[:, near], _sphere((piece,)))]
        if len(near) == 0:
            continue
        rotation = piece.rotation.astype(np.float32).T
        origin = rotate(rotation, points[:, near] - piece.centre.astype(np.float32)[:, None])
        t = piece.shape.intersect(origin, rotate(rotation, towards[:, near]))
        hidden[near] = t < 1
    return hidden


def _sphere(pieces: tuple[Piece, ...]) -> tuple[Array, np.float32]:
    """Centre (3, 1) and radius of a sphere around the pieces."""
    corners = np.concatenate([piece.corners for piece in pieces], axis=1)
    centre = (corners.min(axis=1) + corners.max(axis=1))[:, None] / 2
    offset = corners - centre
    return centre, np.sqrt(dot(offset, offset).max())


def _close(points: Array, towards: Array, sphere: tuple[Array, np.float32]) -> NDArray[np.bool_]:
    """Whether the way from the points (3, n) to the light may pass through a sphere."""
    centre, radius = sphere
    offset = centre - points
    ahead, length2 = dot(offset, towards), dot(towards, towards)
    along = np.clip(ahead / length2, 0, 1)
    miss2 = dot(offset, offset) - along * (2 * ahead - along * length2)
    return miss2 < radius * radius + np.float32(1e-4)


def received(scene: Scene, seen: Surface, light: Light) -> Array:
    """Share of a light (n,) that reaches each point, by slant, distance and shadows."""
    position = light.position.astype(np.float32)[:, None]
    towards: Array = position - seen.points
    distance2 = dot(towards, towards)
    slant = dot(seen.normals, towards) / np.sqrt(distance2)
    received = np.maximum(slant, 0) * np.float32(4.5) / (np.float32(2.5) + distance2)
    lit = np.flatnonzero(slant > 0.005)
    start = seen.points[:, lit] + _LIFT * seen.normals[:, lit]
    towards = position - start
    dark = np.zeros(len(lit), bool)
    for instance, pieces in enumerate(scene.pieces):
        if instance == light.source or not np.isfinite(pieces[0].shape.half[0]):
            continue
        near = np.flatnonzero(_close(start, towards, _sphere(pieces)))
        near = near[~dark[near]]
        dark[near] = _hidden(pieces, start[:, near], towards[:, near])
    received[lit[dark]] = 0
    return received


def _corner_shade(scene: Scene, points: Array) -> Array:
    """Less ambient light (n,) near the edges and corners of the room."""
    width, depth, height = (np.float32(side) for side in scene.size)
    x, y, z = points
    gaps = (x + width / 2, width / 2 - x, depth - y, z, height - z)
    openness: Array = np.ones_like(x)
    for gap in gaps:
        nearness = gap * np.float32(4)
        openness *= 1 - np.float32(0.3) / (1 + nearness * nearness)
    return openness


def shade(scene: Scene, seen: Surface) -> Array:
    """Light (3, n) that the visible points send to the camera, 1 being about white."""
    ambient = np.float32(scene.ambient) * (np.float32(0.8) + np.float32(0.25) * seen.normals[2])
    light = np.empty_like(seen.albedo)
    light[:] = ambient * np.float32(1.25) * _corner_shade(scene, seen.points) + seen.glow
    mirrored = np.zeros_like(light)
    shiny = np.flatnonzero(seen.gloss)
    for source in scene.lights:
        colour = source.colour.astype(np.float32)[:, None]
        arriving = received(scene, seen, source)
        light += arriving * colour
        if len(shiny):
            mirrored[:, shiny] += highlight(scene, seen, source, shiny, arriving[shiny]) * colour
    return seen.albedo * light + mirrored


def highlight(
    scene: Scene, seen: Surface, light: Light, where: NDArray[np.intp], arriving: Array
) -> Array:
    """What some of the points mirror of a light, by Blinn and Phong; nothing in its shadow."""
    points, normals = seen.points[:, where], seen.normals[:, where]
    towards = unit(light.position.astype(np.float32)[:, None] - points)
    back = unit(scene.camera.position.astype(np.float32)[:, None] - points)
    along = np.maximum(dot(normals, unit(towards + back)), 0)
    return np.where(arriving > 0, seen.gloss[where] * along ** np.float32(40), 0)


def develop(colours: Array, exposure: float, noise: Array) -> NDArray[np.uint8]:
    """From light to 8 bits: exposure, a film-like curve, gamma, sensor noise (h, w, 3)."""
    film = 1 - np.exp(np.float32(-1.6 * exposure) * colours)
    bright = np.power(film, np.float32(1 / 2.0)) + noise
    return np.asarray(np.clip(bright, 0, 1) * 255 + np.float32(0.5)).astype(np.uint8)
