"""One suite over all models: sizes, gradients, state, subsets, precision, training, and more."""

import json
from dataclasses import fields, replace

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

import pamm
from pamm import checkpoint
from pamm.config import Experiment, run_experiment
from pamm.data import DataConfig
from pamm.errors import PammError
from pamm.evaluation.evaluate import evaluate_run
from pamm.model import MODELS, Model, ModelConfig, build_model
from pamm.model.describe import describe
from pamm.predictor import Predictor
from pamm.runtime.strict_json import from_json, to_json
from pamm.training.initial import check_first_step
from pamm.training.optim import OptimConfig, make_optimizer
from pamm.training.train_config import TrainConfig
from small_models import TASKS, small


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def model(name: str) -> Model:
    torch.manual_seed(0)
    return build_model(small(name))


def loss(outputs: object) -> torch.Tensor:
    given = (outputs.logits, *outputs.auxiliary)
    return sum(x.square().mean() for logits in given for x in logits.values())


def test_the_config_says_which_model_it_is(name):
    config = small(name)
    assert config.name == name
    assert type(build_model(config)) is MODELS[name]
    assert from_json(ModelConfig, to_json(config)) == config


@pytest.mark.parametrize("size", [(1, 1), (37, 61), (64, 64), (200, 16)])
@pytest.mark.parametrize("backbone", ["test_vit", "test_convnext"])
def test_any_size(name, backbone, size):
    model = build_model(small(name, backbone=backbone)).eval()
    with torch.inference_mode():
        outputs = model(torch.rand(1, 3, *size))
    assert {task: tuple(x.shape) for task, x in outputs.items()} == {
        task: (1, channels, *size) for task, channels in TASKS.items()
    }
    assert all(x.isfinite().all() for x in outputs.values())
    assert outputs.auxiliary == ()
    assert outputs.penalty is None


@pytest.mark.parametrize("tasks", [{"depth": 1}, {"saliency": 2, "boundary": 1}])
def test_any_tasks(name, tasks):
    outputs = build_model(small(name, tasks=tasks))(torch.rand(2, 3, 32, 32))
    assert {task: x.shape[1] for task, x in outputs.items()} == tasks
    assert all(logits.keys() == tasks.keys() for logits in outputs.auxiliary)


@pytest.mark.parametrize("backbone", ["test_vit", "test_resnet"])
def test_every_parameter_gets_a_gradient(name, backbone):
    model = build_model(small(name, backbone=backbone, stride=8))
    trained = set()
    for _ in range(4):  # routing keeps some experts out of a pass; ResNets start blocks at zero
        loss(model(torch.rand(4, 3, 32, 48))).backward()
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if parameter.grad is not None and parameter.grad.any():
                    trained.add(key)
                    parameter -= 0.01 * parameter.grad
        model.zero_grad()
    assert {key for key, _ in model.named_parameters()} - trained == set()


def test_the_state_dict_round_trips_bit_exactly(name, model):
    other = build_model(small(name))
    model(torch.rand(2, 3, 32, 32))  # moves the batch norms' statistics
    other.load_state_dict(load(save(model.state_dict())))
    image = torch.rand(1, 3, 40, 24)
    with torch.inference_mode():
        first, second = model.eval()(image), other.eval()(image)
    for task in first:
        assert torch.equal(first[task], second[task])


def test_the_images_of_a_batch_do_not_mix(model):
    model.eval()
    images = torch.rand(3, 3, 32, 48)
    with torch.inference_mode():
        together = model(images)
        for i in range(3):
            alone = model(images[i : i + 1])
            for task in together:
                torch.testing.assert_close(
                    alone[task], together[task][i : i + 1], rtol=1e-4, atol=1e-5
                )


def test_the_model_normalises(name):
    """An image, and one that another mean and deviation make the same of."""
    theirs = build_model(small(name)).eval()
    assert (theirs.mean, theirs.std) == ((0.5,) * 3, (0.5,) * 3)  # timm's of this backbone
    given = build_model(small(name, mean=(0.0,) * 3, std=(0.5, 0.5, 0.25))).eval()
    given.load_state_dict(theirs.state_dict())
    image = 0.5 + torch.rand(1, 3, 32, 48) / 2
    same = (image - 0.5) * torch.tensor([1, 1, 0.5]).view(-1, 1, 1)
    with torch.inference_mode():
        first, second = theirs(image), given(same)
    for task in first:
        torch.testing.assert_close(first[task], second[task], rtol=1e-4, atol=1e-5)
    assert theirs.config.mean == (0.5,) * 3  # so that a checkpoint says what it was


def test_an_image_is_brought_to_the_type_of_the_weights(model):
    model.eval()
    image = torch.rand(1, 3, 32, 48).half()
    with torch.inference_mode():
        expected, double = model(image.float()), model(image.double())
        for task in expected:
            assert torch.equal(model(image)[task], expected[task])
            assert torch.equal(double[task], expected[task])
        assert model.double()(image)["depth"].dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "values"),
    [
        (lambda image: image * 255, "0 to 255"),
        (lambda image: (image - 0.45) / 0.225, "-2 to 2.44444"),  # normalised already
        (lambda image: image.where(image < 1, torch.nan), "nan to nan"),
    ],
    ids=["bytes", "normalised", "NaN"],
)
def test_an_image_that_is_not_in_0_to_1_is_noted_once(model, capfd, change, values):
    image = torch.linspace(0, 1, 2 * 3 * 32 * 48).view(2, 3, 32, 48)
    said = f"pamm: the network was given an image with values from {values}, want RGB in 0..1"
    model.eval()(change(image))
    assert capfd.readouterr().err.startswith(said)
    model(change(image))
    assert capfd.readouterr().err == ""


def test_an_image_in_0_to_1_is_not_noted(model, capfd):
    model(torch.linspace(-0.01, 1.01, 2 * 3 * 32 * 48).view(2, 3, 32, 48))  # or nearly so
    assert capfd.readouterr().err == ""


def test_the_config_of_another_model(name):
    other = next(one for one in MODELS if one != name)
    message = f"config: got {type(small(other)).__name__}, want {type(small(name)).__name__}"
    with pytest.raises(TypeError, match=message):
        MODELS[name](small(other))


def test_recomputed_activations_change_no_gradient(name):
    models = [build_model(small(name, drop_path=0.5)) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    models[1].recompute_activations()
    image, gradients = torch.rand(2, 3, 32, 32), []
    for model in models:
        torch.manual_seed(1)
        loss(model(image)).backward()
        gradients.append({key: p.grad for key, p in model.named_parameters()})
    for key, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][key], expected, rtol=0, atol=0, msg=key)


def test_a_subset_says_the_same_or_is_refused(model):
    model.eval()
    image = torch.rand(1, 3, 37, 29)
    if not model.tasks_are_independent:
        with pytest.raises(PammError, match="look at each other: .*keep all of semseg, depth"):
            model.subset(["depth"])
        return
    for wrong, said in ((3, "3"), (None, "none")):
        with pytest.raises(PammError, match=f"tasks: got {said}, want one or more of semseg"):
            model.subset(wrong)
    with pytest.raises(PammError, match=r"unknown task \"\['depth'\]\""):
        model.subset([["depth"]])
    part = model.subset(["normals", "depth"])
    assert list(part.config.tasks) == ["depth", "normals"]
    with torch.inference_mode():
        whole, some = model(image), part(image)
    for task in some:
        torch.testing.assert_close(some[task], whole[task], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64])
def test_a_subset_is_of_the_same_type_and_on_the_same_device(name, kind):
    model = build_model(small(name)).to(kind)
    if model.tasks_are_independent:
        part = model.subset("depth")
        assert {p.dtype for p in part.parameters()} == {kind}
        assert torch.equal(part.heads()["depth"].weight, model.heads()["depth"].weight)
        on_meta = model.to("meta").subset("depth")
        assert {p.device.type for p in on_meta.parameters()} == {"meta"}


def test_what_is_saved_comes_back_with_all_tasks_or_some(model, tmp_path):
    checkpoint.save(tmp_path, "last", 1, Predictor(model.eval()), data=DataConfig())
    folder = checkpoint.find(tmp_path)
    saved = json.loads((folder / "config.json").read_text())
    assert (saved["format"], saved["model"]["name"]) == (2, model.config.name)
    image = torch.rand(1, 3, 37, 29)
    with torch.inference_mode():
        expected = model(image)
        whole, depth = checkpoint.load(folder), checkpoint.load(folder, tasks="depth")
        for task, logits in whole(image).items():
            assert torch.equal(logits, expected[task])
        assert list(depth.tasks) == list(depth(image)) == ["depth"]
        torch.testing.assert_close(depth(image)["depth"], expected["depth"], rtol=1e-4, atol=1e-5)


def test_the_heads_start_where_they_are_told(model):
    model.eval().start_outputs_at({"depth": 1000.0})
    with torch.inference_mode():
        outputs = model(torch.rand(1, 3, 32, 32))
    assert (outputs["depth"] - 1000).abs().max() < 100
    assert outputs["semseg"].abs().max() < 100


def test_blocks_hold_most_weights_once(model):
    inside = [id(p) for block in model.blocks() for p in block.parameters()]
    assert len(inside) == len(set(inside))
    assert set(inside) <= {id(p) for p in model.parameters()}
    held = {id(p) for p in model.parameters()} & set(inside)
    weights = sum(p.numel() for p in model.parameters() if id(p) in held)
    assert weights > 0.5 * sum(p.numel() for p in model.parameters())


def test_decay_spares_norms_biases_and_embeddings(model):
    config = OptimConfig(weight_decay=0.1, decay_matrices_only=True)
    optimizer = make_optimizer(model, config)
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    names = dict(model.named_parameters())
    spared = {key for key, p in names.items() if decay[id(p)] == 0}
    assert spared == model.no_weight_decay()
    assert "backbone.net.pos_embed" in spared
    matrices = {
        f"{key}.weight" for key, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)
    }
    assert not matrices & spared


def test_a_description_leaves_nothing_out(name, model):
    found = describe(small(name), (37, 61))
    assert sum(found.parameters.values()) == sum(p.numel() for p in model.parameters())
    assert set(found.parameters) | {"scan"} >= set(found.flops)
    assert ("prediction depth", (1, 1, 37, 61)) in found.shapes


def test_in_sixteen_bits(model):
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(torch.rand(2, 3, 32, 32))
        loss(outputs).backward()
    assert all(x.isfinite().all() for x in outputs.values())


@pytest.mark.parametrize("name", [name for name in MODELS if name != "pamm"], indirect=True)
def test_compiled_and_exported(model):
    """PAMM is in test_modes.py."""
    model.eval()
    image = torch.rand(1, 3, 32, 48)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    with torch.inference_mode():
        expected, found = model(image), compiled(image)
    exported = torch.export.export(model, (image,), strict=False).module()(image)
    for task in expected:
        torch.testing.assert_close(found[task], expected[task], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(exported[task], expected[task], rtol=1e-3, atol=1e-4)
    torch._dynamo.reset()


def test_train_evaluate_predict(name, tmp_path):
    """Twenty steps with everything that is random, a resumption, scores and a prediction."""
    data = DataConfig(size=(24, 32), train_count=6, val_count=2, workers=0)
    experiment = Experiment(
        model=small(name, tasks={"semseg": 16, "depth": 1}, drop_path=0.1),
        data=data,
        optim=OptimConfig(lr=1e-3),
        train=TrainConfig(steps=20, batch_size=2, log_every=1, checkpoint_every=10, keep=2),
    )
    run_experiment(experiment, tmp_path / "run")
    records = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [r["depth/loss"] for r in records if r["split"] == "train"]
    assert len(losses) == 20
    assert sum(losses[-5:]) < sum(losses[:5])
    report = evaluate_run(tmp_path / "run")
    assert report["scores"]["depth"]["RMSE"] > 0
    model = pamm.load(tmp_path / "run")
    assert model.crop_size == (24, 32)
    image = (torch.rand(3, 50, 41) * 255).to(torch.uint8)
    found = pamm.predict(model, image, tasks="depth")
    assert list(found) == ["depth"]
    assert found["depth"].shape == (50, 41)


@pytest.mark.parametrize(
    ("setting", "lacks"),
    [("penalty", "has no penalty"), ("auxiliary", "makes no auxiliary predictions")],
)
def test_weights_of_what_a_model_does_not_make_are_refused(name, model, setting, lacks):
    made = getattr(model.train()(torch.rand(2, 3, 32, 32)), setting)
    settings = TrainConfig(batch_size=2, **{setting: 0.5})
    if made is None or made == ():
        message = (
            f"train.{setting}: got 0.5, but {type(model).__name__} {lacks}: want --train.{setting}"
        )
        with pytest.raises(PammError, match=message):
            check_first_step(model, (32, 32), settings)
    else:
        check_first_step(model, (32, 32), settings)
    check_first_step(model, (32, 32), TrainConfig(batch_size=2, **{setting: 0}))
    check_first_step(model, (32, 32), TrainConfig(batch_size=2))


def test_an_experiment_with_another_model_keeps_what_they_share(name):
    config = small("pamm", stages=3, drop_path=0.3, mean=(0.1, 0.2, 0.3))
    parts = {"data": DataConfig(), "optim": OptimConfig(), "train": TrainConfig()}
    other = Experiment(model=config, **parts).with_model(name).model
    assert type(other) is MODELS[name].Config
    for field in fields(ModelConfig):
        assert getattr(other, field.name) == getattr(config, field.name)


def test_an_unknown_model():
    with pytest.raises(PammError, match="unknown model 'padnett': did you mean 'padnet'"):
        from_json(ModelConfig, {"name": "padnett", "tasks": {"depth": 1}})
    with pytest.raises(PammError, match="model: the field 'name' is missing, want one of pamm"):
        from_json(ModelConfig, {"tasks": {"depth": 1}}, where="model")


def test_the_wrong_name_for_a_config():
    wrong = {**to_json(small("pamm")), "name": "baseline"}
    with pytest.raises(PammError, match="unknown field"):
        from_json(ModelConfig, wrong)


class Forgetful(MODELS["baseline"]):
    """Has a layer that `parts` does not name."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.sharpen = nn.Conv2d(3, 3, 3, padding=1)

    def encode(self, image):
        return super().encode(image + self.sharpen(image))


def test_a_part_that_is_forgotten_is_found(monkeypatch):
    monkeypatch.setattr("pamm.model.describe.build_model", Forgetful)
    with pytest.raises(AssertionError, match=r"parts\(\) of Forgetful leave out sharpen.weight"):
        describe(small("baseline"), (32, 48))


def test_a_config_that_is_of_no_model():
    with pytest.raises(PammError, match="tasks: got none"):
        replace(small("pamm"), tasks={})


@pytest.mark.parametrize("config", ["padnet", None, ModelConfig(tasks={"depth": 1})], ids=str)
def test_what_is_the_config_of_no_model_is_said(config):
    with pytest.raises(TypeError, match="config: got .*, want one of PAMMConfig, BaselineConfig"):
        build_model(config)
