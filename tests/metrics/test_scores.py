"""mIoU, maxF, mErr, RMSE and delta_g against scikit-learn, loops and known answers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

from pamm.metrics import MaxF, MeanAngularError, MeanIoU, RootMeanSquaredError, delta_g
from pamm.metrics.angular_error import angle_between

SEEDS = st.integers(0, 2**31)
SIDES = st.integers(1, 9)


def _generator(seed):
    return torch.Generator().manual_seed(seed)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 3), SIDES, SIDES, st.integers(2, 6))
def test_mean_iou_equals_scikit_learn(seed, batch, height, width, classes):
    g = _generator(seed)
    prediction = torch.randint(0, classes, (batch, height, width), generator=g)
    target = torch.randint(0, classes, (batch, height, width), generator=g)
    target[torch.rand(target.shape, generator=g) < 0.2] = 255
    target[0, 0, 0] = 0
    metric = MeanIoU(classes)
    metric.update(prediction, target)
    valid = target != 255
    true, predicted = target[valid].numpy(), prediction[valid].numpy()
    labels = list(range(classes))
    per_class = jaccard_score(true, predicted, labels=labels, average=None, zero_division=0)
    present = np.isin(labels, np.concatenate([true, predicted]))
    scores = metric.compute()
    assert scores["mIoU"] == pytest.approx(per_class.mean())
    assert scores["mIoU_present"] == pytest.approx(per_class[present].mean())
    assert scores["pixel_accuracy"] == pytest.approx(accuracy_score(true, predicted))
    assert np.array_equal(np.isnan(metric.iou_per_class().numpy()), ~present)
    expected = confusion_matrix(true, predicted, labels=labels)
    assert np.array_equal(metric.state()["confusion"].numpy(), expected)


def test_mean_iou_pools_over_images_and_counts_absent_classes_as_0():
    metric = MeanIoU(3)
    metric.update(torch.tensor([[[0, 0]], [[1, 1]]]), torch.tensor([[[0, 1]], [[1, 1]]]))
    scores = metric.compute()  # class 0: 1/2, class 1: 2/3, class 2: never seen
    assert scores["mIoU"] == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert scores["mIoU_present"] == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_mean_iou_refuses_classes_out_of_range_but_not_under_ignored_pixels():
    metric = MeanIoU(3)
    metric.update(torch.tensor([[[9, 2]]]), torch.tensor([[[255, 2]]]))
    assert metric.compute()["pixel_accuracy"] == 1
    with pytest.raises(ValueError, match=r"prediction: got the class 3, .* 0\.\.2"):
        metric.update(torch.tensor([[[3]]]), torch.tensor([[[2]]]))
    with pytest.raises(ValueError, match=r"target: got the class -1, .* 0\.\.2"):
        metric.update(torch.tensor([[[1]]]), torch.tensor([[[-1]]]))
    with pytest.raises(ValueError, match=r"prediction: got the class 0\.5"):
        metric.update(torch.tensor([[[0.5]]]), torch.tensor([[[2]]]))
    with pytest.raises(ValueError, match="num_classes: got 0"):
        MeanIoU(0)
    with pytest.raises(ValueError, match="ignore_index: got 2"):
        MeanIoU(3, ignore_index=2)


def _max_f_by_loop(values, target, thresholds):
    scores = []
    for threshold in thresholds:
        chosen = values >= threshold
        true = int((chosen & (target == 1)).sum())
        precision = true / max(int((chosen & (target != 255)).sum()), 1)
        recall = true / max(int((target == 1).sum()), 1)
        below = 0.3 * precision + recall
        scores.append(1.3 * precision * recall / below if below else 0.0)
    return max(scores)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from(["official", "plain"]), st.floats(0.0, 1.0), SIDES, SIDES)
def test_max_f_equals_a_loop_over_thresholds(seed, protocol, salient, height, width):
    g = _generator(seed)
    prediction = torch.rand(2, 1, height, width, generator=g)
    target = (torch.rand(2, 1, height, width, generator=g) < salient).long()
    target[torch.rand(target.shape, generator=g) < 0.2] = 255
    target[0, 0, 0, 0] = 1
    metric = MaxF(protocol)
    metric.update(prediction, target)
    p = prediction.double()
    if protocol == "official":
        expected = _max_f_by_loop(torch.sigmoid(p), target, [k / 20 for k in range(1, 20)])
    else:
        expected = _max_f_by_loop(p, target, np.linspace(0, 1, 255))
    scores = metric.compute()
    assert scores["maxF"] == pytest.approx(expected)
    below = 0.3 * scores["precision"] + scores["recall"]
    rebuilt = 1.3 * scores["precision"] * scores["recall"] / below
    assert scores["maxF"] == pytest.approx(rebuilt)


def test_max_f_by_hand():
    prediction = torch.tensor([0.1, 0.3, 0.9, 1.0]).reshape(1, 1, 1, 4)
    target = torch.tensor([0, 0, 1, 255]).reshape(1, 1, 1, 4)
    for protocol in ("official", "plain"):
        metric = MaxF(protocol)
        metric.update(prediction, target)
        assert metric.compute()["maxF"] == pytest.approx(1)
    # Official: the cuts on p are 0.405 and 0.619; between them two values cannot be told apart.
    close = torch.tensor([0.45, 0.6]).reshape(1, 1, 1, 2)
    truth = torch.tensor([0, 1]).reshape(1, 1, 1, 2)
    official, plain = MaxF("official"), MaxF("plain")
    official.update(close, truth)
    plain.update(close, truth)
    assert official.compute()["maxF"] == pytest.approx(1.3 * 0.5 / (0.3 * 0.5 + 1))
    assert plain.compute()["maxF"] == pytest.approx(1)


def test_max_f_without_a_salient_pixel_is_0():
    metric = MaxF("plain")
    metric.update(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))
    assert metric.compute()["maxF"] == 0


def test_max_f_refuses_wrong_values():
    one = torch.ones(1, 1, 1, 1)
    with pytest.raises(ValueError, match="protocol: got 'offical', want one of official, plain"):
        MaxF("offical")
    with pytest.raises(ValueError, match=r"prediction: got the value 1\.5.*decode logits"):
        MaxF().update(1.5 * one, one)
    with pytest.raises(ValueError, match="prediction: got the value nan"):
        MaxF().update(math.nan * one, one)
    with pytest.raises(ValueError, match=r"target: got the value 2\.0, want 0, 1 or 255"):
        MaxF().update(one, 2 * one)


@settings(max_examples=30, deadline=None)
@given(SEEDS, SIDES, SIDES)
def test_angular_error_equals_the_arc_cosine(seed, height, width):
    g = _generator(seed)
    prediction = torch.randn(2, 3, height, width, generator=g).double()
    target = torch.randn(2, 3, height, width, generator=g).double()
    target[1, :, 0, 0] = 0
    target[0, 1, -1, -1] = 255
    metric = MeanAngularError()
    metric.update(prediction, target)
    angles = []
    for b in range(2):
        for y in range(height):
            for x in range(width):
                p, t = prediction[b, :, y, x].numpy(), target[b, :, y, x].numpy()
                if t.any() and not (t == 255).any():
                    cosine = p @ t / np.linalg.norm(p) / np.linalg.norm(t)
                    angles.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    scores = metric.compute()
    if not angles:
        assert math.isnan(scores["mErr"])
        return
    assert scores["mErr"] == pytest.approx(np.mean(angles))
    for limit in (11.25, 22.5, 30):
        assert scores[f"within_{limit:g}"] == pytest.approx(np.mean(np.array(angles) < limit))


def test_angular_error_is_exact_for_small_and_right_and_straight_angles():
    a = torch.tensor([[1.0, 0, 0]]).double()
    for degrees in (1e-7, 1.0, 90.0, 179.9999999, 180.0):
        r = math.radians(degrees)
        b = torch.tensor([[5 * math.cos(r), 5 * math.sin(r), 0]], dtype=torch.float64)
        assert float(angle_between(a, b)) == pytest.approx(degrees, rel=1e-8)
    assert float(angle_between(torch.zeros(1, 3), a)) == pytest.approx(90)


@settings(max_examples=30, deadline=None)
@given(SEEDS, SIDES, SIDES, st.floats(0, 5), st.floats(6, 80))
def test_rmse_equals_a_loop(seed, height, width, low, high):
    g = _generator(seed)
    prediction = 100 * torch.rand(2, 1, height, width, generator=g).double() - 10
    target = 90 * torch.rand(2, 1, height, width, generator=g).double()
    target[0, 0, 0, 0] = 0
    target[1, 0, 0, 0] = 5.5
    metric = RootMeanSquaredError(low, high)
    metric.update(prediction, target)
    pairs = [
        (max(p, 0.0), t)
        for p, t in zip(prediction.flatten().tolist(), target.flatten().tolist(), strict=True)
        if low < t < high
    ]
    scores = metric.compute()
    assert scores["RMSE"] == pytest.approx(math.sqrt(np.mean([(p - t) ** 2 for p, t in pairs])))
    assert scores["abs_rel"] == pytest.approx(np.mean([abs(p - t) / t for p, t in pairs]))
    close = [p > 0 and max(p / t, t / p) < 1.25 for p, t in pairs]
    assert scores["delta1"] == pytest.approx(np.mean(close))


def test_rmse_refuses_an_empty_range_and_passes_nan_on():
    with pytest.raises(ValueError, match="min_depth, max_depth: got 3, 2"):
        RootMeanSquaredError(3, 2)
    metric = RootMeanSquaredError()
    metric.update(torch.tensor([math.nan, 1.0]).reshape(1, 1, 1, 2), torch.ones(1, 1, 1, 2))
    assert math.isnan(metric.compute()["RMSE"])


# Table I of the paper.
PASCAL = ("semseg", "human_parts", "saliency", "normals", "boundary")
NYUD = ("semseg", "depth", "normals", "boundary")


@pytest.mark.parametrize(
    ("tasks", "baseline", "row", "expected"),
    [
        (PASCAL, (78.67, 67.75, 84.13, 14.01, 71.32), (81.38, 70.39, 84.51, 13.36, 75.30), 3.60),
        (PASCAL, (78.67, 67.75, 84.13, 14.01, 71.32), (79.12, 67.83, 85.25, 13.40, 73.40), 1.86),
        (PASCAL, (78.67, 67.75, 84.13, 14.01, 71.32), (79.03, 67.61, 84.81, 14.15, 73.00), 0.48),
        (NYUD, (53.36, 0.5635, 19.25, 76.90), (56.63, 0.5102, 18.52, 78.10), 5.23),
        (NYUD, (53.36, 0.5635, 19.25, 76.90), (53.56, 0.5183, 19.00, 77.60), 2.65),
    ],
)
def test_delta_g_gives_the_published_gains(tasks, baseline, row, expected):
    scores, base = dict(zip(tasks, row, strict=True)), dict(zip(tasks, baseline, strict=True))
    assert round(delta_g(scores, base, {"normals", "depth"}), 2) == expected
    flags = {task: task in ("normals", "depth") for task in tasks}
    assert delta_g(scores, base, flags) == delta_g(scores, base, ["normals", "depth"])
    assert delta_g(base, base, ()) == 0


def test_delta_g_refuses_what_it_cannot_compare():
    with pytest.raises(ValueError, match=r"got the tasks \['a'\] and \['b'\]"):
        delta_g({"a": 1.0}, {"b": 1.0}, ())
    with pytest.raises(ValueError, match="baseline: got a score of 0 for a"):
        delta_g({"a": 1.0}, {"a": 0.0}, ())
    with pytest.raises(ValueError, match="scores: got no task"):
        delta_g({}, {}, ())
    with pytest.raises(TypeError, match="lower_is_better: got the text 'a'"):
        delta_g({"a": 1.0}, {"a": 2.0}, "a")
