"""Compiling, exporting and the other modes of PyTorch: they work, and leave nothing behind."""

from collections.abc import Callable

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from pamm.errors import PammError
from pamm.model import PAMM
from pamm.model.layers.constants import constant
from pamm.model.layers.upsampled_conv import bands
from pamm.model.scan_order import cached_orders, make_orders

DYNAMIC = ({0: torch.export.Dim("batch", min=2, max=64)},)


def fake(model: PAMM, image: torch.Tensor) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        model(mode.from_tensor(image))


def export(model: PAMM, image: torch.Tensor) -> None:
    torch.export.export(model, (image,))


def meta(model: PAMM, image: torch.Tensor) -> None:
    with torch.device("meta"):
        PAMM(model.config).eval()(torch.empty(image.shape))


def inference(model: PAMM, image: torch.Tensor) -> None:
    with torch.inference_mode():
        model(image)


MODES = [fake, export, meta, inference]


def predictions(model: PAMM, image: torch.Tensor) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return model(image)


def assert_same(found: dict, expected: dict, tolerance: float = 0.0) -> None:
    for name, x in expected.items():
        torch.testing.assert_close(found[name], x, rtol=tolerance, atol=tolerance, msg=name)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("before", [False, True])
def test_a_mode_leaves_nothing_behind(build, monkeypatch, mode: Callable, before: bool):
    """The size of the image is new for the first use, or used before: nothing kept is mixed in."""
    model, image = build().eval(), torch.randn(2, 3, 32, 48)
    expected = predictions(model, image)
    forget()
    if before:
        predictions(model, image)
    with torch.set_grad_enabled(mode is not export):
        mode(model, image)
    assert_same(predictions(model, image), expected)
    model.train()
    outputs = model(image)
    (sum(x.sum() for x in outputs.values()) + outputs.penalty).backward()
    assert all(r.weights.isfinite().all() for r in model.routers().values())


def forget() -> None:
    from pamm.model.layers import constants

    constants._kept.cache_clear()
    constants._array.cache_clear()


def test_an_exported_model_predicts_the_same_for_other_batches(build):
    model, image = build().eval(), torch.randn(2, 3, 64, 48)
    with torch.no_grad():
        program = torch.export.export(model, (image,), dynamic_shapes=DYNAMIC)
    images = torch.randn(3, 3, 64, 48)
    assert_same(program.module()(images), predictions(model, images), 1e-5)
    assert_same(program.module()(image), predictions(model, image), 1e-5)


def test_a_compiled_model_predicts_the_same(build):
    model = build().eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    for size in ((32, 48), (48, 32), (20, 70)):
        image = torch.randn(2, 3, *size)
        assert_same(predictions(compiled, image), predictions(model, image), 1e-5)


@pytest.mark.parametrize("backbone", ["test_vit", "test_convnext"])
def test_a_compiled_step_has_the_same_gradients(build, backbone):
    """Through autograd's compiler, which wants of tensors the strides that it expects."""
    models = [build(backbone=backbone, stages=1, drop_path=0.0) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    models[1].compile(backend="aot_eager", fullgraph=True, dynamic=False)
    image, gradients = torch.randn(2, 3, 32, 64), []
    for model in models:
        for router in model.routers().values():  # its noise is drawn otherwise
            torch.nn.init.constant_(router.noise.bias, -100.0)
            torch.nn.init.zeros_(router.noise.weight)
        logits = model.train()(image)
        sum(x.square().mean() for x in logits.values()).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, expected in gradients[0].items():
        found = gradients[1][name]
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5, msg=name)


def test_a_traced_model_is_refused(build):
    model, image = build().eval(), torch.randn(1, 3, 32, 32)
    predictions(model, image)
    with (
        pytest.warns(),
        pytest.raises(PammError, match="torch.jit.trace would fix .*: use torch.export.export"),
    ):
        torch.jit.trace(model, (image,), strict=False)


def test_constants_are_made_once(build):
    like = torch.zeros(1)
    with torch.inference_mode():
        first = cached_orders("hilbert", 5, 7, 2, like=torch.zeros(1))
    assert cached_orders("hilbert", 5, 7, 2, like=like) is first
    assert not first.is_inference()
    assert torch.equal(first, make_orders("hilbert", 5, 7, 2))


def test_constants_have_the_dtype_and_the_device_of_what_they_meet():
    like = torch.zeros(1, dtype=torch.bfloat16)
    assert constant(bands, 3, like=like).dtype == torch.bfloat16
    assert cached_orders("hilbert", 5, 7, 2, like=like).dtype == torch.int64
    assert constant(bands, 3, like=like.to("meta")).is_meta
    with FakeTensorMode() as mode:
        made = cached_orders("hilbert", 5, 7, 2, like=mode.from_tensor(like))
    assert made.fake_mode is mode
