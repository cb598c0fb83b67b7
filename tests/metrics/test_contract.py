"""What every metric promises: additive states, NaN for nothing valid, errors that name names."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pamm import metrics
from pamm.metrics.base import exact_parts

Batch = tuple[Tensor, Tensor]


def _ignored(target: Tensor, share: float, value: float = 255) -> Tensor:
    hidden = torch.rand(target[:, :1].shape if target.ndim == 4 else target.shape) < share
    return torch.where(hidden.expand_as(target), torch.tensor(value, dtype=target.dtype), target)


def _classes(n: int) -> Batch:
    return torch.randint(0, 5, (n, 12, 14)), _ignored(torch.randint(0, 5, (n, 12, 14)), 0.2)


def _probability(n: int) -> Batch:
    target = (torch.rand(n, 1, 12, 14) < 0.3).long()
    noise = torch.rand(n, 1, 12, 14)
    return 0.5 * target + 0.5 * noise, _ignored(target, 0.1)


def _normals(n: int) -> Batch:
    return torch.randn(n, 3, 12, 14), _ignored(torch.randn(n, 3, 12, 14), 0.2, 0)


def _depth(n: int) -> Batch:
    return 10 * torch.rand(n, 1, 12, 14), _ignored(10 * torch.rand(n, 1, 12, 14), 0.2, 0)


def _numbers(n: int) -> Batch:
    nan = float("nan")
    return torch.randn(n, 1, 12, 14), _ignored(torch.randn(n, 1, 12, 14), 0.2, nan)


CASES: dict[str, tuple[Callable[[], metrics.Metric], Callable[[int], Batch], float]] = {
    "mean_iou": (lambda: metrics.MeanIoU(5), _classes, 255),
    "max_f_official": (lambda: metrics.MaxF("official"), _probability, 255),
    "max_f_plain": (lambda: metrics.MaxF("plain"), _probability, 255),
    "angular_error": (lambda: metrics.MeanAngularError(), _normals, 0),
    "rmse": (lambda: metrics.RootMeanSquaredError(), _depth, 0),
    "absolute_error": (lambda: metrics.MeanAbsoluteError(), _numbers, float("nan")),
    "boundary_f": (lambda: metrics.BoundaryF(0.05), _probability, 255),
}


@pytest.fixture(params=CASES, autouse=True)
def case(request: pytest.FixtureRequest) -> tuple:
    torch.manual_seed(3)
    return CASES[request.param]


def test_states_add_up_to_the_last_digit(case):
    make, draw, _ = case
    prediction, target = draw(7)
    whole = make()
    whole.update(prediction, target)
    parts = [make(), make(), make()]
    for part, images in zip(parts, ([5, 0], [3], [6, 1, 4, 2]), strict=True):
        part.update(prediction[images], target[images])
    states = [part.state() for part in parts]
    joined = make()
    joined.load_state({name: sum(state[name] for state in states) for name in states[0]})
    assert joined.compute() == whole.compute()
    for name, value in joined.state().items():
        assert torch.equal(value, whole.state()[name])


def test_state_is_on_the_cpu_in_additive_types_and_a_copy(case):
    make, draw, _ = case
    metric = make()
    metric.update(*draw(2))
    for value in metric.state().values():
        assert value.device.type == "cpu"
        assert value.dtype in (torch.int64, torch.float64)
        value.fill_(-1)
    assert metric.compute() == metric.compute()
    assert all((value != -1).any() for value in metric.state().values())


@pytest.mark.parametrize("images", [0, 1])
def test_nothing_valid_is_nan(case, images):
    make, draw, invalid = case
    metric = make()
    assert all(score != score for score in metric.compute().values())
    prediction, target = draw(images)
    metric.update(prediction, torch.full_like(target, invalid))
    assert all(score != score for score in metric.compute().values())


def test_reset_forgets(case):
    make, draw, _ = case
    metric, batch = make(), draw(2)
    metric.update(*draw(3))
    metric.reset()
    metric.update(*batch)
    fresh = make()
    fresh.update(*batch)
    assert metric.compute() == fresh.compute()


def test_other_dtypes_give_the_same_scores(case):
    make, draw, _ = case
    prediction, target = draw(2)
    # values that half precision and integers hold too
    prediction = (prediction * 8).round() / 8
    target = target.round()
    expected, given = make(), make()
    expected.update(prediction, target)
    whole = not prediction.is_floating_point()
    given.update(
        prediction.to(torch.uint8 if whole else torch.float16), target.to(torch.float32).half()
    )
    assert given.compute() == pytest.approx(expected.compute(), nan_ok=True)


def test_gradients_do_not_matter(case):
    make, draw, _ = case
    prediction, target = draw(1)
    if prediction.is_floating_point():
        make().update(prediction.requires_grad_(), target)


def test_wrong_arguments_are_named_and_leave_the_state(case):
    make, draw, _ = case
    metric = make()
    prediction, target = draw(2)
    metric.update(prediction, target)
    before = metric.compute()
    with pytest.raises(ValueError, match=r"prediction: got shape \(14,\), want \(B, "):
        metric.update(prediction[(0,) * (prediction.ndim - 1)], target)
    with pytest.raises(ValueError, match=r"target: got shape .*, want the prediction's \(2, "):
        metric.update(prediction, target[:1])
    with pytest.raises(TypeError, match=r"target: got list, want a torch\.Tensor"):
        metric.update(prediction, target.tolist())
    assert metric.compute() == before


def test_states_of_other_metrics_are_refused(case):
    make, _, _ = case
    metric = make()
    with pytest.raises(ValueError, match="state: got the entries"):
        metric.load_state({})
    wrong = {name: torch.zeros(2, 2, 2) for name in metric.state()}
    with pytest.raises(ValueError, match=r"want torch\.(int64|float64)"):
        metric.load_state(wrong)


def test_exact_parts_add_up_whatever_the_order(case):
    values = torch.randn(500, dtype=torch.float64).exp() * 1e5
    total = sum(exact_parts(v) for v in values)
    assert torch.equal(total, sum(exact_parts(v) for v in values.flip(0)))
    assert float(total.sum()) == pytest.approx(float(values.sum()), rel=1e-15)
