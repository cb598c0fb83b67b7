"""Processes that work on one model: those that torchrun started, or started here, or just one."""

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    TorchElasticEnvironment,
)
from lightning_fabric.strategies import ModelParallelStrategy
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor

from pamm.errors import PammError
from pamm.runtime import progress
from pamm.runtime.notes import is_first
from pamm.runtime.processes import end_with_parent
from pamm.runtime.text import counted

EXIT_CODE = 128 + signal.SIGTERM
MISTAKE = 2  # exit code
CONNECTION_LOST = "by peer"  # as gloo says
PATIENCE = 5.0  # seconds that the processes started here get to end after the first one
STARTED_BY = "PAMM_STARTED_BY"
"""Environment variable: number of the process that started the others on this machine."""
FEW = 4
"""Processes that any machine may be asked for, whatever cores it has."""
LETTING_GO = 0.1  # seconds that the threads of a group get to drop their last tensor


def launch(
    devices: int = 1,
    *,
    precision: Any = "32-true",
    accelerator: str = "auto",
    shard: Callable[[Any, Any], Any] | None = None,
) -> Fabric:
    """Join the processes of this command.

    torchrun has started them, on any number of machines; else `devices` of them work on this
    machine, and this function starts the others by running the command again in each.

    Args:
        devices: processes wanted on this machine, one GPU each where there are GPUs.
        precision: of the training, as Fabric names it.
        accelerator: "cpu", "cuda", ..., or "auto": a GPU where there is one.
        shard: what is done to a network, given it and the mesh of the processes, in place of
            copying its weights to all of them; one process always has them all.

    Raises:
        PammError: another number of processes than torchrun's, or more than GPUs or cores.
    """
    if devices < 1:
        raise PammError(f"devices: got {devices}, want at least 1")
    environment: ClusterEnvironment = LightningEnvironment()  # in a batch job too
    nodes = 1
    if torch.distributed.is_torchelastic_launched():
        environment = TorchElasticEnvironment()
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        if devices not in (1, here):
            raise PammError(
                f"devices: got {devices}, but torchrun has started {here} processes on this "
                "machine: leave the option out"
            )
        devices, nodes = here, int(os.environ["WORLD_SIZE"]) // here
    elif starter := os.environ.get(STARTED_BY) if environment.local_rank() else None:
        end_with_parent(int(starter))
    else:
        most = max(os.cpu_count() or 1, FEW)
        if accelerator == "cpu" and devices > most:
            cores = counted(os.cpu_count() or 1, "core")
            raise PammError(f"devices: got {devices}, want at most {most}: there are {cores} here")
        os.environ[STARTED_BY] = str(os.getpid())
    processes = devices * nodes
    strategy: Any = "ddp" if processes > 1 else "auto"
    if shard and processes > 1:
        strategy = ModelParallelStrategy(
            shard, data_parallel_size=processes, tensor_parallel_size=1
        )
    try:
        fabric = Fabric(
            accelerator=accelerator,
            strategy=strategy,
            devices=devices,
            num_nodes=nodes,
            precision=precision,
            plugins=[environment],
        )
    except MisconfigurationException:
        gpus = torch.cuda.device_count()
        raise PammError(f"devices: got {devices}, want at most the {gpus} GPUs here") from None
    children = getattr(fabric.strategy.launcher, "procs", [])
    atexit.register(end, children)
    fabric.launch()
    _started.extend(children)
    if fabric.global_rank:
        progress.silence()
    return fabric


def is_sharded(fabric: Fabric) -> bool:
    """Whether each process has a share of the weights only."""
    return isinstance(fabric.strategy, ModelParallelStrategy)


def end(children: list[subprocess.Popen]) -> None:
    """Leave the other processes, at this one's exit.

    Those started here get a little time, then are killed: whoever failed alone leaves nobody
    waiting. The group goes first, with its threads: one that lets go of a tensor while Python shuts
    down would abort the process. Fabric does so for NCCL only. PyTorch keeps the groups of a
    sharded network, whose threads get a moment to let go.
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
        time.sleep(LETTING_GO)
    for child in children:
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()


def will_be_first() -> bool:
    """`is_first`, where the processes may not have been joined yet by `launch`."""
    name = "RANK" if torch.distributed.is_torchelastic_launched() else "LOCAL_RANK"
    return int(os.environ.get(name, "0")) == 0


def another_has_failed(error: BaseException) -> bool:
    """Whether an error is but the lost connection to a process that has said itself what was wrong.

    The first process of this machine knows it by the exit code of a user's mistake.
    """
    if CONNECTION_LOST not in str(error):
        return False
    for child in _started:
        with suppress(subprocess.TimeoutExpired):
            child.wait(PATIENCE)
    return not is_first() or any(child.returncode == MISTAKE for child in _started)


_started: list[subprocess.Popen] = []
"""The processes that this one has started."""


def total_over(fabric: Fabric) -> Callable[[Tensor], Tensor]:
    """The function that sums a tensor over all processes, wherever the tensor lives."""

    def total(tensor: Tensor) -> Tensor:
        if fabric.world_size == 1:
            return tensor
        summed: Any = fabric.all_reduce(tensor.to(fabric.device, copy=True), reduce_op="sum")
        return summed.to(tensor.device)

    return total


def mean_over(fabric: Fabric) -> Callable[[Tensor], Tensor]:
    """The function that averages a tensor over all processes; with one it changes nothing."""
    total, world = total_over(fabric), fabric.world_size
    return lambda tensor: total(tensor) / world if world > 1 else tensor


def leave(message: str = "") -> NoReturn:
    """End the process after a request to stop; the first one leaves a message.

    Exit code 143 is that of the first; Fabric kills the first when another one has such a code.
    """
    if not is_first():
        raise SystemExit(0)
    if message:
        print(f"pamm: {message}", file=sys.stderr)
    raise SystemExit(EXIT_CODE)


class Stop:
    """Within this context SIGTERM, by which schedulers announce the end, is a request to stop.

    `requested` says that it came. In the block of `at_once` there is nothing to finish or to save,
    and it ends the process with exit code 143.
    """

    def __init__(self) -> None:
        self.requested, self._at_once = False, False
        self._main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> "Stop":
        if self._main:  # Python has signals for no other thread
            self._previous = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGTERM, self._previous)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let a request in this block, or one that has come already, end the process."""
        self._at_once = True
        try:
            if self.requested:
                leave()
            yield
        finally:
            self._at_once = False

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        if self._at_once:
            leave()
