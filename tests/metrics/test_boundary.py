"""BoundaryF and its parts: hand-computed lines, scikit-image's thinning, brute-force matching."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.signal import convolve2d
from skimage.morphology import thin

from pamm import native
from pamm.errors import PammError
from pamm.metrics import BoundaryF, boundary_matching, boundary_native
from pamm.metrics.boundary_f import (
    average_precision,
    best_between,
    best_index,
    f_measure,
    image_counts,
)
from pamm.metrics.boundary_forms import FORMS, BoundaryForm, boundary_form
from pamm.metrics.boundary_matching import Counts
from pamm.metrics.edges import (
    edge_nms,
    normal,
    outlines,
    suppress_non_maxima,
    thin_nested,
    triangle_smooth,
)

SEEDS = st.integers(0, 2**31)
SIDES = st.integers(1, 14)
HALF = np.array([0.5])
THRESHOLDS = FORMS["seism"].thresholds
needs_library = pytest.mark.skipif(native.library() is None, reason=native.problem())


@pytest.fixture(
    params=[
        pytest.param(boundary_matching, id="plain"),
        pytest.param(boundary_native, id="compiled", marks=needs_library),
    ],
    scope="module",
)
def form(request):
    """The module whose `boundary_counts` is tested."""
    return request.param


def _smooth_noise(rng, height, width):
    noise = triangle_smooth(rng.random((height, width)), 1)
    return (noise - noise.min()) / max(np.ptp(noise), 1e-9)


def _score(metric, prediction, target):
    metric.update(
        torch.as_tensor(prediction).double()[None, None], torch.as_tensor(target).long()[None, None]
    )
    return metric.compute()


def _counts(matched, predicted):
    matched = np.array(matched)
    return Counts(matched, np.array(predicted), matched)


# --- the steps


@pytest.mark.parametrize("radius", [1, 4])
def test_triangle_smooth_is_the_2d_convolution(radius):
    image = np.random.default_rng(0).random((17, 13))
    line = np.minimum(np.arange(1, 2 * radius + 2), np.arange(2 * radius + 1, 0, -1))
    kernel = np.outer(line, line) / line.sum() ** 2
    padded = np.pad(image, radius, mode="symmetric")
    assert triangle_smooth(image, radius) == pytest.approx(convolve2d(padded, kernel, "valid"))


@pytest.mark.parametrize("degrees", [0, 45, 90, 135])
def test_normal_is_across_the_line(degrees):
    y, x = np.mgrid[-20:21, -20:21]
    across = x * math.cos(math.radians(degrees)) + y * math.sin(math.radians(degrees))
    down, right = normal(np.exp(-((across / 3) ** 2)))
    angle = math.degrees(math.atan2(down[20, 20], right[20, 20]))
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
    got = suppress_non_maxima(edges, np.sin(angle), np.cos(angle))
    assert got == pytest.approx(_suppress_by_loop(edges, angle))


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
def test_matching_is_the_largest(form, seed, height, width, distance, dense, denser):
    rng = np.random.default_rng(seed)
    prediction = thin(rng.random((height, width)) < dense)
    target = rng.random((height, width)) < denser
    counts = form.boundary_counts(
        prediction.astype(float), target[None], thresholds=HALF, max_distance=distance
    )
    expected = _largest_matching(prediction, target, distance)
    assert counts.matched[0] == counts.recalled[0] == expected
    assert counts.predicted[0] == prediction.sum()


def test_dense_maps_are_matched_at_a_wide_distance(form):
    rng = np.random.default_rng(1)
    prediction, target = thin(rng.random((60, 60)) < 0.4), rng.random((60, 60)) < 0.4
    counts = form.boundary_counts(
        prediction.astype(float), target[None], thresholds=HALF, max_distance=6
    )
    assert counts.matched[0] > 0.95 * min(prediction.sum(), target.sum())


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(3, 14), st.integers(3, 14), st.floats(0, 2.5))
def test_counts_equal_each_threshold_by_itself(form, seed, height, width, distance):
    rng = np.random.default_rng(seed)
    edges = np.round(_smooth_noise(rng, height, width), 1)  # many values equal to a threshold
    target = rng.random((height, width)) < 0.2
    thresholds = np.array(THRESHOLDS)[::7]
    counts = form.boundary_counts(edges, target[None], thresholds=thresholds, max_distance=distance)
    for k, threshold in enumerate(thresholds):
        line = thin(edges > threshold)
        assert counts.predicted[k] == line.sum()
        assert counts.matched[k] == _largest_matching(line, target, distance)


def _cheapest_matchings(prediction, target, max_distance):
    """By trying all: the sets of predicted pixels that the cheapest largest matchings cover."""
    pixels, targets = np.argwhere(prediction).tolist(), np.argwhere(target).tolist()
    best, covers = (0, 0.0), {frozenset()}
    for count in range(1, min(len(pixels), len(targets)) + 1):
        for some in itertools.combinations(range(len(pixels)), count):
            for partners in itertools.permutations(targets, count):
                lengths = [math.dist(pixels[i], t) for i, t in zip(some, partners, strict=True)]
                if max(lengths) > max_distance:
                    continue
                key = (-count, sum(round(100 * length) for length in lengths))
                if key < best:
                    best, covers = key, set()
                if key == best:
                    covers.add(frozenset(some))
    return covers


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from([1, 1.5, 2.3, 4]))
def test_with_several_truths_the_matchings_are_the_cheapest(form, seed, distance):
    rng = np.random.default_rng(seed)
    prediction = np.zeros((6, 7), bool)
    prediction[rng.integers(0, 3, 5) * 2, rng.integers(0, 4, 5) * 2] = True  # no two are neighbours
    truths = np.zeros((2, 6, 7), bool)
    for truth in truths:
        truth[rng.integers(0, 6, 4), rng.integers(0, 7, 4)] = True
    counts = form.boundary_counts(
        prediction.astype(float), truths, thresholds=HALF, max_distance=distance
    )
    covers = [_cheapest_matchings(prediction, truth, distance) for truth in truths]
    # Equally cheap matchings may cover different pixels, so there may be several right answers.
    assert counts.matched[0] in {len(a | b) for a in covers[0] for b in covers[1]}
    assert counts.recalled[0] == sum(len(next(iter(sets))) for sets in covers)
    assert counts.predicted[0] == prediction.sum()


def test_pixels_between_two_truths_go_to_the_nearer_one(form):
    # Two predicted lines, and two people who each saw only one of them: both lines are right.
    prediction, truths = np.zeros((12, 30)), np.zeros((2, 12, 30), bool)
    prediction[4], prediction[8] = 0.9, 0.6
    truths[0, 5], truths[1, 7] = True, True
    counts = form.boundary_counts(
        prediction, truths, thresholds=np.array([0.5, 0.7]), max_distance=3.5
    )
    assert counts.predicted.tolist() == [60, 30]
    assert counts.matched.tolist() == [60, 30]
    assert counts.recalled.tolist() == [60, 60]


@needs_library
@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 40), st.integers(1, 40), st.integers(0, 6), st.booleans())
def test_the_compiled_ridges_are_the_plain_ones(seed, height, width, smoothing, eight_bits):
    image = _smooth_noise(np.random.default_rng(seed), height, width)
    if eight_bits:  # many equal neighbours, and many exactly 1.01 times as strong
        image = np.floor(255 * image) / 255
    compiled = boundary_native.edge_nms(image, smoothing=smoothing)
    assert np.array_equal(compiled, edge_nms(image, smoothing=smoothing))


@needs_library
@pytest.mark.parametrize("size", [(96, 128), (61, 203), (425, 560)])
def test_the_compiled_counts_are_the_plain_ones(size):
    rng = np.random.default_rng(size[0])
    classes = np.argmax(ndimage.gaussian_filter(rng.random((8, *size)), (0, 9, 9)), axis=0)
    truth = thin(ndimage.laplace(classes, mode="mirror") != 0)
    texture = np.clip(5 * ndimage.gaussian_filter(rng.random(size) - 0.5, 1.5), 0, 1)
    near = ndimage.gaussian_filter(np.roll(truth, 2, axis=(0, 1)).astype(float), 1.5)
    edges = edge_nms(np.clip(near / near.max() * rng.random() + 0.5 * texture, 0, 1), smoothing=0)
    given = {"thresholds": np.array(THRESHOLDS), "max_distance": 0.011 * math.hypot(*size)}
    plain = boundary_matching.boundary_counts(edges, truth[None], **given)
    compiled = boundary_native.boundary_counts(edges, truth[None], **given)
    for name in Counts._fields:
        assert np.array_equal(getattr(plain, name), getattr(compiled, name)), name
    assert 0 < plain.matched[30] < plain.predicted[30]
    # The cheapest matching, which the original tool looks for, has as many pairs.
    twice = boundary_native.boundary_counts(edges, np.stack([truth, truth]), **given)
    assert np.array_equal(twice.recalled, 2 * plain.matched)
    assert np.array_equal(twice.matched, plain.matched)


# --- scores by hand


def _shifted_line(form, shift, max_dist):
    target = np.zeros((40, 60), bool)
    target[:, 25] = True
    line = np.zeros((40, 60))
    line[:, 25 + shift] = 1
    counts = form.boundary_counts(
        line, target[None], thresholds=HALF, max_distance=max_dist * math.hypot(40, 60)
    )
    return f_measure(counts, int(target.sum()))[0]


@pytest.mark.parametrize("shift", range(7))
def test_a_shifted_line_counts_up_to_max_dist(form, shift):
    max_dist = 3 / math.hypot(40, 60)
    assert _shifted_line(form, shift, max_dist * 1.001) == (1 if shift <= 3 else 0)


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
    counts, actual = image_counts(
        prediction,
        target[None] > 0,
        target >= 0,
        max_dist=0,
        form=BoundaryForm(name="one", smoothing=1, thresholds=(0.05,)),
    )
    # The ends fade out near the image border; what is left is the middle line and nothing else.
    assert counts.matched[0] == counts.predicted[0]
    assert actual - 4 <= counts.predicted[0] <= actual


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
    # An image without boundary costs precision only; OIS chooses the lowest threshold for it.
    metric = BoundaryF(0.01)
    _score(metric, line, line)
    scores = _score(metric, 0.5 * line, nothing)
    assert 0.8 < scores["odsF"] <= 1  # above 0.5
    assert 0.6 < scores["oisF"] < 0.7


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 5)])
def test_tiny_images(shape):
    scores = _score(BoundaryF(0.1), np.full(shape, 0.5), np.ones(shape))
    assert 0 <= scores["odsF"] <= 1
    assert edge_nms(np.full(shape, 0.5), smoothing=1).shape == shape


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
    form = BoundaryForm(name="two", thresholds=(0.2, 0.8), interpolate=False)
    metric = BoundaryF(0.01, form=form)
    # Image 1 is best at 0.2, image 2 at 0.8; 10 boundary pixels each.
    counts = [_counts([9, 3], [10, 3]), _counts([9, 8], [40, 8])]
    best = [best_index(c, 10) for c in counts]
    assert best == [0, 1]
    metric.load_state(
        {
            "matched": torch.tensor([18, 11]),
            "predicted": torch.tensor([50, 11]),
            "recalled": torch.tensor([18, 11]),
            "best_matched": torch.tensor(17),
            "best_predicted": torch.tensor(18),
            "best_recalled": torch.tensor(17),
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
    curve = metric.curve()
    assert curve["threshold"].tolist() == [0.2, 0.8]
    assert curve["precision"] == pytest.approx([18 / 50, 1])
    assert curve["recall"] == pytest.approx([18 / 20, 11 / 20])
    assert curve["F"][1] == pytest.approx(scores["odsF"])


def test_several_people_mark_an_image():
    # Of two predicted lines one person saw both, two saw one: P = 1, R = 1.
    prediction = torch.zeros(1, 1, 60, 80, dtype=torch.float64)
    truths = torch.zeros(1, 3, 60, 80, dtype=torch.int64)
    prediction[..., 10:50, [20, 60]] = 0.9
    truths[:, 0, 10:50, [20, 60]] = 1
    truths[:, 1:, 10:50, 20] = 1
    metric = BoundaryF(0.02)
    metric.update(prediction, truths)
    assert metric.compute()["odsF"] == pytest.approx(1, abs=0.02)
    # With the person alone who saw one line, half of the prediction is wrong.
    single = BoundaryF(0.02)
    single.update(prediction, truths[:, 1:2])
    assert single.compute()["odsF"] == pytest.approx(2 / 3, abs=0.02)


@needs_library
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_without_the_library_the_counts_are_the_same_in_all_forms(form, monkeypatch):
    rng = np.random.default_rng(8)
    prediction, target = _smooth_noise(rng, 70, 50), rng.random((70, 50)) < 0.1
    metrics = BoundaryF(0.02, form=form), BoundaryF(0.02, form=form)
    expected = _score(metrics[0], prediction, target)
    assert expected["odsF"] > 0
    monkeypatch.setattr(native, "library", lambda: None)
    assert _score(metrics[1], prediction, target) == expected
    one, two = (metric.state() for metric in metrics)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_average_precision_stays_within_1():
    counts = _counts(range(101), range(101))
    assert average_precision(counts, 100) <= 1


# --- the forms


def test_thresholds_are_the_published_ones():
    assert len(THRESHOLDS) == 101
    assert THRESHOLDS[:3] == (0.001, 0.01, 0.02)
    assert THRESHOLDS[-2:] == (0.99, 0.999)
    for name in ("hed", "thin"):
        assert FORMS[name].thresholds == pytest.approx(np.arange(1, 100) / 100, abs=1e-15)
    assert FORMS["thin"].with_thresholds(1).thresholds == (0.5,)
    assert FORMS["hed"].with_thresholds(4).thresholds == pytest.approx((0.2, 0.4, 0.6, 0.8))
    for count in (0, -1, 1001):
        with pytest.raises(PammError, match=f"thresholds: got {count}, want 1 to 1000"):
            FORMS["hed"].with_thresholds(count)


def test_the_report_names_the_form():
    for name, form in FORMS.items():
        how = BoundaryF(0.01, form=form).describe()
        assert how["form"] == form.name == name
    assert BoundaryF(0.01).describe()["form"] == "seism"
    assert FORMS["seism"].describe() == (
        "cut off to 8 bits, non-maximum-suppressed, cut above the threshold, thinned"
    )
    with pytest.raises(PammError, match="unknown form .* 'heed': did you mean 'hed'"):
        boundary_form("heed")


def _published(prediction, form):
    """The map that is cut at thresholds, written out step by step for each named form."""
    if form == "seism-minmax":
        prediction = (prediction - prediction.min()) / (prediction.max() - prediction.min())
    if form.startswith("seism"):  # whole levels, by dropping what is behind the point
        return edge_nms((255 * prediction).astype(np.uint8) / 255, smoothing=0)
    if form == "hed":
        ridges = suppress_non_maxima(
            triangle_smooth(prediction, 1), *normal(triangle_smooth(prediction, 1))
        )
        return np.rint(255 * ridges) / 255
    return prediction


@pytest.mark.parametrize("name", FORMS)
def test_forms_step_by_step(name):
    rng = np.random.default_rng(3)
    prediction = 0.1 + 0.7 * _smooth_noise(rng, 40, 60)
    target = thin(rng.random((40, 60)) < 0.1)
    valid = np.ones((40, 60), bool)
    counts, actual = image_counts(prediction, target[None], valid, max_dist=0.03, form=FORMS[name])
    edges, distance = _published(prediction, name), 0.03 * math.hypot(40, 60)
    assert actual == target.sum()
    for k in range(5, 95, 13):
        threshold = FORMS[name].thresholds[k]
        line = thin(edges > threshold if name.startswith("seism") else edges >= threshold)
        assert counts.predicted[k] == line.sum()
        assert counts.matched[k] == _largest_matching(line, target, distance)


def test_levels_at_a_threshold_count_except_in_seism():
    # 51 / 255 is 0.2 to the last bit.
    prediction, target = np.zeros((40, 60)), np.zeros((40, 60))
    prediction[10:30, 20], target[10:30, 20] = 51 / 255, 1
    for name, at in (("seism", False), ("hed", True), ("thin", True)):
        curve = BoundaryF(0.01, form=FORMS[name])
        if name == "hed":  # its smoothing halves a line of one pixel
            _score(curve, 2 * prediction, target)
        else:
            _score(curve, prediction, target)
        reached = curve.curve()["recall"][np.argmin(abs(curve.thresholds - 0.2))] > 0.5
        assert reached == at, name


def test_a_stretched_map_does_not_depend_on_its_range():
    rng = np.random.default_rng(4)
    prediction, target = _smooth_noise(rng, 40, 50), (rng.random((40, 50)) < 0.1).astype(int)
    target[:, 45:] = 255
    metric = BoundaryF(0.02, form=FORMS["seism-minmax"])
    expected = _score(metric, prediction, target)
    pale = 0.25 + 0.5 * prediction
    pale[:, 45:] = rng.random((40, 5))  # not labelled
    scores = _score(BoundaryF(0.02, form=FORMS["seism-minmax"]), pale, target)
    assert scores == pytest.approx(expected, abs=0.02)
    flat = _score(BoundaryF(0.02, form=FORMS["seism-minmax"]), np.full((9, 9), 0.5), np.eye(9))
    assert flat["odsF"] == 0


def _outlines_by_loop(labels):
    """The published recipe: compare with the right, lower, lower right; borders by themselves."""
    height, width = labels.shape
    lines = np.zeros((height, width), bool)
    for y in range(height):
        for x in range(width):
            steps = ((0, 1), (1, 0), (1, 1)) if y < height - 1 and x < width - 1 else ()
            if y == height - 1 and x < width - 1:
                steps = ((0, 1),)
            if x == width - 1 and y < height - 1:
                steps = ((1, 0),)
            lines[y, x] = any(labels[y, x] != labels[y + dy, x + dx] for dy, dx in steps)
    return thin(lines)


@settings(max_examples=40, deadline=None)
@given(SEEDS, SIDES, SIDES, st.integers(1, 4))
def test_outlines_are_the_published_ones(seed, height, width, classes):
    labels = np.random.default_rng(seed).integers(0, classes, (height, width))
    assert np.array_equal(outlines(labels), _outlines_by_loop(labels))


def test_outlines_of_lines():
    line = np.zeros((9, 12), np.uint8)
    line[:, 5] = 255
    one = outlines(line)
    assert (one[1:].sum(1) == 1).all()  # the line itself, at most a pixel to the left
    assert one[1:, 4:6].sum() == 8
    line[:, 6] = 255
    two = outlines(line)
    assert two.sum() == 18  # both sides of a line of two pixels
    assert two[:, [4, 6]].all()


def test_precision_without_predictions_is_that_of_the_published_tools():
    line = np.zeros((40, 60))
    line[10:30, 20:40] = np.eye(20)
    for name, nothing in (("seism", 1), ("hed", 0), ("thin", 0)):
        metric = BoundaryF(0.01, form=FORMS[name])
        _score(metric, 0.6 * line, line)
        curve = metric.curve()
        empty = curve["recall"] == 0
        assert empty[-1]
        assert (curve["precision"][empty] == nothing).all()
        assert (curve["F"][empty] == 0).all()
    # Two thresholds: recall 1 with precision 0.5, and nothing: the area is under a line or a slope.
    counts = _counts([10, 0], [20, 0])
    assert average_precision(counts, 10, nothing=1) == pytest.approx(0.75 * 1.01)
    assert average_precision(counts, 10, nothing=0) == pytest.approx(0.25 * 1.01)
    assert average_precision(_counts([0], [0]), 10, nothing=1) == 0


def _best_by_loop(thresholds, recall, precision):
    """As Berkeley's code collects results: the first of the largest F on a walk in 100 steps."""

    def f(p, r):
        return 2 * p * r / (p + r) if p + r else 0.0

    best = (f(precision[0], recall[0]), thresholds[0])
    for i in range(1, len(thresholds)):
        for step in range(100):
            d = step / 99
            p = precision[i] * d + precision[i - 1] * (1 - d)
            r = recall[i] * d + recall[i - 1] * (1 - d)
            if f(p, r) > best[0]:
                best = f(p, r), thresholds[i] * d + thresholds[i - 1] * (1 - d)
    return best


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 7))
def test_interpolated_ods_is_that_of_a_walk_between_thresholds(seed, count):
    rng = np.random.default_rng(seed)
    thresholds = np.sort(rng.random(count)) + np.arange(count)
    predicted = np.sort(rng.integers(0, 200, count))[::-1]
    matched = rng.integers(0, predicted + 1)
    counts = _counts(matched, predicted)
    f, threshold = best_between(counts, 150, thresholds)
    precision = matched / np.maximum(predicted, 1)
    expected = _best_by_loop(thresholds, matched / 150, precision)
    assert f == pytest.approx(expected[0], rel=1e-12)
    assert f >= f_measure(counts, 150).max() - 1e-12
    if f:
        assert threshold == pytest.approx(expected[1], rel=1e-6)


def test_wrong_settings_and_values():
    with pytest.raises(ValueError, match="max_dist: got 2, want a fraction"):
        BoundaryF(2)
    with pytest.raises(ValueError, match="ignore_index: got 1"):
        BoundaryF(0.01, ignore_index=1)
    with pytest.raises(ValueError, match="thresholds: got"):
        BoundaryF(0.01, form=BoundaryForm(name="x", thresholds=(0.5, 0.2)))
    for thresholds in ((), (0.0, 0.5), (math.nan,)):
        with pytest.raises(ValueError, match="want ascending numbers above 0"):
            BoundaryF(0.01, form=BoundaryForm(name="x", thresholds=thresholds))
    with pytest.raises(ValueError, match=r"prediction: got the value 2\.0"):
        _score(BoundaryF(0.01), np.full((4, 4), 2.0), np.ones((4, 4)))
    with pytest.raises(ValueError, match="target: got the value 7"):
        _score(BoundaryF(0.01), np.ones((4, 4)), np.full((4, 4), 7))
