import pytest
import torch

from pamm.data import Synthetic, collate


def test_collate_stacks_every_tensor(rooms: Synthetic) -> None:
    samples = [rooms[index] for index in range(3)]
    batch = collate(samples)
    assert batch["image"].shape == (3, 3, 24, 32)
    assert batch["id"] == ["train-000000", "train-000001", "train-000002"]
    assert batch["size"] == [(24, 32)] * 3
    for name, target in batch["targets"].items():
        assert torch.equal(target[1], samples[1]["targets"][name])


def test_collate_refuses_several_sizes(rooms: Synthetic) -> None:
    small = {**rooms[0], "image": rooms[0]["image"][:, :20]}
    with pytest.raises(ValueError, match=r"several sizes, \[\(20, 32\), \(24, 32\)\]"):
        collate([rooms[0], small])


def test_collate_refuses_different_tasks(rooms: Synthetic) -> None:
    fewer = {**rooms[1], "targets": {"depth": rooms[1]["targets"]["depth"]}}
    with pytest.raises(ValueError, match="'train-000001' has"):
        collate([rooms[0], fewer])


def test_collate_refuses_nothing() -> None:
    with pytest.raises(ValueError, match="at least one"):
        collate([])
