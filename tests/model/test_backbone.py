"""Which blocks are tapped, how weights are found, and what is refused."""

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from pamm.errors import PammError
from pamm.model.backbone import Backbone

VIT = "test_vit"


def backbone(name: str = VIT, **changes: object) -> Backbone:
    return Backbone(name, **changes)


def test_a_vit_is_tapped_at_even_distances_and_normed_at_the_end_only():
    own = backbone("vit_tiny_patch16_224").eval()
    assert own.taps == [2, 5, 8, 11]
    image = torch.randn(1, 3, 32, 48)
    with torch.inference_mode():
        maps = own(image)
        x = own.net.patch_embed(image)
        x = own.net.norm_pre(own.net._pos_embed(x))
        for i, block in enumerate(own.net.blocks):
            x = block(x)
            if i in own.taps:
                tokens = own.net.norm(x) if i == 11 else x
                expected = tokens[:, 1:].transpose(1, 2).reshape(1, 192, 2, 3)
                torch.testing.assert_close(maps[own.taps.index(i)], expected)


def test_fewer_stages_are_the_last_ones():
    whole, some = backbone().eval(), backbone(stages=2).eval()
    some.load_state_dict(whole.state_dict(), strict=False)
    image = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        for a, b in zip(whole(image)[2:], some(image), strict=True):
            assert torch.equal(a, b)


def test_weights_from_safetensors_and_pth(tmp_path):
    source = timm.create_model(VIT)  # with its classifier, which is left out
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    for file in ("weights.safetensors", "weights.pth"):
        own = backbone(pretrained=str(tmp_path / file))
        assert torch.equal(own.net.blocks[1].mlp.fc1.weight, source.blocks[1].mlp.fc1.weight)
        assert torch.equal(own.net.pos_embed, source.pos_embed)


def test_weights_from_the_npz_of_the_original_vit(tmp_path):
    """The layout of the original JAX release, written here from a random model."""
    name = "vit_tiny_patch16_224"
    source = timm.create_model(name, num_classes=0)
    width, heads = source.embed_dim, source.blocks[0].attn.num_heads

    def array(tensor: torch.Tensor) -> np.ndarray:
        return tensor.detach().numpy()

    arrays = {
        "embedding/kernel": array(source.patch_embed.proj.weight.permute(2, 3, 1, 0)),
        "embedding/bias": array(source.patch_embed.proj.bias),
        "cls": array(source.cls_token),
        "Transformer/posembed_input/pos_embedding": array(source.pos_embed),
        "Transformer/encoder_norm/scale": array(source.norm.weight),
        "Transformer/encoder_norm/bias": array(source.norm.bias),
    }
    for i, block in enumerate(source.blocks):
        prefix = f"Transformer/encoderblock_{i}/"
        attention = prefix + "MultiHeadDotProductAttention_1/"
        for part, weight, bias in zip(
            ("query", "key", "value"),
            block.attn.qkv.weight.chunk(3),
            block.attn.qkv.bias.chunk(3),
            strict=True,
        ):
            kernel = array(weight.T).reshape(width, heads, -1)
            arrays[f"{attention}{part}/kernel"] = kernel
            arrays[f"{attention}{part}/bias"] = array(bias).reshape(heads, -1)
        out = array(block.attn.proj.weight.T).reshape(heads, -1, width)
        arrays[f"{attention}out/kernel"] = out
        arrays[f"{attention}out/bias"] = array(block.attn.proj.bias)
        for number, layer in enumerate((block.mlp.fc1, block.mlp.fc2)):
            arrays[f"{prefix}MlpBlock_3/Dense_{number}/kernel"] = array(layer.weight.T)
            arrays[f"{prefix}MlpBlock_3/Dense_{number}/bias"] = array(layer.bias)
        for number, layer in ((0, block.norm1), (2, block.norm2)):
            arrays[f"{prefix}LayerNorm_{number}/scale"] = array(layer.weight)
            arrays[f"{prefix}LayerNorm_{number}/bias"] = array(layer.bias)
    arrays["head/kernel"] = np.zeros((width, 10))
    np.savez(tmp_path / "vit.npz", **arrays)
    own = backbone(name, pretrained=str(tmp_path / "vit.npz"))
    assert own.weights.text().endswith("left out: head (no part of a backbone)")
    for key, tensor in source.state_dict().items():
        assert torch.equal(own.net.state_dict()[key], tensor), key


def test_weights_of_another_model(tmp_path):
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(PammError, match=r"other.safetensors' holds no weights of 'test_vit'"):
        backbone(pretrained=str(tmp_path / "other.safetensors"))


def test_a_whole_model_is_no_backbone(tmp_path):
    state = {f"backbone.net.{k}": v for k, v in timm.create_model(VIT).state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(PammError, match="it is a whole model: --train.init starts from one"):
        backbone(pretrained=str(tmp_path / "model.safetensors"))


def test_a_damaged_weight_file(tmp_path):
    (tmp_path / "damaged.pth").write_text("these are no weights")
    with pytest.raises(PammError, match=r"damaged.pth' holds no weights of 'test_vit'"):
        backbone(pretrained=str(tmp_path / "damaged.pth"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "vit_bse_patch16_224"}, "unknown backbone 'vit_bse_patch16_224': did you mean"),
        ({"name": "vit_base_patch16_384.augrg"}, "unknown backbone .*augreg_in21k_ft_in1k"),
        ({"pretrained": "missing.pth"}, "pretrained: no file 'missing.pth'"),
        ({"pretrained": __file__}, r"pretrained: 'test_backbone.py' is not one of .safetensors"),
    ],
)
def test_bad_arguments(changes, message):
    with pytest.raises(PammError, match=message):
        backbone(**changes)


@pytest.mark.parametrize(
    ("name", "drop_path", "stages", "multiple"),
    [
        ("swin_tiny_patch4_window7_224", 0.1, 4, 32),
        ("twins_svt_small", 0.1, 4, 32),  # linear layers over more than five dimensions
        ("vit_small_patch14_dinov2", 0.1, 4, 14),
        ("vit_small_patch16_dinov3", 0.1, 4, 16),
        ("convnextv2_atto", 0.1, 4, 32),
        ("efficientnet_b0", 0.1, 4, 32),
        ("hieradet_small", 0.1, 4, 32),  # has no norm of intermediate maps
        ("maxvit_pico_rw_256", 0.1, 4, 256),  # windows want a multiple of timm's own size
        ("hrnet_w18_small", 0.0, 4, 32),  # has no drop path, as the next three
        ("vgg11", 0.0, 4, 32),
        ("repvit_m0_9", 0.0, 4, 32),
        ("efficientvit_m0", 0.0, 3, 64),  # has three stages
    ],
)
def test_backbones_by_name(name, drop_path, stages, multiple):
    """Any size goes in, maps of the stated channels and strides come out, and all is trained."""
    own = backbone(name, drop_path=drop_path, stages=stages).train()
    assert own.multiple == multiple
    side = own.multiple * (1 if multiple > 200 else 2)
    size = (side, side + own.multiple)
    maps = own(torch.randn(2, 3, *size))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (channels, size[0] // stride, size[1] // stride)
        for channels, stride in zip(own.channels, own.strides, strict=True)
    ]
    assert len(maps) == stages
    sum(m.square().mean() for m in maps).backward()
    unused = [n for n, p in own.named_parameters() if p.grad is None]
    assert unused == []


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("cait_xxs24_224", {}, "does not take images of any size .*docs/backbones.md"),
        ("gmlp_ti16_224", {}, "does not take images of any size .*docs/backbones.md"),
        ("vgg11", {"drop_path": 0.1}, "has no drop path: set --model.drop-path 0"),
        ("levit_128s", {}, "does not take images of any size"),  # nor with three stages
        ("efficientvit_m0", {}, "has 3 stages, want 4: set --model.stages 3"),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_backbones_that_cannot_serve_say_so_when_they_are_made(name, changes, message, device):
    with torch.device(device), pytest.raises(PammError, match=f"backbone '{name}' {message}"):
        backbone(name, **changes)


@pytest.mark.parametrize("name", [VIT, "test_resnet", "swin_tiny_patch4_window7_224"])
def test_trying_a_backbone_leaves_no_trace(name, monkeypatch):
    """Neither on the numbers that come next nor on the model's own."""
    torch.manual_seed(0)
    tried, after = backbone(name, drop_path=0.1), torch.rand(1)
    monkeypatch.setattr("pamm.model.backbone._TRIED", {})
    monkeypatch.setattr(Backbone, "_tried", lambda self, name, multiple: (multiple, True))
    torch.manual_seed(0)
    plain = backbone(name, drop_path=0.1)
    assert torch.equal(torch.rand(1), after)
    for key, tensor in plain.state_dict().items():
        assert torch.equal(tried.state_dict()[key], tensor), key
    assert all(b.device.type == "cpu" for b in tried.buffers())
