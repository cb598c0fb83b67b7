"""Weights in fewer bits: how near they stay, what stays as it is, and that models read them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import pamm
from pamm.checkpoint import pack_model, save
from pamm.cli import main
from pamm.data import DataConfig, Synthetic
from pamm.errors import PammError
from pamm.model import PAMM, PAMMConfig
from pamm.predictor import Predictor
from pamm.runtime.packed_tensors import SCALE, pack, unpack


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "linear": torch.randn(16, 40) * torch.logspace(-4, 3, 16)[:, None],
        "kernel": torch.randn(12, 3, 3, 3),
        "position": torch.randn(1, 50, 16),
        "nothing": torch.zeros(9, 4),
        "bias": torch.randn(16),
        "count": torch.tensor(7),
        "order": torch.arange(20).view(10, 2),
    }


def test_no_weight_moves_by_more_than_half_a_step_of_its_row():
    given = tensors()
    found = unpack(pack(given, 8))
    assert found.keys() == given.keys()
    for name in ("linear", "kernel"):
        rows, back = given[name].flatten(1), found[name].flatten(1)
        step = rows.abs().amax(dim=1, keepdim=True) / 127
        assert ((rows - back).abs() <= step / 2 * (1 + 1e-5)).all()
        assert not torch.equal(rows, back)
    assert torch.equal(found["nothing"], given["nothing"])
    for name in ("bias", "count", "order"):
        assert torch.equal(found[name], given[name])
    torch.testing.assert_close(found["position"], given["position"], rtol=1e-3, atol=1e-6)
    assert all(found[name].dtype == given[name].dtype for name in given)


def test_eight_bits_are_a_quarter_and_sixteen_a_half():
    def size(of: dict[str, torch.Tensor]) -> int:
        return sum(t.numel() * t.element_size() for t in of.values())

    given = {"w": torch.randn(64, 4096)}
    assert size(pack(given, 16)) * 2 == size(given)
    assert size(pack(given, 8)) == size(given) // 4 + 64 * 4


def test_numbers_that_16_bits_do_not_hold_keep_32():
    given = {"w": torch.full((9, 3), 1e6)}
    assert torch.equal(unpack(pack(given, 16))["w"], given["w"])


def test_what_was_never_packed_is_as_it_is():
    given = {"a.scale": torch.randn(3), "b": torch.randint(-9, 9, (4, 4), dtype=torch.int8)}
    found = unpack(given)
    assert found.keys() == given.keys()
    assert all(torch.equal(found[name], given[name]) for name in given)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    tasks = {name: Synthetic.TASKS[name] for name in ("depth", "semseg")}
    config = PAMMConfig(
        tasks={n: t.channels for n, t in tasks.items()}, backbone="test_vit", d_model=32,
        d_state=4, drop_path=0.0,
    )  # fmt: skip
    predictor = Predictor(PAMM(config), tasks, image_size=(32, 40), crop_size=(32, 32))
    return save(tmp_path / "run", "last", 5, predictor, data=DataConfig(size=(32, 32)))


def test_a_packed_model_is_shown_larger_images_if_so_packed(folder, tmp_path):
    for given, size in ((100, (80, 100)), (None, (32, 40))):
        out = pack_model(folder, tmp_path / str(given), max_side=given)
        assert pamm.load(out).image_size == size
        assert pamm.load(out).crop_size == pamm.load(folder).crop_size


@pytest.mark.parametrize(("bits", "error"), [(8, 0.05), (16, 0.003)])
def test_a_packed_model_predicts_nearly_the_same(folder, tmp_path, bits, error, capsys):
    out = tmp_path / f"packed-{bits}"
    main(["pack", str(folder.parent), "--out", str(out), "--bits", str(bits)])
    assert "MB before" in capsys.readouterr().out
    assert sorted(p.name for p in out.iterdir()) == ["config.json", "model.safetensors"]
    names = set(load_file(out / "model.safetensors"))
    assert any(name.endswith(SCALE) for name in names) == (bits == 8)
    whole, packed = pamm.load(folder), pamm.load(out)
    image = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
    with torch.inference_mode():
        x = torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255
        for name, logits in whole.network(x).items():
            spread = float(logits.std())
            assert float((packed.network(x)[name] - logits).abs().mean()) < error * spread
    again = tmp_path / "again"
    main(["pack", str(out), "--out", str(again), "--bits", str(bits)])
    one, two = (load_file(f / "model.safetensors") for f in (out, again))
    assert all(torch.allclose(one[n].float(), two[n].float(), rtol=1e-3) for n in one)


def test_damaged_scales_are_a_foreign_file(folder, tmp_path):
    out = tmp_path / "packed"
    main(["pack", str(folder), "--out", str(out)])
    found = load_file(out / "model.safetensors")
    first = next(name for name in found if name.endswith(SCALE))
    found[first] = found[first][1:]
    save_file(found, out / "model.safetensors")
    with pytest.raises(PammError, match="holds the weights of another model"):
        pamm.load(out)


def test_mistakes(folder, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "there")
    for arguments in (
        ["pack", str(folder), "--out", str(tmp_path / "there")],
        ["pack", str(folder), "--out", str(tmp_path / "new"), "--bits", "4"],
        ["pack", "nowhere", "--out", str(tmp_path / "new")],
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert error.startswith("pamm: ")
    assert not (tmp_path / "new").exists()
