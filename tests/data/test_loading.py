import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pamm
from pamm.data import (
    DataConfig,
    Synthetic,
    build_dataset,
    eval_dataset,
    evaluation_batches,
    train_dataset,
    training_batches,
)
from pamm.data.loading import ShardSampler, StreamSampler
from pamm.data.order import Epochs
from pamm.errors import PammError
from pamm.pictures.images import write_png


@pytest.fixture
def augmented(rooms: Synthetic) -> Synthetic:
    config = DataConfig(
        root=str(rooms.cache.root), size=(24, 32), train_count=7, scale=(0.5, 2.0), workers=0
    )
    return train_dataset(config)


def same(a, b) -> bool:
    return (
        a["id"] == b["id"]
        and torch.equal(a["image"], b["image"])
        and all(torch.equal(a["targets"][name], b["targets"][name]) for name in a["targets"])
    )


@given(
    length=st.integers(1, 30),
    batch=st.integers(1, 9),
    start=st.integers(0, 40),
    world=st.integers(1, 4),
    seed=st.integers(0, 2**33),
)
@settings(max_examples=60, deadline=None)
def test_stream_may_start_at_any_step(length, batch, start, world, seed) -> None:
    for rank in range(world):
        keys = {"rank": rank, "world": world}
        whole = list(islice(StreamSampler(Epochs(length, seed), batch, **keys), start + 3))
        resumed = list(islice(StreamSampler(Epochs(length, seed), batch, start=start, **keys), 3))
        assert resumed == whole[start:]


@given(length=st.integers(1, 30), batch=st.integers(1, 6), epochs=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_stream_holds_every_image_once_an_epoch(length, batch, epochs) -> None:
    steps = -(-length * epochs // batch)
    draws = [d for b in islice(StreamSampler(Epochs(length, 3), batch), steps) for d in b]
    for epoch in range(epochs):
        part = draws[epoch * length : (epoch + 1) * length]
        assert sorted(d.index for d in part) == list(range(length))
        assert {d.epoch for d in part} == {epoch}


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        batch = next(iter(StreamSampler(Epochs(50, seed), 50, start=epoch)))
        return [draw.index for draw in batch]

    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_more_processes_see_the_same_images_in_a_step() -> None:
    one = islice(StreamSampler(Epochs(10, 1), 6), 7)
    three = [islice(StreamSampler(Epochs(10, 1), 2, rank=r, world=3), 7) for r in range(3)]
    for batch, *parts in zip(one, *three, strict=True):
        assert batch == [draw for part in parts for draw in part]


def test_batches_are_the_same_for_any_number_of_workers_and_any_start(augmented) -> None:
    keys = {"batch_size": 3, "seed": 11}
    plain = list(islice(training_batches(augmented, **keys), 6))
    for start, workers in ((0, 2), (4, 2), (4, 0), (5, 1)):
        loader = training_batches(augmented, start=start, workers=workers, **keys)
        for step, batch in zip(range(start, 6), loader, strict=False):
            assert same(batch, plain[step])
    assert plain[0]["image"].shape == (3, 3, 24, 32)
    assert not same(plain[0], plain[1])


def test_workers_hand_over_batches_in_a_temporary_folder_of_a_long_name(
    augmented, tmp_path, monkeypatch
) -> None:
    folder = tmp_path / ("x" * 150)  # the path of a socket may have about 100 characters
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    keys = {"batch_size": 2, "seed": 0}
    loader = training_batches(augmented, workers=1, **keys)
    loader.timeout = 60
    batch = next(iter(loader))
    assert same(batch, next(iter(training_batches(augmented, **keys))))
    assert tempfile.gettempdir() == str(folder)


def test_loading_does_not_advance_the_global_generator(augmented) -> None:
    state = torch.get_rng_state()
    next(iter(training_batches(augmented, batch_size=2, seed=0)))
    assert torch.equal(torch.get_rng_state(), state)


@given(length=st.integers(0, 40), batch=st.integers(1, 9), world=st.integers(1, 6))
def test_shards_hold_every_index_once(length, batch, world) -> None:
    shards = [list(ShardSampler(length, batch, rank=r, world=world)) for r in range(world)]
    for rank, shard in enumerate(shards):
        assert len(shard) == len(ShardSampler(length, batch, rank=rank, world=world))
        assert all(1 <= len(b) <= batch for b in shard)
    indices = [index for shard in shards for b in shard for index in b]
    assert sorted(indices) == list(range(length))


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_is_one_pass_in_order(rooms: Synthetic, workers: int) -> None:
    config = DataConfig(root=str(rooms.cache.root), size=(24, 32), val_count=5)
    dataset = eval_dataset(config, tasks=["depth", "semseg"])
    loader = evaluation_batches(dataset, batch_size=2, workers=workers)
    batches = list(loader)
    assert len(loader) == len(batches) == 3
    assert [name for b in batches for name in b["id"]] == [f"val-{i:06d}" for i in range(5)]
    assert list(batches[0]["targets"]) == ["depth", "semseg"]
    assert batches[0]["image"].dtype == torch.float32


def test_images_of_several_sizes_come_one_by_one(rooms: Synthetic, monkeypatch) -> None:
    monkeypatch.setattr(Synthetic, "same_size", False)
    assert all(len(b["id"]) == 1 for b in evaluation_batches(rooms, batch_size=4))


def test_config_builds_the_data_set(rooms: Synthetic) -> None:
    config = DataConfig(root=str(rooms.cache.root), size=(24, 32), train_count=7, val_count=2)
    assert len(build_dataset(config, "train")) == 7
    assert len(build_dataset(config, "val")) == 2
    assert build_dataset(config, "train")[0]["image"].dtype == torch.uint8


@pytest.mark.parametrize(
    ("change", "split", "tasks", "hint"),
    [
        ({"name": "sinthetic"}, "train", None, "did you mean 'synthetic'"),
        ({}, "vall", None, "did you mean 'val'"),
        ({}, "train", ["semsg"], "did you mean 'semseg'"),
        ({}, "train", [], "tasks: got none, want one or more of"),
        ({"size": (8, 32)}, "train", None, "at least 16"),
        ({"train_count": 0}, "train", None, "train_count: got 0, want 1 to"),
    ],
)
def test_mistakes_are_named(change, split, tasks, hint, tmp_path) -> None:
    with pytest.raises(PammError, match=hint):
        build_dataset(DataConfig(root=str(tmp_path), **change), split, tasks=tasks)


def test_wrong_ranks_and_batch_sizes_are_refused(rooms: Synthetic) -> None:
    with pytest.raises(ValueError, match="rank is 2 of world 2"):
        training_batches(rooms, batch_size=1, seed=0, rank=2, world=2)
    with pytest.raises(ValueError, match="at least 1"):
        training_batches(rooms, batch_size=0, seed=0)
    with pytest.raises(ValueError, match="at least 1"):
        evaluation_batches(rooms, batch_size=0)


@pytest.fixture
def one_bad_label(tmp_path: Path) -> DataConfig:
    """A folder of four images with masks, the third of which is cut short."""
    (tmp_path / "pamm.toml").write_text(
        'images = "{split}/{id}.png"\n[tasks.saliency]\nfiles = "masks/{id}.png"\n'
        'encoding = { type = "mask" }\n'
    )
    for i in range(4):
        for split in ("train", "val"):
            write_png(tmp_path / split / f"{i}.png", np.zeros((16, 16, 3), np.uint8))
        write_png(tmp_path / "masks" / f"{i}.png", np.eye(16, dtype=np.uint8) * 255)
    bad = tmp_path / "masks" / "2.png"
    bad.write_bytes(b"no picture")
    return DataConfig(name="folder", root=str(tmp_path), size=(16, 16))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("pass_", ["training", "evaluation"])
def test_a_bad_file_is_one_line_wherever_it_is_read(one_bad_label, workers, pass_) -> None:
    if pass_ == "training":
        loader = training_batches(
            train_dataset(one_bad_label), batch_size=2, seed=0, workers=workers
        )
    else:
        loader = evaluation_batches(eval_dataset(one_bad_label), workers=workers)
    with pytest.raises(PammError, match=r"masks.2\.png") as error:
        list(islice(loader, 9))
    assert "\n" not in str(error.value)
    assert not multiprocessing.active_children()


SCRIPT = """
import sys, time
from pamm.data import DataConfig, train_dataset, training_batches

class Slow:
    def __init__(self, dataset): self.dataset = dataset
    def __len__(self): return len(self.dataset)
    def order(self, seed): return self.dataset.order(seed)
    def __getitem__(self, key):
        if sys.argv[2] == "busy" and key.epoch: time.sleep(1e6)
        return self.dataset[key]

config = DataConfig(name="folder", root=sys.argv[1], size=(16, 16))
loader = training_batches(Slow(train_dataset(config)), batch_size=2, seed=0, workers=2)
it = iter(loader)
next(it)
print("begun", flush=True)
if sys.argv[2] == "wait": time.sleep(1e6)
"""


def script(config: DataConfig, mode: str) -> subprocess.Popen:
    """The script in a process of its own; all its processes hold the same standard output."""
    (Path(config.root) / "masks" / "2.png").unlink()
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, config.root, mode],
        env={**os.environ, "PYTHONPATH": str(Path(pamm.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("mode", ["idle", "busy"])
def test_a_script_ends_where_an_iterator_is_left_over(one_bad_label, mode) -> None:
    with script(one_bad_label, mode) as process:
        output, errors = process.communicate(timeout=120)
    assert (process.returncode, output, errors) == (0, "begun\n", "")


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs signals")
def test_loading_processes_outlive_sigterm_but_not_their_owner(one_bad_label) -> None:
    with script(one_bad_label, "wait") as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate(timeout=120)  # ends where no process holds the pipe
    assert output == ""
