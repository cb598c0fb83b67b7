"""One suite over all tasks: what every task must do, whatever it predicts."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from pamm.errors import PammError
from pamm.metrics import Metric
from pamm.tasks import (
    TASK_TYPES,
    Boundary,
    Depth,
    HumanParts,
    Normals,
    Saliency,
    Semseg,
    Task,
    default_task,
    task_from_dict,
)
from pamm.tasks.colours import INVALID

TASKS = [
    Semseg(channels=5, class_names=("wall", "floor", "bed", "chair", "lamp")),
    Semseg(channels=3, name="materials", ignore_index=-1, loss_weight=0.5),
    HumanParts(),
    Saliency(),
    Saliency(channels=1, protocol="plain"),
    Normals(),
    Boundary(positive_weight=0.88, max_dist=0.011),
    Depth(mean_depth=3.3, max_depth=10.0),
]


@pytest.fixture(params=TASKS, ids=lambda t: f"{t.name}-{t.channels}")
def task(request: pytest.FixtureRequest) -> Task:
    return request.param


def random_target(task: Task, batch: int = 2, size: tuple[int, int] = (6, 7)) -> torch.Tensor:
    """Labels as a data set gives them, a third of the pixels without."""
    generator = torch.Generator().manual_seed(1)
    shape = (batch, *task.target_lead, *size)
    if task.target_dtype == torch.float32:
        target = torch.randn(shape, generator=generator)
        target = target.abs() + 0.5 if task.target_lead == (1,) else target
        target = target / target.norm(dim=1, keepdim=True) if task.target_lead == (3,) else target
    else:
        classes = task.channels if task.target_lead == () else 2
        target = torch.randint(classes, shape, generator=generator).to(task.target_dtype)
    unlabelled = torch.rand((batch, *size), generator=generator) < 0.33
    missing = unlabelled.view(batch, *(1 for _ in task.target_lead), *size).expand(shape)
    return torch.where(missing, task.pad_value, target).to(task.target_dtype)


def holds(target: torch.Tensor, value: float) -> torch.Tensor:
    """Where a target is equal to a value, which may be NaN."""
    return (target == value) | (target.isnan() & (value != value))


def unlabelled(task: Task, target: torch.Tensor) -> torch.Tensor:
    """bool (B, 1, H, W): the pixels that hold the pad value."""
    missing = holds(target, task.pad_value)
    return missing[:, None] if task.target_lead == () else missing.all(dim=1, keepdim=True)


def random_logits(task: Task, batch: int = 2, size: tuple[int, int] = (6, 7)) -> torch.Tensor:
    return torch.randn((batch, task.channels, *size), generator=torch.Generator().manual_seed(2))


def test_the_loss_is_a_positive_scalar_with_a_gradient(task: Task) -> None:
    logits = random_logits(task).requires_grad_()
    loss = task.loss(logits, random_target(task))
    loss.backward()
    assert loss.shape == ()
    assert loss.item() > 0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().sum() > 0


def test_gradcheck(task: Task) -> None:
    logits = random_logits(task, size=(3, 2)).double().requires_grad_()
    target = random_target(task, size=(3, 2))
    assert not unlabelled(task, target).all()
    assert torch.autograd.gradcheck(lambda x: task.loss(x, target), logits)


def test_without_labels_the_loss_and_its_gradient_are_zero(task: Task) -> None:
    logits = random_logits(task).requires_grad_()
    target = torch.stack([task.missing(6, 7)] * 2)
    loss = task.loss(logits, target)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_unlabelled_pixels_take_no_part(task: Task) -> None:
    logits, target = random_logits(task), random_target(task)
    missing = unlabelled(task, target)
    assert 0 < missing.sum() < missing.numel()
    changed = torch.where(missing, logits * 7 + 3, logits).requires_grad_()
    loss = task.loss(changed, target)
    loss.backward()
    assert torch.equal(loss, task.loss(logits, target))
    assert changed.grad is not None
    assert (changed.grad * missing).abs().sum() == 0


def test_an_image_without_labels_changes_nothing(task: Task) -> None:
    logits, target = random_logits(task), random_target(task)
    target[1] = task.missing(6, 7)
    alone = task.loss(logits[:1], target[:1])
    torch.testing.assert_close(task.loss(logits, target), alone)


@pytest.mark.parametrize("unlabelled_share", [False, True])
def test_the_mean_of_the_losses_of_two_processes(task: Task, unlabelled_share: bool) -> None:
    """Is the loss of both batches together, gradients too, however the labels are divided."""
    logits, target = random_logits(task, batch=4), random_target(task, batch=4)
    if unlabelled_share:
        target[:1] = task.missing(6, 7)
    whole = logits.clone().requires_grad_()
    loss = task.loss(whole, target)
    loss.backward()
    shares, counts = (slice(0, 1), slice(1, 4)), []

    def note(count: torch.Tensor) -> torch.Tensor:
        counts.append(count)
        return count

    for share in shares:  # what each process would tell the other
        task.loss(logits[share], target[share], reduce_mean=note)
    half = len(counts) // 2
    means = [(a + b) / 2 for a, b in zip(counts[:half], counts[half:], strict=True)]
    parts = logits.clone().requires_grad_()
    losses = []
    for share in shares:
        answers = iter(means)
        losses.append(
            task.loss(parts[share], target[share], reduce_mean=lambda _, a=answers: next(a))
        )
    mean = torch.stack(losses).mean()
    mean.backward()
    torch.testing.assert_close(mean, loss)
    torch.testing.assert_close(parts.grad, whole.grad)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_logits_are_computed_in_float32(task: Task, dtype: torch.dtype) -> None:
    logits, target = random_logits(task).to(dtype), random_target(task)
    loss = task.loss(logits, target)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, task.loss(logits.float(), target), rtol=0, atol=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(task.loss(logits, target), loss, rtol=1e-6, atol=0)
    assert task.decode(logits).dtype in (torch.float32, torch.int64)


def test_huge_half_logits_stay_finite(task: Task) -> None:
    logits = (random_logits(task) * 2e4).half().requires_grad_()
    loss = task.loss(logits, random_target(task))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_zero_logits_have_a_finite_gradient(task: Task) -> None:
    logits = torch.zeros(2, task.channels, 6, 7, requires_grad=True)
    task.loss(logits, random_target(task)).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().max() < 1e3


def test_the_mean_space_of_one_view_is_its_prediction(task: Task) -> None:
    logits = random_logits(task).double()
    back = task.from_mean_space(task.to_mean_space(logits))
    assert back.shape == logits.shape
    assert back.isfinite().all()
    torch.testing.assert_close(task.decode(back), task.decode(logits))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_means_of_certain_predictions_are_finite(task: Task, dtype: torch.dtype) -> None:
    logits = (random_logits(task) * 1000).to(dtype)
    back = task.from_mean_space(task.to_mean_space(logits))
    assert back.isfinite().all()
    expected = task.decode(logits)
    agree = task.decode(back)
    torch.testing.assert_close(agree, expected, atol=1e-6, rtol=1e-6)


def test_protocols_change_the_score_only(task: Task) -> None:
    for protocol in ("official", "plain"):
        other = task.with_protocol(protocol)
        assert type(other) is type(task)
        assert other.with_protocol("official") == task.with_protocol("official")
        assert other.score in other.metric().compute()
        same = {**other.to_dict(), "protocol": None}
        assert same == {**task.to_dict(), "protocol": None}


def test_flipping_twice_changes_nothing(task: Task) -> None:
    target = random_target(task)
    for one, two in (
        (task.flip(task.flip(target)), target),
        (task.flip(target)[0], task.flip(target[0])),
    ):
        torch.testing.assert_close(one, two, rtol=0, atol=0, equal_nan=True)
    assert task.flip(target).dtype == target.dtype


def test_missing_and_padding_agree(task: Task) -> None:
    target = task.missing(3, 4)
    assert target.shape == (*task.target_lead, 3, 4)
    assert target.dtype == task.target_dtype
    assert holds(target, task.pad_value).all()
    assert not task.is_labelled(target).any()
    assert task.is_labelled(random_target(task)).any()


def test_prediction_array_and_picture(task: Task) -> None:
    prediction = task.decode(random_logits(task))[0]
    target = random_target(task)[0]
    assert prediction.shape == target.shape
    for tensor in (prediction, target):
        array = task.to_array(tensor)
        assert array.shape[:2] == (6, 7)
        picture = task.colourise(array)
        assert picture.shape == (6, 7, 3)
        assert picture.dtype == np.uint8
        limits = task.value_range(array)
        assert limits is None or limits[0] <= limits[1]
        assert task.caption(limits)
    missing = unlabelled(task, target[None])[0, 0].numpy()
    assert (task.colourise(task.to_array(target))[missing] == INVALID).all()
    assert (task.colourise(task.to_array(task.missing(6, 7))) == INVALID).all()


def test_the_metric_takes_predictions_and_targets(task: Task) -> None:
    metric = task.metric()
    assert isinstance(metric, Metric)
    metric.update(task.decode(random_logits(task)), random_target(task))
    assert task.score in metric.compute()
    assert task.metric() is not metric


def test_a_perfect_constant_prediction(task: Task) -> None:
    """From one labelled image, the constant prediction is that image's labels."""
    target = random_target(task, batch=1)
    prediction = task.constant_prediction(iter([target[0], target[0]]))[None]
    assert prediction.shape == target.shape
    assert prediction.dtype == task.decode(random_logits(task)).dtype
    valid = ~unlabelled(task, target)
    agree = prediction == target if task.target_lead != (3,) else (prediction - target).abs() < 1e-6
    agree = agree[:, None] if task.target_lead == () else agree
    assert agree[valid.expand_as(agree)].all()


def test_constant_predictions_want_one_size(task: Task) -> None:
    with pytest.raises(ValueError, match="several sizes"):
        task.constant_prediction([task.missing(3, 4), task.missing(4, 3)])
    with pytest.raises(ValueError, match="no images"):
        task.constant_prediction([])


def test_one_constant_for_all_positions(task: Task) -> None:
    """It takes images of any size, and is that of all their pixels in one image."""
    targets = [random_target(task, batch=1, size=size)[0] for size in ((6, 7), (3, 9))]
    constant = task.constant_prediction(targets, everywhere=True)
    assert constant.shape == (*task.target_lead, 1, 1)
    row = torch.cat([target.flatten(-2) for target in targets], dim=-1)[..., None, :]
    torch.testing.assert_close(task.constant_prediction([row], everywhere=True), constant)
    task.metric().update(constant.expand(targets[0].shape)[None], targets[0][None])
    with pytest.raises(ValueError, match="no images"):
        task.constant_prediction([], everywhere=True)


def test_sums_and_counts_of_images_add_up_to_the_loss_of_all(task: Task) -> None:
    logits, target = random_logits(task, batch=3), random_target(task, batch=3)
    target[1] = task.missing(6, 7)
    parts = [task.loss_sums(logits[i : i + 1], target[i : i + 1]) for i in range(3)]
    sums, counts = (torch.stack(values).sum(0) for values in zip(*parts, strict=True))
    torch.testing.assert_close(task.mean_loss(sums, counts), task.loss(logits, target))
    assert counts[-1] == (~unlabelled(task, target)).sum()
    assert parts[1][1].tolist() == [0] * len(counts)


def test_which_images_are_scored(task: Task) -> None:
    target = random_target(task, batch=3)
    target[1] = task.missing(6, 7)
    assert task.is_scored(target).tolist() == [True, False, True]


def test_dict_round_trip(task: Task) -> None:
    values = json.loads(json.dumps(task.to_dict()))
    assert values == task.to_dict()
    assert task_from_dict(values) == task


def test_rescale_keeps_shape_and_labels(task: Task) -> None:
    target = random_target(task)
    scaled = task.rescale(target, 2.0)
    assert torch.equal(unlabelled(task, scaled), unlabelled(task, target))
    assert scaled.dtype == target.dtype


def test_wrong_shapes_are_named(task: Task) -> None:
    logits, target = random_logits(task), random_target(task)
    with pytest.raises(ValueError, match=r"target has shape .* want"):
        task.loss(logits, target[..., :-1])
    with pytest.raises(ValueError, match="logits have shape"):
        task.loss(logits[0], target)
    with pytest.raises(ValueError, match="logits have shape"):
        task.decode(torch.zeros(1, task.channels + 1, 2, 2))


def test_the_class_describes_itself(task: Task) -> None:
    assert TASK_TYPES[task.type_name] is type(task)
    assert task.unit in ("fraction", "degrees", "m")
    assert task.higher_is_better == (task.score in ("mIoU", "maxF", "odsF"))
    assert task.score == task.with_protocol("official").score
    assert task.title


@pytest.mark.parametrize(
    ("name", "channels", "weight"),
    [
        ("semseg", 40, 1),
        ("human_parts", 7, 2),
        ("saliency", 2, 5),
        ("normals", 3, 10),
        ("boundary", 1, 50),
        ("depth", 1, 1),
    ],
)
def test_default_tasks_have_the_papers_weights(name: str, channels: int, weight: float) -> None:
    task = default_task(name, channels)
    assert (task.name, task.channels, task.loss_weight) == (name, channels, weight)


def test_unknown_names_are_refused_with_a_hint() -> None:
    with pytest.raises(PammError, match="did you mean 'semseg'"):
        default_task("semsg", 4)
    with pytest.raises(PammError, match="did you mean 'depth'"):
        task_from_dict({"type": "dept", "channels": 1})
    with pytest.raises(PammError, match="did you mean 'max_depth'"):
        task_from_dict({"type": "depth", "max_dept": 1})
    with pytest.raises(PammError, match="without 'type'"):
        task_from_dict({"channels": 1})


@pytest.mark.parametrize(
    ("name", "channels"), [("normals", 2), ("depth", 3), ("boundary", 3), ("human_parts", 6)]
)
def test_impossible_channels_are_refused(name: str, channels: int) -> None:
    with pytest.raises(ValueError, match="channels"):
        default_task(name, channels)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Semseg(channels=0), "channels: got 0, want 1 to 65,536"),
        (lambda: Semseg(channels=2, class_names=("a",)), "1 class names for 2"),
        (lambda: Semseg(channels=256), "ignore_index 255 is also one of"),
        (lambda: Depth(loss_weight=-1), "loss_weight"),
        (lambda: Depth(loss_weight=float("nan")), "loss_weight"),
        (lambda: Boundary(positive_weight=1.5), "positive_weight"),
        (lambda: Boundary(form="heed"), "unknown form .* did you mean 'hed'"),
    ],
)
def test_impossible_fields_are_refused(make, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_a_boundary_task_is_scored_in_its_form() -> None:
    assert Boundary().metric().describe()["form"] == "seism"
    task = task_from_dict(Boundary(form="hed", max_dist=0.02).to_dict())
    for protocol in ("official", "plain"):
        how = task.with_protocol(protocol).metric().describe()
        assert (how["form"], how["max_dist"]) == ("hed", 0.02)


def test_a_crop_leaves_targets_as_they_are(task: Task) -> None:
    for target in (random_target(task, batch=1)[0], task.missing(4, 5)):
        torch.testing.assert_close(task.after_crop(target), target, rtol=0, atol=0, equal_nan=True)


def test_background_alone_is_no_label_of_human_parts() -> None:
    target = torch.tensor([[0, 255], [0, 0]])
    assert torch.equal(HumanParts().after_crop(target), torch.full((2, 2), 255))
    assert torch.equal(HumanParts(empty_images=True).after_crop(target), target)
    target[0, 0] = 6
    assert torch.equal(HumanParts().after_crop(target), target)


def test_importing_tasks_loads_no_drawing_and_no_scipy() -> None:
    code = (
        "import sys, pamm.tasks; "
        "print([m for m in ('matplotlib', 'scipy', 'PIL', 'lightning') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
