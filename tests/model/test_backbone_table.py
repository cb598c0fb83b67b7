"""`pamm backbones`: what comes by pip, what is in the hub's cache, and what each costs."""

from pathlib import Path

import pytest
import timm
from huggingface_hub import constants
from safetensors.torch import save_file

from pamm.cli import main
from pamm.errors import PammError
from pamm.model.backbone import Backbone
from pamm.model.backbone_table import HERE, cost, usable
from pamm.model.weights import PACKAGES
from pamm.model.weights.packages import install_command, is_installed

TAGGED = "test_vit.r160_in1k"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub with the weights of a small ViT; the folder that they are in."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / f"models--timm--{TAGGED}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    weights = folder / "snapshots" / ("0" * 40)
    weights.mkdir(parents=True)
    save_file(timm.create_model("test_vit").state_dict(), weights / "model.safetensors")
    return weights


def test_packages_come_first_with_what_is_here():
    rows = usable([])
    assert [row.pretrained for row in rows[: len(PACKAGES)]] == [f"package:{p}" for p in PACKAGES]
    for row, (name, weights) in zip(rows, PACKAGES.items(), strict=False):
        assert row.backbone == weights.backbone
        assert (row.here == HERE) == is_installed(name)
        assert is_installed(name) or row.here == install_command(name)


def test_models_of_the_hub_that_are_here_and_that_are_not(cache):
    rows = {row.backbone: row for row in usable(["resnet18", TAGGED])[len(PACKAGES) :]}
    assert list(rows) == [TAGGED, "resnet18.a1_in1k"]
    assert [row.here for row in rows.values()] == [HERE, "from the hub"]
    assert {row.pretrained for row in rows.values()} == {"True"}


def test_weights_of_the_hub_are_told_too(cache, capsys):
    own = Backbone("test_vit", pretrained=True)
    told = capsys.readouterr().err
    assert f"{len(own.net.state_dict())} tensors from the hub (timm/{TAGGED}; apache-2.0)" in told
    assert "left out: head" in told


def test_weights_of_the_hub_with_a_part_missing_are_refused(cache):
    state = timm.create_model("test_vit").state_dict()
    del state["blocks.1.mlp.fc1.weight"]
    save_file(state, cache / "model.safetensors")
    with pytest.raises(PammError, match="'test_vit': the hub gave no weights"):
        Backbone("test_vit", pretrained=True)


def test_the_cost_of_a_vit_by_hand():
    """A multiply-add is two operations; the class token goes through the blocks, too."""
    width, depth, patches = 64, 6, 12 * 10
    net = timm.create_model("test_vit", num_classes=0)
    assert (net.embed_dim, len(net.blocks)) == (width, depth)
    hidden = net.blocks[0].mlp.fc1.out_features
    tokens = patches + net.num_prefix_tokens
    block = tokens * (4 * width**2 + 2 * width * hidden) + 2 * tokens**2 * width
    embedding = patches * 16 * 16 * 3 * width
    parameters, operations = cost("test_vit", (12 * 16, 10 * 16))
    assert operations == 2 * (embedding + depth * block)
    assert parameters == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vit_bse", "unknown backbone 'vit_bse'"),
        ("resnet50.x", "unknown backbone 'resnet50.x': did you mean"),
        ("resnet10", "unknown backbone"),
        ("vit_xsmall_patch16_clip_224.no", "unknown backbone"),
    ],
)
def test_unknown_models(name, message):
    with pytest.raises(PammError, match=message):
        usable([name])


def test_a_model_without_weights():
    without = next(m for m in timm.list_models("efficientnet_b*") if not timm.list_pretrained(m))
    with pytest.raises(PammError, match=f"'{without}': timm has no weights for it"):
        usable([without])


def test_the_command(cache, capsys):
    main(["backbones", "test_vit", "--size", "32", "48"])
    printed = capsys.readouterr().out
    assert "GFLOPs of an image of 32x48" in printed
    for name, weights in PACKAGES.items():
        assert f"package:{name}" in printed
        assert weights.licence in printed
        assert weights.source in printed
    (line,) = (line for line in printed.splitlines() if TAGGED in line and "timm/" in line)
    assert f" {HERE} " in line
