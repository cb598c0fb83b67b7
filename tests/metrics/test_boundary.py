"""BoundaryF and its parts: hand-computed lines, scikit-image's thinning, brute-force matching."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.signal import convolve2d
from skimage.morphology import thin

from pamm.metrics import BoundaryF
from pamm.metrics.boundary_f import THRESHOLDS, average_precision, best_index, image_counts
from pamm.metrics.boundary_matching import boundary_counts, match_boundaries
from pamm.metrics.edges import (
    edge_nms,
    normal_angle,
    suppress_non_maxima,
    thin_nested,
    triangle_smooth,
)

SEEDS = st.integers(0, 2**31)
SIDES = st.integers(1, 14)


def _smooth_noise(rng, height, width):
    noise = triangle_smooth(rng.random((height, width)), 1)
    return (noise - noise.min()) / max(np.ptp(noise), 1e-9)


def _score(metric, prediction, target):
    metric.update(
        torch.as_tensor(prediction).double()[None, None], torch.as_tensor(target).long()[None, None]
    )
    return metric.compute()


# --- the steps


@pytest.mark.parametrize("radius", [1, 4])
def test_triangle_smooth_is_the_2d_convolution(radius):
    image = np.random.default_rng(0).random((17, 13))
    line = np.minimum(np.arange(1, 2 * radius + 2), np.arange(2 * radius + 1, 0, -1))
    kernel = np.outer(line, line) / line.sum() ** 2
    padded = np.pad(image, radius, mode="symmetric")
    assert triangle_smooth(image, radius) == pytest.approx(convolve2d(padded, kernel, "valid"))


@pytest.mark.parametrize("degrees", [0, 45, 90, 135])
def test_normal_angle_is_across_the_line(degrees):
    y, x = np.mgrid[-20:21, -20:21]
    across = x * math.cos(math.radians(degrees)) + y * math.sin(math.radians(degrees))
    angle = np.degrees(normal_angle(np.exp(-((across / 3) ** 2))))[20, 20]
    assert (angle - degrees + 90) % 180 - 90 == pytest.approx(0, abs=0.5)


def _suppress_by_loop(edges, angle, border=5, multiplier=1.01):
    height, width = edges.shape

    def value(y, x):
        y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
        top, left = int(y), int(x)
        total = 0.0
        for yy in (top, min(top + 1, height - 1)):
            for xx in (left, min(left + 1, width - 1)):
                wy = (y - top) if yy > top else 1 - (y - top)
                wx = (x - left) if xx > left else 1 - (x - left)
                if (yy > top or top + 1 < height or wy == 1) and (
                    xx > left or left + 1 < width or wx == 1
                ):
                    total += edges[yy, xx] * wy * wx
        return total

    out = edges.copy()
    border = min(border, height // 2, width // 2)
    for y in range(height):
        for x in range(width):
            dy, dx = math.sin(angle[y, x]), math.cos(angle[y, x])
            if any(edges[y, x] * multiplier < value(y + s * dy, x + s * dx) for s in (-1, 1)):
                out[y, x] = 0
            for distance in (y, height - 1 - y, x, width - 1 - x):
                if distance < border:
                    out[y, x] *= distance / border
    return out


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(2, 14), st.integers(2, 14))
def test_suppression_equals_a_loop(seed, height, width):
    rng = np.random.default_rng(seed)
    edges, angle = _smooth_noise(rng, height, width), rng.random((height, width)) * np.pi
    # Angles that touch a clamped corner exactly give ties that rounding decides; noise has none.
    assert suppress_non_maxima(edges, angle) == pytest.approx(_suppress_by_loop(edges, angle))


@settings(max_examples=40, deadline=None)
@given(SEEDS, SIDES, SIDES, st.integers(1, 130), st.floats(0.05, 1))
def test_thinning_equals_scikit_image(seed, height, width, maps, density):
    rng = np.random.default_rng(seed)
    noise = _smooth_noise(rng, height, width)
    stack = np.stack([noise > t for t in np.linspace(1 - density, 1, maps)])
    rows, columns = np.nonzero(stack.any(0))
    got = thin_nested(rows, columns, stack[:, rows, columns].T, (height, width))
    for k in {0, maps // 2, maps - 1}:
        image = np.zeros((height, width), dtype=bool)
        image[rows, columns] = got[:, k]
        assert np.array_equal(image, thin(stack[k]))


def _largest_matching(prediction, target, max_distance):
    a, b = np.argwhere(prediction), np.argwhere(target)
    near = ((a[:, None] - b[None]) ** 2).sum(-1) <= max_distance**2 + 1e-9
    return int(near[linear_sum_assignment(near, maximize=True)].sum())


@settings(max_examples=80, deadline=None)
@given(
    SEEDS,
    SIDES,
    SIDES,
    st.sampled_from([0, 0.9, 1, 1.2, 1.5, 2, 3.3, 5]),
    st.floats(0, 0.7),
    st.floats(0, 0.7),
)
def test_matching_is_the_largest(seed, height, width, distance, dense, denser):
    rng = np.random.default_rng(seed)
    prediction = rng.random((height, width)) < dense
    target = rng.random((height, width)) < denser
    first, second = match_boundaries(prediction, target, distance)
    assert not (first & ~prediction).any()
    assert not (second & ~target).any()
    expected = _largest_matching(prediction, target, distance)
    assert first.sum() == second.sum() == expected
    # The covered pixels can be matched with each other, one to one.
    assert _largest_matching(first, second, distance) == expected


def test_a_thick_prediction_is_matched_once():
    prediction, target = np.zeros((9, 20), bool), np.zeros((9, 20), bool)
    prediction[3:6], target[4] = True, True
    first, second = match_boundaries(prediction, target, 2)
    assert first.sum() == second.sum() == 20


def test_dense_maps_are_matched_at_a_wide_distance():
    rng = np.random.default_rng(1)
    prediction, target = rng.random((60, 60)) < 0.4, rng.random((60, 60)) < 0.4
    first, second = match_boundaries(prediction, target, 6)
    assert first.sum() == second.sum() > 0.95 * min(prediction.sum(), target.sum())


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(3, 14), st.integers(3, 14), st.floats(0, 2.5))
def test_counts_equal_each_threshold_by_itself(seed, height, width, distance):
    rng = np.random.default_rng(seed)
    edges = np.round(_smooth_noise(rng, height, width), 1)  # many values equal to a threshold
    target = rng.random((height, width)) < 0.2
    thresholds = np.array(THRESHOLDS)[::7]
    matched, predicted = boundary_counts(
        edges, target, thresholds=thresholds, max_distance=distance
    )
    for k, threshold in enumerate(thresholds):
        line = thin(edges > threshold)
        assert predicted[k] == line.sum()
        assert matched[k] == _largest_matching(line, target, distance)


# --- scores by hand


def _shifted_line(shift, max_dist):
    target = np.zeros((40, 60), bool)
    target[:, 25] = True
    line = np.zeros((40, 60))
    line[:, 25 + shift] = 1
    matched, predicted = boundary_counts(
        line, target, thresholds=np.array([0.5]), max_distance=max_dist * math.hypot(40, 60)
    )
    return 2 * matched[0] / (predicted[0] + target.sum())


@pytest.mark.parametrize("shift", range(7))
def test_a_shifted_line_counts_up_to_max_dist(shift):
    max_dist = 3 / math.hypot(40, 60)
    assert _shifted_line(shift, max_dist * 1.001) == (1 if shift <= 3 else 0)


@pytest.mark.parametrize(("shift", "expected"), [(0, 1), (1, 1), (2, 1), (3, 0), (5, 0)])
def test_the_whole_protocol_on_a_shifted_line(shift, expected):
    prediction, target = np.zeros((60, 80)), np.zeros((60, 80))
    prediction[10:50, 30 + shift], target[10:50, 30] = 1, 1
    scores = _score(BoundaryF(0.025), prediction, target)  # 2.5 pixels
    assert scores["odsF"] == pytest.approx(expected, abs=0.03)
    assert scores["oisF"] == scores["odsF"]


@pytest.mark.parametrize("horizontal", [False, True])
def test_a_blurred_line_is_found_in_its_middle(horizontal):
    target = np.zeros((50, 50))
    target[:, 20] = 1
    prediction = triangle_smooth(target, 3)
    if horizontal:
        target, prediction = target.T, prediction.T
    matched, predicted, actual = image_counts(
        prediction, target > 0, target >= 0, max_dist=0, thresholds=np.array([0.05])
    )
    # The ends fade out near the image border; what is left is the middle line and nothing else.
    assert matched[0] == predicted[0]
    assert actual - 4 <= predicted[0] <= actual


def test_a_perfect_prediction_scores_about_1_and_values_do_not_matter_for_ods():
    y, x = np.mgrid[:96, :128]
    target = np.abs(np.hypot(y - 48, x - 64) - 30) < 0.5
    target = thin(target)
    scores = _score(BoundaryF(0.0075), target, target)
    assert scores["odsF"] > 0.97
    assert scores["odsF"] == pytest.approx(_score(BoundaryF(0.0075), 0.3 * target, target)["odsF"])


def test_empty_maps():
    line, nothing = np.zeros((30, 30)), np.zeros((30, 30))
    line[15] = 1
    for prediction, target in ((nothing, line), (line, nothing), (nothing, nothing)):
        scores = _score(BoundaryF(0.01), prediction, target)
        assert scores["odsF"] == scores["oisF"] == scores["AP"] == 0
    # An image without boundary costs precision only; OIS chooses the threshold that predicts least.
    metric = BoundaryF(0.01)
    _score(metric, line, line)
    scores = _score(metric, 0.5 * line, nothing)
    assert 0.6 < scores["odsF"] <= 1
    assert scores["oisF"] >= scores["odsF"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 5)])
def test_tiny_images(shape):
    scores = _score(BoundaryF(0.1), np.full(shape, 0.5), np.ones(shape))
    assert 0 <= scores["odsF"] <= 1
    assert edge_nms(np.full(shape, 0.5)).shape == shape


def test_ignored_pixels_take_no_part():
    rng = np.random.default_rng(5)
    prediction, target = _smooth_noise(rng, 40, 50), (rng.random((40, 50)) < 0.1).astype(int)
    target[10:20, 30:45] = 255
    expected = _score(BoundaryF(0.02), prediction, target)
    prediction[10:20, 30:45] = rng.random((10, 15))
    assert _score(BoundaryF(0.02), prediction, target) == expected
    prediction[10:20, 30:45] = math.nan
    assert _score(BoundaryF(0.02), prediction, target) == expected


def test_padding_changes_nothing():
    rng = np.random.default_rng(6)
    prediction, target = _smooth_noise(rng, 40, 50), (rng.random((40, 50)) < 0.1).astype(int)
    padded = np.pad(target, ((3, 20), (30, 0)), constant_values=255)
    noisy = np.pad(prediction, ((3, 20), (30, 0)), constant_values=0.7)
    expected = _score(BoundaryF(0.02), prediction, target)
    assert _score(BoundaryF(0.02), noisy, padded) == expected


def test_ods_ois_and_ap_from_counts():
    metric = BoundaryF(0.01, thresholds=(0.2, 0.8))
    # Image 1 is best at 0.2, image 2 at 0.8; 10 boundary pixels each.
    counts = [(np.array([9, 3]), np.array([10, 3])), (np.array([9, 8]), np.array([40, 8]))]
    best = [best_index(m, p, 10) for m, p in counts]
    assert best == [0, 1]
    metric.load_state(
        {
            "matched": torch.tensor([18, 11]),
            "predicted": torch.tensor([50, 11]),
            "best_matched": torch.tensor(17),
            "best_predicted": torch.tensor(18),
            "actual": torch.tensor(20),
            "images": torch.tensor(2),
        }
    )
    scores = metric.compute()
    assert scores["odsF"] == pytest.approx(2 * 11 / (11 + 20))
    assert scores["odsThreshold"] == 0.8
    assert scores["oisF"] == pytest.approx(2 * 17 / (18 + 20))
    # Precision 1 at recall 0.55 and 0.36 at recall 0.9, straight in between, 0 elsewhere.
    grid = np.arange(55, 91) / 100
    line = 1 + (grid - 0.55) / 0.35 * (0.36 - 1)
    assert scores["AP"] == pytest.approx(line.sum() / 100)


def test_average_precision_stays_within_1():
    matched = np.arange(0, 101)
    assert average_precision(matched, matched, 100) <= 1


def test_thresholds_are_the_published_101():
    assert len(THRESHOLDS) == 101
    assert THRESHOLDS[:3] == (0.001, 0.01, 0.02)
    assert THRESHOLDS[-2:] == (0.99, 0.999)


def test_wrong_settings_and_values():
    with pytest.raises(ValueError, match="max_dist: got 2, wanted a fraction"):
        BoundaryF(2)
    with pytest.raises(ValueError, match="ignore_index: got 1"):
        BoundaryF(0.01, ignore_index=1)
    with pytest.raises(ValueError, match="thresholds: got"):
        BoundaryF(0.01, thresholds=(0.5, 0.2))
    with pytest.raises(ValueError, match=r"prediction: got the value 2\.0"):
        _score(BoundaryF(0.01), np.full((4, 4), 2.0), np.ones((4, 4)))
    with pytest.raises(ValueError, match="target: got the value 7"):
        _score(BoundaryF(0.01), np.ones((4, 4)), np.full((4, 4), 7))
