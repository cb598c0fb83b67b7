"""People built of capsules and ellipsoids, with limbs posed by joint angles.

Lengths are shares of the body height, from common anthropometric tables (rounded). Hands belong to
the lower arm, feet to the lower leg and the neck to the torso.
"""

from dataclasses import dataclass, replace

import numpy as np

from pamm.data.rooms.geometry import Ellipsoid, Vector
from pamm.data.rooms.items import Item, Seat
from pamm.data.rooms.materials import Generator, Material, Palette, hsv, shade, skin

HEAD, TORSO, UPPER_ARM, LOWER_ARM, UPPER_LEG, LOWER_LEG = range(1, 7)

_THIGH, _SHANK, _UPPER_ARM, _FOREARM = 0.24, 0.235, 0.165, 0.145
_ANKLE = 0.045


@dataclass(frozen=True)
class Clothes:
    """The surfaces of one person."""

    skin: Material
    hair: Material
    shirt: Material
    trousers: Material
    shoes: Material
    forearm: Material
    shank: Material


@dataclass(frozen=True)
class Limb:
    """Angles of one arm or leg in radians: forward swing, sideways spread, bend at the joint."""

    swing: float
    spread: float
    bend: float


def _dress(g: Generator, palette: Palette) -> Clothes:
    body = skin(g)
    shirt, trousers = (
        palette.fabric(g),
        palette.material(g, ("plain", "plain", "mottled"), pale=0.1),
    )
    shirt = replace(shirt, scale=2 * shirt.scale)
    tone = hsv(g.normal(0.07, 0.03), g.uniform(0.1, 0.8), g.choice([0.1, 0.3, 0.5, 0.8]))
    hair = Material((tone, shade(tone, 0.7), shade(tone, 0.5)), "grain", 12, int(g.integers(99)))
    return Clothes(
        skin=body,
        hair=hair,
        shirt=shirt,
        trousers=trousers,
        shoes=palette.smooth(g),
        forearm=body if g.random() < 0.6 else shirt,
        shank=body if g.random() < 0.2 else trousers,
    )


def _direction(side: int, swing: float, spread: float) -> Vector:
    """Unit vector of a limb that hangs down when both angles are zero."""
    out, down = np.sin(spread), np.cos(spread)
    return np.array([side * out, np.sin(swing) * down, -np.cos(swing) * down])


@dataclass(frozen=True)
class Upper:
    """Where the upper body is: the middle between the shoulders, that of the head, and the head's
    axes (3, 3), whose columns point to its left, ahead and up."""

    shoulders: Vector
    head: Vector
    axes: Vector


def _trunk(
    item: Item, clothes: Clothes, hips: Vector, h: float, lean: float, build: float = 1.0
) -> Upper:
    """Pelvis, belly, chest, neck and head; ``build`` is how broad they are, 1 being usual."""
    up = np.array([0, np.sin(lean), np.cos(lean)])
    ahead = np.array([0, np.cos(lean), -np.sin(lean)])
    frame = np.stack([np.array([1.0, 0, 0]), ahead, up], axis=1)

    def blob(centre: Vector, half: tuple[float, float, float], cloth: Material, part: int) -> None:
        shape = Ellipsoid(*(h * a for a in half))
        item.add(shape, centre, cloth, part=part, rotation=frame)

    shoulders = hips + 0.29 * h * up
    w = build
    blob(hips + 0.02 * h * up, (0.092 * w, 0.07 * w, 0.075), clothes.trousers, TORSO)
    blob(hips + 0.115 * h * up, (0.085 * w, 0.062 * w, 0.12), clothes.shirt, TORSO)
    blob(hips + 0.215 * h * up, (0.102 * w, 0.068 * w, 0.115), clothes.shirt, TORSO)
    across = np.array([0.085 * h, 0, 0])
    item.limb(shoulders - across, shoulders + across, 0.042 * h, clothes.shirt, TORSO)
    item.limb(shoulders, shoulders + 0.07 * h * up, 0.031 * h, clothes.skin, TORSO)
    head = shoulders + 0.118 * h * up + 0.012 * h * ahead
    blob(head, (0.045, 0.054, 0.067), clothes.skin, HEAD)
    blob(head + h * (0.014 * up - 0.012 * ahead), (0.049, 0.053, 0.062), clothes.hair, HEAD)
    return Upper(shoulders, head, frame)


def _arm(
    item: Item,
    clothes: Clothes,
    shoulders: Vector,
    h: float,
    side: int,
    pose: Limb,
    build: float = 1.0,
) -> None:
    shoulder = shoulders + np.array([side * 0.108 * h, 0, -0.005 * h])
    elbow = shoulder + _UPPER_ARM * h * _direction(side, pose.swing, pose.spread)
    below = _direction(side, pose.swing + pose.bend, 0.3 * pose.spread)
    wrist = elbow + _FOREARM * h * below
    item.limb(shoulder, elbow, 0.029 * h * build, clothes.shirt, UPPER_ARM)
    item.limb(elbow, wrist, 0.023 * h * build, clothes.forearm, LOWER_ARM)
    palm = wrist + 0.045 * h * below
    item.limb(wrist + 0.02 * h * below, palm, 0.022 * h, clothes.skin, LOWER_ARM)


def _leg(
    item: Item,
    clothes: Clothes,
    hips: Vector,
    h: float,
    side: int,
    pose: Limb,
    build: float = 1.0,
) -> float:
    """One leg with its shoe; returns the height of the sole."""
    hip = hips + np.array([side * 0.05 * h, 0, -0.005 * h])
    knee = hip + _THIGH * h * _direction(side, pose.swing, pose.spread)
    ankle = knee + _SHANK * h * _direction(side, pose.swing - pose.bend, 0.2 * pose.spread)
    item.limb(hip, knee, 0.046 * h * build, clothes.trousers, UPPER_LEG)
    item.limb(knee, ankle, 0.033 * h * build, clothes.shank, LOWER_LEG)
    pitch = min(0.0, pose.swing - pose.bend + 0.3)  # flat unless the leg is far back
    toe = ankle + h * np.array([0.0, 0.1 * np.cos(pitch), 0.1 * np.sin(pitch) - 0.012])
    item.limb(ankle + np.array([0, -0.01 * h, -0.01 * h]), toe, 0.025 * h, clothes.shoes, LOWER_LEG)
    return float(min(ankle[2] - 0.01 * h, toe[2]) - 0.025 * h)


def _arm_pose(g: Generator, swing: float) -> Limb:
    """Mostly hanging; sometimes raised, reaching forward or with a bent elbow."""
    kind = g.choice(["hang", "bent", "reach", "raise"], p=[0.5, 0.25, 0.15, 0.1])
    spread = g.uniform(0.08, 0.25)
    if kind == "hang":
        return Limb(swing + g.normal(0, 0.1), spread, g.uniform(0.05, 0.4))
    if kind == "bent":
        return Limb(g.uniform(-0.3, 0.3), g.uniform(0.1, 0.45), g.uniform(1.0, 2.0))
    if kind == "reach":
        return Limb(g.uniform(0.8, 1.5), spread, g.uniform(0.0, 0.5))
    return Limb(g.uniform(2.3, 2.9), g.uniform(0.1, 0.4), g.uniform(-0.1, 0.6))


def make_person(g: Generator, palette: Palette) -> Item:
    """Somebody standing or walking."""
    item, clothes = Item("person"), _dress(g, palette)
    h = float(g.uniform(1.5, 1.9) if g.random() < 0.85 else g.uniform(1.1, 1.4))
    hips = np.array([0.0, 0.0, 0.52 * h])
    walking = g.random() < 0.45
    stride = float(g.choice([-1, 1])) * (g.uniform(0.25, 0.5) if walking else g.uniform(0, 0.08))
    shoulders = _trunk(item, clothes, hips, h, g.normal(0.04, 0.05)).shoulders
    soles = []
    for side in (-1, 1):
        swing = side * stride
        bend = g.uniform(0.15, 0.5) if walking and swing < 0 else g.uniform(0, 0.12)
        pose = Limb(swing, g.uniform(0.02, 0.12), bend)
        soles.append(_leg(item, clothes, hips, h, side, pose))
        _arm(item, clothes, shoulders, h, side, _arm_pose(g, -0.8 * swing))
    down = np.array([0, 0, -min(soles)])
    item.pieces = [piece.moved(np.eye(3), down) for piece in item.pieces]
    return item


def make_sitter(g: Generator, palette: Palette, seat: Seat) -> Item:
    """Somebody sitting on ``seat``, in the coordinates of the furniture it belongs to."""
    item, clothes = Item("person"), _dress(g, palette)
    h = float(g.uniform(1.5, 1.9))
    hips = np.array([seat.x, seat.edge - 0.18 * h, seat.height + 0.055 * h])
    knee_height = (_SHANK + _ANKLE) * h
    lift = np.clip((knee_height - hips[2]) / (_THIGH * h), -0.35, 0.6)
    swing = float(np.pi / 2 + np.arcsin(lift))
    shoulders = _trunk(item, clothes, hips, h, g.normal(-0.08, 0.08)).shoulders
    for side in (-1, 1):
        bend = swing + g.uniform(-0.3, 0.25)
        _leg(item, clothes, hips, h, side, Limb(swing, g.uniform(0.05, 0.2), bend))
        if g.random() < 0.7:
            arm = Limb(g.uniform(0.2, 0.5), g.uniform(0.1, 0.3), g.uniform(0.6, 1.3))
        else:
            arm = _arm_pose(g, 0.3)
        _arm(item, clothes, shoulders, h, side, arm)
    return item


# ----------------------------------------------------------------------------- more of them


def make_any_person(g: Generator, palette: Palette) -> Item:
    """Somebody of any build with a face, standing, kneeling, crouching, bent down or lying."""
    item, clothes = Item("person"), _dress(g, palette)
    h = float(g.uniform(1.5, 1.95) if g.random() < 0.8 else g.uniform(0.9, 1.4))
    build = float(g.uniform(0.85, 1.3))
    kinds = ["stand", "kneel", "crouch", "bend", "lie"]
    kind = g.choice(kinds, p=[0.62, 0.1, 0.1, 0.1, 0.08])
    lean = g.uniform(0.5, 1.2) if kind == "bend" else g.normal(0.04, 0.1)
    hips = np.array([0.0, 0.0, 0.52 * h])
    upper = _trunk(item, clothes, hips, h, lean, build)
    _face(g, item, clothes, upper, h)
    stride = float(g.normal(0, 0.25))
    for side in (-1, 1):
        _leg(item, clothes, hips, h, side, _leg_pose(g, str(kind), side * stride), build)
        _arm(item, clothes, upper.shoulders, h, side, _arm_pose(g, -0.8 * side * stride), build)
    if kind == "lie":  # on the back or on the front, whatever the pose
        over = float(g.choice([-1, 1]))
        down = np.array([[1.0, 0, 0], [0, 0, -over], [0, over, 0]])
        item.pieces = [piece.moved(down, np.zeros(3)) for piece in item.pieces]
    low, high = item.bounds
    middle = (low + high) / 2
    lift = np.array([-middle[0], -middle[1], -low[2]])
    item.pieces = [piece.moved(np.eye(3), lift) for piece in item.pieces]
    return item


def _leg_pose(g: Generator, kind: str, swing: float) -> Limb:
    if kind == "kneel":
        return Limb(g.uniform(-0.1, 0.5), g.uniform(0.02, 0.2), g.uniform(1.4, 1.8))
    if kind == "crouch":
        return Limb(g.uniform(1.3, 2.0), g.uniform(0.05, 0.4), g.uniform(1.8, 2.4))
    bend = g.uniform(0.15, 0.6) if swing < -0.1 else g.uniform(0, 0.25)
    return Limb(swing, g.uniform(0.02, 0.25), bend)


def _face(g: Generator, item: Item, clothes: Clothes, upper: Upper, h: float) -> None:
    """Eyes, brows, nose and mouth; now and then long hair, a hat or a beard."""
    _, ahead, up = upper.axes.T

    def put(
        across: float, front: float, high: float, half: tuple[float, ...], cover: Material
    ) -> None:
        place = upper.head + h * (across * upper.axes[:, 0] + front * ahead + high * up)
        shape = Ellipsoid(*(h * a for a in half))
        item.add(shape, place, cover, part=HEAD, rotation=upper.axes)

    white = Material((np.array([0.9, 0.9, 0.88]),) * 3)
    dark = Material((hsv(g.random(), g.uniform(0, 0.5), g.uniform(0.05, 0.3)),) * 3)
    lips = Material((shade(clothes.skin.colours[0] * [1.05, 0.7, 0.7], 0.85),) * 3)
    for side in (-1, 1):
        put(side * 0.018, 0.046, 0.004, (0.009, 0.006, 0.005), white)
        put(side * 0.018, 0.0505, 0.004, (0.0045, 0.003, 0.0045), dark)
        put(side * 0.018, 0.046, 0.016, (0.011, 0.006, 0.003), clothes.hair)
        put(side * 0.046, 0.0, -0.004, (0.006, 0.012, 0.016), clothes.skin)  # an ear
    put(0, 0.056, -0.012, (0.006, 0.009, 0.013), clothes.skin)
    put(0, 0.046, -0.034, (0.015, 0.007, 0.005), lips)
    kind = g.choice(["none", "long", "hat", "beard"], p=[0.5, 0.25, 0.15, 0.1])
    if kind == "long":
        put(0, -0.022, -0.03, (0.056, 0.042, 0.1), clothes.hair)
    elif kind == "hat":
        put(0, -0.004, 0.05, (0.058, 0.066, 0.04), clothes.shoes)
        put(0, 0.03, 0.038, (0.06, 0.075, 0.006), clothes.shoes)
    elif kind == "beard":
        put(0, 0.03, -0.045, (0.035, 0.03, 0.028), clothes.hair)
