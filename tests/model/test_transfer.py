"""What a model takes of another one: everything that fits, task by task and class by class."""

import pytest
import torch

from pamm.model import MODELS, Model, build_model
from pamm.model.transfer import transfer
from small_models import TASKS, small

NAMES = {"semseg": (("floor", "chair", "lamp", "bed", "box"),) * 2}


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def model(name: str, seed: int, **changes: object) -> Model:
    """Every number in it random, statistics of norms too."""
    torch.manual_seed(seed)
    made = build_model(small(name, **changes)).eval()
    for tensor in made.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.01, 0.1)
    return made


def outputs(network: Model) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    with torch.inference_mode():
        return dict(network(torch.rand(1, 3, 32, 48)))


def test_the_same_model_takes_everything(name):
    source, target = model(name, 0), model(name, 1)
    moved = transfer(source, target, NAMES)
    assert [m.name for m in moved] == list(target.state_dict())
    assert all(m.rows == 1 and not m.why for m in moved)
    assert {m.part for m in moved} <= set(target.parts())
    theirs, ours = outputs(source), outputs(target)
    assert all(torch.equal(ours[task], theirs[task]) for task in TASKS)


def test_tasks_are_found_by_name_in_any_order(name):
    """Where tasks are independent, those that both have are predicted as they were."""
    source = model(name, 0)
    target = model(name, 1, tasks={"normals": 3, "boundary": 1, "semseg": 5})
    moved = transfer(source, target, NAMES)
    if not source.tasks_are_independent:
        assert any("in another order" in m.why for m in moved)
        return
    theirs, ours = outputs(source), outputs(target)
    for task in ("normals", "semseg"):
        torch.testing.assert_close(ours[task], theirs[task])
    assert any(m.why == "new: the tasks boundary" and m.rows == 2 / 3 for m in moved)
    assert {m.rows for m in moved} <= {0, 2 / 3, 1}
    new = [m.name for m in moved if m.rows == 0]
    assert new
    assert all("boundary" in key for key in new)


def test_classes_are_found_by_name(name):
    source, target = model(name, 0), model(name, 1, tasks={**TASKS, "semseg": 3})
    before = {kind: t.clone() for kind, t in target.heads()["semseg"].named_parameters()}
    names = (NAMES["semseg"][0], ("lamp", "piano", "floor"))
    moved = {m.name: m for m in transfer(source, target, {"semseg": names})}
    theirs, ours = source.heads()["semseg"], target.heads()["semseg"]
    # What a layer is given may depend on the number of classes, too: then its weight is new.
    kinds = ["bias", *(["weight"] if ours.weight.shape[1:] == theirs.weight.shape[1:] else [])]
    for kind in kinds:
        assert torch.equal(getattr(ours, kind)[0], getattr(theirs, kind)[2])
        assert torch.equal(getattr(ours, kind)[2], getattr(theirs, kind)[0])
        assert torch.equal(getattr(ours, kind)[1], before[kind][1])
    partly = [m for m in moved.values() if 0 < m.rows < 1 and "classes" in m.why]
    assert len(partly) == len(kinds)
    assert {m.why for m in partly} == {"new: the classes piano"}
    assert all(m.rows == pytest.approx(2 / 3) for m in partly)


def test_classes_without_names_fit_by_their_number(name):
    source, target = model(name, 0), model(name, 1, tasks={**TASKS, "semseg": 3})
    moved = transfer(source, target, {})
    new = [m for m in moved if m.rows == 0]
    assert any("5 there, 3 here" in m.why for m in new)
    assert torch.equal(source.heads()["depth"].bias, target.heads()["depth"].bias)
    assert not torch.equal(source.heads()["semseg"].bias[:3], target.heads()["semseg"].bias)


def test_classes_that_share_no_name_are_all_new(name):
    source, target = model(name, 0), model(name, 1)
    others = {"semseg": (NAMES["semseg"][0], ("a", "b", "c", "d", "e"))}
    before = target.heads()["semseg"].bias.clone()
    moved = transfer(source, target, others)
    assert torch.equal(target.heads()["semseg"].bias, before)
    assert [m.why for m in moved if m.rows == 0] == ["none of the classes is there"] * 2


def test_another_model_gives_its_backbone(name):
    for other in MODELS:
        source, target = model(other, 0), model(name, 1)
        moved = transfer(source, target, NAMES)
        backbone = [m for m in moved if m.name.startswith("backbone.")]
        assert all(m.rows == 1 for m in backbone)
        for key, tensor in target.backbone.state_dict().items():
            assert torch.equal(tensor, source.backbone.state_dict()[key]), key


def test_another_backbone_leaves_its_own_as_it_is():
    source, target = model("baseline", 0), model("baseline", 1, backbone="test_resnet")
    before = {key: tensor.clone() for key, tensor in target.backbone.state_dict().items()}
    moved = {m.name: m for m in transfer(source, target, NAMES)}
    for key, tensor in target.backbone.state_dict().items():
        assert torch.equal(tensor, before[key]), key
        assert moved[f"backbone.{key}"].rows == 0
        assert moved[f"backbone.{key}"].why == "not in the other model"
    assert torch.equal(source.heads()["depth"].weight, target.heads()["depth"].weight)


def test_other_widths_are_told():
    moved = transfer(model("baseline", 0), model("baseline", 1, d_model=64), NAMES)
    told = {m.why for m in moved if m.rows == 0}
    assert "5x32x1x1 there, 5x64x1x1 here" in told
    assert any("a task there" in why for why in told)
    assert "" not in told
