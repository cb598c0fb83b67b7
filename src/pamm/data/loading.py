"""From a data set to batches: an endless stream for training, one pass for evaluation.

Training sees one infinite sequence of draws: the data set in the order of a permutation made from
(seed, epoch), epoch after epoch with no gap, so a batch may hold the end of one epoch and the start
of the next, and no image is ever dropped. Step s takes draws s * B .. (s + 1) * B - 1, where B is
the batch of all processes together; process r takes the r-th of the equal parts of these. So a
batch is a pure function of (seed, step, rank, world): a run resumed at any step, with any number of
loading processes, sees what the unbroken run would have seen; and the same B on another number of
training processes sees the same images in the same steps.
"""

import atexit
import os
import signal
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from multiprocessing.process import BaseProcess
from typing import Any
from weakref import WeakSet

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from pamm.data.dataset import MultiTaskDataset
from pamm.data.file_dataset import FileDataset
from pamm.data.folder import Folder
from pamm.data.nyud import NYUD
from pamm.data.order import Draw, Order
from pamm.data.pascal_context import PascalContext
from pamm.data.sample import Batch, Sample, collate
from pamm.data.several import Several
from pamm.data.synthetic import Rooms, Synthetic
from pamm.data.transforms import EvalTransform, TrainTransform, Transform
from pamm.errors import PammError, unknown
from pamm.runtime.processes import end_with_owner
from pamm.runtime.ranges import Count, Factor, Share, Side, Workers, check_fields
from pamm.runtime.select import select_tasks
from pamm.runtime.strict_json import to_json
from pamm.tasks import Task

DATASETS: dict[str, type[MultiTaskDataset]] = {
    "synthetic": Synthetic,
    "rooms": Rooms,
    "nyud": NYUD,
    "pascal_context": PascalContext,
    "several": Several,
    "folder": Folder,
}
"""Name -> data set. Each is called as (split, tasks=, size=, count=, root=, transform=)."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which images to train and evaluate on, and how they are augmented."""

    name: str = "synthetic"
    """Name of the data set: synthetic, rooms, nyud, pascal_context, folder or several."""
    root: str | None = None
    """Folder of the data set, or one that holds it; for rendered rooms the folder of the cache, for
    several the .toml that lists them. None = the folder in PAMM_DATA; for rendered rooms that in
    PAMM_CACHE, or the user's cache. It is kept as an absolute path."""
    size: tuple[Side, Side] = (128, 160)
    """Height and width of the training crops; rooms are rendered at it."""
    train_count: Count | None = None
    """Use the first so many training images. None = all (synthetic: 600, rooms: 3000)."""
    val_count: Count | None = None
    """Use the first so many validation images. None = all (synthetic: 150, rooms: 200)."""
    workers: Workers = 2
    """Processes that load and augment, beside each training process; 0 = none. The batches are the
    same for any number."""
    scale: tuple[Factor, Factor] = (1.0, 1.0)
    """Range of the random scale in training, before a random crop to `size`."""
    flip: Share = 0.5
    """Probability of a horizontal flip in training."""
    photometric: Share = 0.5
    """Probability of each step of the photometric distortion in training; 0 = none."""
    camera: Share = 0.0
    """Probability of each effect of a camera in training: exposure, white balance, vignetting,
    blur, noise, JPEG; 0 = none."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.root is not None:
            object.__setattr__(self, "root", os.path.abspath(os.path.expanduser(self.root)))
        if self.scale[0] > self.scale[1]:
            raise PammError(f"scale: got {self.scale}, want a range, the lower number first")


def build_dataset(
    config: DataConfig,
    split: str,
    *,
    tasks: Iterable[str] | None = None,
    transform: Transform | None = None,
) -> MultiTaskDataset:
    """The data set of a config.

    Args:
        config: names the data set, its folder, size and counts.
        split: "train" or "val".
        tasks: names of the tasks wanted; None = all that the data set has.
        transform: applied to each raw sample; see `train_transform` and `eval_transform`.

    Raises:
        PammError: unknown data set, split or task; or the data set cannot be read or made.
    """
    kind = dataset_type(config.name)
    return kind(  # type: ignore[call-arg]  # the signature that DATASETS states
        split,
        tasks=tasks,
        size=config.size,
        count=config.train_count if split == "train" else config.val_count,
        root=config.root,
        transform=transform,
    )


def dataset_type(name: str) -> type[MultiTaskDataset]:
    """The data set class of this name.

    Raises:
        PammError: the name is unknown.
    """
    if name not in DATASETS:
        raise PammError(unknown("data set", name, DATASETS))
    return DATASETS[name]


def file_dataset_type(name: str) -> type[FileDataset]:
    """The class of a data set that is made of files.

    Raises:
        PammError: the name is unknown, or the data set has no files to look at.
    """
    kind = dataset_type(name)
    if not issubclass(kind, FileDataset):
        known = [key for key, value in DATASETS.items() if issubclass(value, FileDataset)]
        raise PammError(f"data set {name!r} is not read from files; want one of {', '.join(known)}")
    return kind


def dataset_tasks(config: DataConfig) -> dict[str, Task]:
    """All tasks of the data set of a config, without reading an image.

    Raises:
        PammError: the name is unknown, or the data set's folder is not there.
    """
    return dataset_type(config.name).declared_tasks(config.root)


def dataset_description(config: DataConfig) -> Any:
    """What decides the images of a data set beside its config, in JSON values; None: nothing."""
    return to_json(dataset_type(config.name).description(config.root))


def member_configs(config: DataConfig) -> dict[str, tuple[DataConfig, dict[str, Task]]]:
    """{label: (config, tasks)} of the data sets that one is made of, if it is made of others."""
    return {
        member.label: (replace(config, name=member.name, root=member.root), member.tasks)
        for member in dataset_type(config.name).members(config.root)
    }


def train_dataset(config: DataConfig, *, tasks: Iterable[str] | None = None) -> MultiTaskDataset:
    """The training split with the augmentation that the config states."""
    transform = TrainTransform(
        select_tasks(dataset_tasks(config), tasks),
        size=config.size,
        scale=config.scale,
        flip=config.flip,
        photometric=config.photometric,
        camera=config.camera,
    )
    return build_dataset(config, "train", tasks=tasks, transform=transform)


def eval_dataset(
    config: DataConfig, split: str = "val", *, tasks: Iterable[str] | None = None
) -> MultiTaskDataset:
    """A split for evaluation: padded to the config's size, nothing random.

    The targets are those that published scores are computed with.
    """
    chosen = select_tasks(dataset_tasks(config), tasks)
    transform = EvalTransform(chosen, size=config.size)
    dataset = build_dataset(config, split, tasks=tasks, transform=transform)
    dataset.scoring = True
    return dataset


class StreamSampler(Sampler[list[Draw]]):
    """The batches of one process from step `start` on, without end, as lists of draws.

    Args:
        order: which image comes at which place of the stream of all processes together.
        batch_size: images a step of this process.
        start: first step.
        rank, world: which training process of how many this is.
    """

    def __init__(
        self, order: Order, batch_size: int, *, start: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batches of {batch_size} images: want at least 1")
        _check_rank(rank, world)
        self.order, self.batch_size = order, batch_size
        self.start, self.rank, self.world = start, rank, world

    def __iter__(self) -> Iterator[list[Draw]]:
        for step in count(self.start):
            first = (step * self.world + self.rank) * self.batch_size
            yield [self.order(place) for place in range(first, first + self.batch_size)]


class ShardSampler(Sampler[list[int]]):
    """One process's share of a data set, as lists of indices: batches rank, rank + world, ...

    The shares of all ranks together hold every index exactly once; a share may be empty. An image
    is in the same batch for any number of processes, so the network computes it to the same bits.
    """

    def __init__(self, length: int, batch_size: int, *, rank: int = 0, world: int = 1) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, want at least 1")
        _check_rank(rank, world)
        self.length, self.batch_size = length, batch_size
        self.firsts = range(rank * batch_size, length, world * batch_size)

    def __len__(self) -> int:
        return len(self.firsts)

    def __iter__(self) -> Iterator[list[int]]:
        for first in self.firsts:
            yield list(range(first, min(first + self.batch_size, self.length)))


def training_batches(
    dataset: MultiTaskDataset,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
) -> DataLoader:
    """The endless stream of training batches (`Batch`) of one process, from step `start` on.

    Args:
        dataset: with its training transform.
        batch_size: images a step of THIS process.
        seed: of the order and the augmentations.
        start: the first step wanted: number of steps already done.
        rank, world: which training process of how many this is.
        workers: loading processes; does not change the batches.

    Raises:
        ValueError: a batch size below 1, or a rank outside 0..world-1.
    """
    order = dataset.order(seed)
    sampler = StreamSampler(order, batch_size, start=start, rank=rank, world=world)
    return Loader(dataset, sampler, workers)


def evaluation_batches(
    dataset: MultiTaskDataset,
    *,
    batch_size: int = 1,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
) -> DataLoader:
    """One pass over this process's share of a data set; over all ranks each image comes once.

    Args:
        dataset: with its evaluation transform.
        batch_size: images a batch; 1 is used where images differ in size (`same_size` is False).
        rank, world: which process of how many this is.
        workers: loading processes.

    Raises:
        ValueError: a batch size below 1, or a rank outside 0..world-1.
    """
    sampler = ShardSampler(
        len(dataset), batch_size if dataset.same_size else 1, rank=rank, world=world
    )
    return Loader(dataset, sampler, workers)


class Loader(DataLoader):
    """A `DataLoader` whose processes pass on mistakes of the user as they are, and never stay.

    PyTorch would send an exception as the text of its traceback. So what the user can mend comes as
    a value instead of the batch, and is raised here, when its turn comes.
    """

    def __init__(
        self, dataset: MultiTaskDataset, sampler: StreamSampler | ShardSampler, workers: int
    ) -> None:
        super().__init__(
            _Attempts(dataset),
            batch_sampler=sampler,
            collate_fn=_collate_attempt,
            num_workers=workers,
            worker_init_fn=_serve_the_owner,
            generator=torch.Generator(),  # its own: loading must not advance the global one
        )

    def __iter__(self) -> Any:
        # no name for the iterator: it must go, with its processes, as soon as something is raised
        for batch in self._begin():
            if isinstance(batch, Exception):
                batch.of_one_process = True  # type: ignore[attr-defined]  # others load other files
                raise batch
            yield batch

    def _begin(self) -> Iterator[Batch | Exception]:
        iterator = super().__iter__()
        _workers.update(getattr(iterator, "_workers", ()))
        return iterator


class _Attempts(Dataset[Any]):
    """The samples of a data set by whole batches: a list of them, or what was wrong with one."""

    def __init__(self, dataset: MultiTaskDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, keys: Sequence[Any]) -> list[Sample] | Exception:
        try:
            return [self.dataset[key] for key in keys]
        except (PammError, OSError, MemoryError) as error:
            return error


def _collate_attempt(samples: list[Sample] | Exception) -> Batch | Exception:
    return samples if isinstance(samples, Exception) else collate(samples)


_workers: WeakSet[BaseProcess] = WeakSet()
"""The loading processes of this process."""


def _serve_the_owner(_worker: int) -> None:
    """What a loading process does first.

    It leaves SIGTERM, which may be sent to all processes, to the one that trains: that one may
    still want the batch of its last step.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_with_owner()
    _shorten_temporary_folder()


def _shorten_temporary_folder() -> None:
    """Use another temporary folder in this process where the paths of sockets in it are too long.

    Batches are handed over through sockets there. A socket's path has 103 characters at most, of
    which the names below the folder take some 35; with a longer one no batch ever arrives.
    """
    if len(os.fsencode(tempfile.gettempdir())) > 103 - 40:
        short = (
            folder for folder in ("/tmp", "/var/tmp", "/dev/shm") if os.access(folder, os.W_OK)
        )
        tempfile.tempdir = next(short, tempfile.tempdir)


@atexit.register
def _end_workers() -> None:
    """Before `multiprocessing`, imported earlier, sends them SIGTERM and waits for their end."""
    alive = [worker for worker in _workers if worker.is_alive()]
    if alive and hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's handler would raise an error
    for worker in alive:
        worker.kill()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.clear)  # they are those of the parent


def _check_rank(rank: int, world: int) -> None:
    if not 0 <= rank < world:
        raise ValueError(f"rank is {rank} of world {world}, want in 0..world-1")
