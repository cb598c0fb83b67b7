"""PAMM in every variant: shapes, gradients, state dict, subsets, sizes. See also test_models.py."""

import copy

import pytest
import torch
from safetensors.torch import load, save

from pamm.errors import PammError
from pamm.model import PAMMConfig
from pamm.model.scan_order import ORDERS

VARIANTS = {
    "full": {},
    "baseline": {"task_conv": False, "pame": False},
    "no task conv": {"task_conv": False},
    "no pame": {"pame": False},
    "no experts b": {"experts_b": False},
    "no experts c": {"experts_c": False},
    "no experts": {"experts_b": False, "experts_c": False},
    "no prior b": {"prior_b": False},
    "no prior c": {"prior_c": False},
    "no priors": {"prior_b": False, "prior_c": False},
    "top 1": {"top_k": 1},
    "top all": {"top_k": 5},
    **{name: {"scan": name} for name in ORDERS if name != "hilbert"},
    "1 direction": {"directions": 1},
    "2 directions": {"directions": 2},
    "1 stage": {"stages": 1},
    "2 stages": {"stages": 2},
    "3 stages": {"stages": 3},
    "one task": {"tasks": {"saliency": 2}},
    "stride 8": {"stride": 8},
    "odd width": {"d_model": 20},
    "resnet": {"backbone": "test_resnet", "stride": 8},
    "convnext": {"backbone": "test_convnext"},
}


@pytest.mark.parametrize("backbone", ["test_vit", "test_convnext", "test_resnet", "test_vit4"])
def test_recomputed_activations_change_no_gradient(build, backbone):
    """Drop path and router noise are drawn again alike; the balance loss reaches the routers."""
    models = [build(backbone=backbone, drop_path=0.5) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    models[1].recompute_activations()
    image, results, passes = torch.rand(2, 3, 32, 32), [], []
    for i, model in enumerate(models):
        model.pame[0].reduce.register_forward_hook(lambda *_, i=i: passes.append(i))
        torch.manual_seed(1)
        outputs = model.train()(image)
        (sum(x.square().mean() for x in outputs.values()) + outputs.penalty).backward()
        results.append({name: p.grad for name, p in model.named_parameters()})
    assert passes == [0, 1, 1]
    for name, expected in results[0].items():
        torch.testing.assert_close(results[1][name], expected, rtol=0, atol=0, msg=name)
    for a, b in zip(models[0].buffers(), models[1].buffers(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_gets_a_gradient(build, variant):
    model = build(**VARIANTS[variant])
    trained = set()
    for _ in range(4):  # routing keeps some experts out of a pass; ResNets start blocks at zero
        logits = model(torch.rand(4, 3, 32, 48))
        sum(x.square().mean() for x in logits.values()).backward()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.grad is not None and parameter.grad.any():
                    trained.add(name)
                    parameter -= 0.01 * parameter.grad
        model.zero_grad()
    assert {name for name, _ in model.named_parameters()} - trained == set()


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_state_dict_round_trips_bit_exactly(build, variant):
    model, other = build(**VARIANTS[variant]), build(**VARIANTS[variant])
    model(torch.rand(2, 3, 32, 32))  # moves the batch norms' statistics
    other.load_state_dict(load(save(model.state_dict())))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    image = torch.rand(1, 3, 40, 24)
    with torch.inference_mode():
        first, second = model.eval()(image), other.eval()(image)
    for task in first:
        assert torch.equal(first[task], second[task])


def test_what_the_authors_code_forgets_is_in_the_state_dict(build):
    names = {name.rpartition(".")[2] for name, _ in build().named_parameters()}
    assert {"A_log", "D", "delta_bias", "prior_b", "prior_c"} <= names


@pytest.mark.parametrize("variant", ["full", "resnet", "convnext", "stride 8"])
@pytest.mark.parametrize("size", [(1, 1), (37, 61), (64, 64), (200, 16)])
def test_any_size(build, variant, size):
    model = build(**VARIANTS[variant]).eval()
    with torch.inference_mode():
        logits = model(torch.rand(1, 3, *size))
    assert {task: tuple(x.shape) for task, x in logits.items()} == {
        task: (1, channels, *size) for task, channels in model.config.tasks.items()
    }
    assert all(x.isfinite().all() for x in logits.values())


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_subset_of_the_tasks_predicts_the_same(build, variant):
    changes = {k: v for k, v in VARIANTS[variant].items() if k != "tasks"}
    model = build(**changes)
    model(torch.rand(2, 3, 32, 32))
    model.eval()
    image, size = torch.rand(1, 3, 37, 29), sum(p.numel() for p in model.parameters())
    with torch.inference_mode():
        whole = model(image)
        for tasks in (["depth"], ["semseg", "normals"]):
            part = model.subset(tasks[::-1])
            assert list(part.config.tasks) == tasks
            assert sum(p.numel() for p in part.parameters()) < size
            some = part(image)
            for task in tasks:
                torch.testing.assert_close(some[task], whole[task], rtol=1e-4, atol=1e-5)


def test_a_subset_of_one_task_or_of_none(build):
    model = build()
    assert list(model.subset("depth").config.tasks) == ["depth"]
    with pytest.raises(PammError, match="tasks: got none, want one or more of"):
        model.subset([])


def test_a_subset_with_an_unknown_task(build):
    with pytest.raises(PammError, match="unknown task 'dept': did you mean 'depth'"):
        build().subset(["dept"])


def test_routing_weights_can_be_read_and_do_not_hinder_a_copy(build):
    model = build()
    model(torch.rand(2, 3, 32, 32))
    routers = model.routers()
    assert len(routers) == 2 * model.config.stages
    for router in routers.values():
        assert router.weights.shape == (2, 3, 5)
        assert not router.weights.requires_grad
    copy.deepcopy(model)


def test_the_balance_loss_reaches_the_routers(build):
    model = build()
    model(torch.rand(2, 3, 32, 32)).penalty.backward()
    for router in model.routers().values():
        assert router.logits.weight.grad.any()


@pytest.mark.parametrize(
    "model", [{"pame": False}, {"experts_b": False, "experts_c": False}], ids=str
)
def test_without_routers_there_is_no_balance_loss(build, model):
    assert build(**model)(torch.rand(2, 3, 32, 32)).penalty is None


@pytest.mark.parametrize(
    "image", [torch.zeros(3, 32, 32), torch.zeros(1, 1, 32, 32), torch.zeros(1, 3, 0, 5)]
)
def test_a_wrong_image(build, image):
    with pytest.raises(ValueError, match=r"image: got .* want \(B, 3, H, W\)"):
        build()(image)


def test_an_integer_image(build):
    with pytest.raises(ValueError, match="torch.uint8, want"):
        build()(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": {}}, "tasks: got none"),
        ({"tasks": ["depth"]}, r"tasks: got \['depth'\], want {name: value, ...}"),
        ({"backbone": None}, "backbone: got None, want text"),
        ({"pretrained": 1}, "pretrained: got 1, want True or False or text"),
        ({"pame": "no"}, "pame: got 'no', want True or False"),
        ({"tasks": {"depth": 0}}, "tasks.depth: got 0, want 1 to"),
        ({"d_model": 0}, "d_model: got 0"),
        ({"top_k": 16}, "top_k: got 16, want 1 to num_experts = 15"),
        ({"scan": "hilber"}, "unknown scan order 'hilber': did you mean 'hilbert'"),
        ({"directions": 3}, "directions: got 3"),
        ({"stages": 5}, "stages: got 5"),
        ({"stride": 0}, "stride: got 0"),
        ({"drop_path": 1.0}, "drop_path: got 1.0"),
    ],
)
def test_bad_configurations(changes, message):
    with pytest.raises(PammError, match=message):
        PAMMConfig(**{"tasks": {"depth": 1}, **changes})
