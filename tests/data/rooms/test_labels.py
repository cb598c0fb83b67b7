"""The rules for boundaries, saliency and body parts against plain re-statements of them."""

import numpy as np

from pamm.data.rooms import CLASSES, PARTS, Room
from pamm.data.rooms.labels import NEVER_SALIENT, boundary


def other_neighbour(instance: np.ndarray) -> np.ndarray:
    """Whether a pixel has a 4-neighbour of another instance."""
    padded = np.pad(instance, 1, mode="edge")
    h, w = instance.shape
    return np.logical_or.reduce(
        [padded[y : y + h, x : x + w] != instance for y, x in ((0, 1), (2, 1), (1, 0), (1, 2))]
    )


def spread(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    h, w = mask.shape
    return np.logical_or.reduce([padded[y : y + h, x : x + w] for y in range(3) for x in range(3)])


def test_boundaries_are_thin_and_follow_the_instances(rooms: list[Room]) -> None:
    blocks = marks = 0
    for room in rooms:
        mark, change = room.boundary.astype(bool), other_neighbour(room.instance)
        assert (change | ~mark).all()
        assert spread(spread(mark))[change].all()
        assert spread(mark)[change].mean() > 0.95
        assert (mark.sum() > 0.3 * change.sum()) or not change.any()
        blocks += (mark[1:, 1:] & mark[:-1, 1:] & mark[1:, :-1] & mark[:-1, :-1]).sum()
        marks += mark.sum()
        smaller = room.instance > 0  # room structure 0, the walls, owns no boundary
        assert (smaller | ~mark).all()
    assert blocks < 1e-3 * marks


def test_boundary_of_simple_shapes() -> None:
    instance = np.zeros((12, 14), np.int32)
    instance[3:9, 4:11] = 1
    expected = np.zeros((12, 14), np.uint8)
    expected[3:9, 4:11] = 1
    expected[4:8, 5:10] = 0
    marked = boundary(instance)
    # Corners may be cut, nothing else may differ.
    assert (marked <= expected).all()
    assert (expected - marked).sum() <= 4
    assert boundary(np.zeros((5, 6), np.int32)).sum() == 0
    for wide in (1, 2, 3):
        bar = np.zeros((20, 11), np.int32)
        bar[:, 5 : 5 + wide] = 7
        per_row = boundary(bar)[3:-3].sum(axis=1)
        assert (per_row == (2 if wide == 3 else 1)).all()
    y, x = np.mgrid[:20, :20]
    for slope in (y + x > 19, y - x > 0, 2 * y + x > 28):
        per_row = boundary(slope.astype(np.int32)).sum(axis=1)
        assert per_row.max() <= 2


def reference_saliency(room: Room) -> np.ndarray:
    """The documented rule, pixel by pixel."""
    h, w = room.semseg.shape
    scores = {}
    for number in np.unique(room.instance):
        ys, xs = np.nonzero(room.instance == number)
        name = CLASSES[room.semseg[ys[0], xs[0]]]
        if name in NEVER_SALIENT:
            continue
        weights = [
            np.exp(
                -0.5
                * (((y + 0.5 - h / 2) / (0.28 * h)) ** 2 + ((x + 0.5 - w / 2) / (0.25 * w)) ** 2)
            )
            for y, x in zip(ys, xs, strict=True)
        ]
        area = min(len(ys) / (h * w), 0.15)
        score = np.mean(weights) * np.sqrt(area / np.median(room.depth[ys, xs]))
        scores[number] = score * (2.5 if name == "person" else 1)
    best = sorted(scores, key=lambda k: -scores[k])[:2]
    return np.isin(room.instance, [k for k in best if scores[k] >= 0.6 * scores[best[0]]])


def test_saliency_rule(rooms: list[Room]) -> None:
    for room in rooms[:12]:
        np.testing.assert_array_equal(room.saliency, reference_saliency(room))
    shares = [room.saliency.mean() for room in rooms]
    assert min(shares) > 0
    assert 0.03 < np.mean(shares) < 0.4
    assert {len(np.unique(room.instance[room.saliency == 1])) for room in rooms} == {1, 2}


def test_parts_rule(rooms: list[Room]) -> None:
    person = CLASSES.index("person")
    alone = [room for room in rooms if not (room.semseg == person).any()]
    peopled = [room for room in rooms if (room.semseg == person).any()]
    assert len(alone) >= 3
    assert len(peopled) >= 15
    assert all((room.human_parts == 255).all() for room in alone)
    for room in peopled:
        np.testing.assert_array_equal(room.human_parts > 0, room.semseg == person)
    shown = np.bincount(np.concatenate([r.human_parts.reshape(-1) for r in peopled]), minlength=7)
    shares = shown[1:] / shown[1:].sum()
    assert len(shown) == len(PARTS)
    assert (shares > 0.03).all()
    assert shares.max() < 0.5
