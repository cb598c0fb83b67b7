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


def _trunk(item: Item, clothes: Clothes, hips: Vector, h: float, lean: float) -> Vector:
    """Pelvis, belly, chest, neck and head; returns the middle between the shoulders."""
    up = np.array([0, np.sin(lean), np.cos(lean)])
    ahead = np.array([0, np.cos(lean), -np.sin(lean)])
    frame = np.stack([np.array([1.0, 0, 0]), ahead, up], axis=1)

    def blob(centre: Vector, half: tuple[float, float, float], cloth: Material, part: int) -> None:
        shape = Ellipsoid(*(h * a for a in half))
        item.add(shape, centre, cloth, part=part, rotation=frame)

    shoulders = hips + 0.29 * h * up
    blob(hips + 0.02 * h * up, (0.092, 0.07, 0.075), clothes.trousers, TORSO)
    blob(hips + 0.115 * h * up, (0.085, 0.062, 0.12), clothes.shirt, TORSO)
    blob(hips + 0.215 * h * up, (0.102, 0.068, 0.115), clothes.shirt, TORSO)
    across = np.array([0.085 * h, 0, 0])
    item.limb(shoulders - across, shoulders + across, 0.042 * h, clothes.shirt, TORSO)
    item.limb(shoulders, shoulders + 0.07 * h * up, 0.031 * h, clothes.skin, TORSO)
    head = shoulders + 0.118 * h * up + 0.012 * h * ahead
    blob(head, (0.045, 0.054, 0.067), clothes.skin, HEAD)
    blob(head + h * (0.014 * up - 0.012 * ahead), (0.049, 0.053, 0.062), clothes.hair, HEAD)
    return shoulders


def _arm(item: Item, clothes: Clothes, shoulders: Vector, h: float, side: int, pose: Limb) -> None:
    shoulder = shoulders + np.array([side * 0.108 * h, 0, -0.005 * h])
    elbow = shoulder + _UPPER_ARM * h * _direction(side, pose.swing, pose.spread)
    below = _direction(side, pose.swing + pose.bend, 0.3 * pose.spread)
    wrist = elbow + _FOREARM * h * below
    item.limb(shoulder, elbow, 0.029 * h, clothes.shirt, UPPER_ARM)
    item.limb(elbow, wrist, 0.023 * h, clothes.forearm, LOWER_ARM)
    palm = wrist + 0.045 * h * below
    item.limb(wrist + 0.02 * h * below, palm, 0.022 * h, clothes.skin, LOWER_ARM)


def _leg(item: Item, clothes: Clothes, hips: Vector, h: float, side: int, pose: Limb) -> float:
    """One leg with its shoe; returns the height of the sole."""
    hip = hips + np.array([side * 0.05 * h, 0, -0.005 * h])
    knee = hip + _THIGH * h * _direction(side, pose.swing, pose.spread)
    ankle = knee + _SHANK * h * _direction(side, pose.swing - pose.bend, 0.2 * pose.spread)
    item.limb(hip, knee, 0.046 * h, clothes.trousers, UPPER_LEG)
    item.limb(knee, ankle, 0.033 * h, clothes.shank, LOWER_LEG)
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
    shoulders = _trunk(item, clothes, hips, h, g.normal(0.04, 0.05))
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
    shoulders = _trunk(item, clothes, hips, h, g.normal(-0.08, 0.08))
    for side in (-1, 1):
        bend = swing + g.uniform(-0.3, 0.25)
        _leg(item, clothes, hips, h, side, Limb(swing, g.uniform(0.05, 0.2), bend))
        if g.random() < 0.7:
            arm = Limb(g.uniform(0.2, 0.5), g.uniform(0.1, 0.3), g.uniform(0.6, 1.3))
        else:
            arm = _arm_pose(g, 0.3)
        _arm(item, clothes, shoulders, h, side, arm)
    return item
