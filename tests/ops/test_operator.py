"""The operator `pamm::scan` in PyTorch's machinery, and in processes of many kinds."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from scan_cases import NAMES, assert_close, assert_equal, exact, floats, outcome, permutations
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset

from pamm import native
from pamm.ops import available_backends, cpu, multi_directional_scan, operator
from pamm.ops.scan import chosen_backend

pytestmark = pytest.mark.skipif(native.library() is None, reason=native.problem())

ORDERS = permutations(3, 35)
PATIENCE = 60
"""Seconds that a process may take before it counts as hanging."""


def tensors(channels: int = 6, **sizes: int) -> list[Tensor]:
    return list(floats(channels=channels, length=35, **sizes).values())


def channels_last(x: Tensor) -> Tensor:
    return x.mT.contiguous().mT


class Scan(nn.Module):
    """A scan with parameters, as in a model."""

    def __init__(self) -> None:
        super().__init__()
        given = floats(length=35)
        self.A, self.D, self.bias = (nn.Parameter(given[name]) for name in ("A", "D", "delta_bias"))
        self.B, self.C = (nn.Parameter(given[name][:1]) for name in ("B", "C"))
        self.register_buffer("orders", ORDERS, persistent=False)

    def forward(self, u: Tensor) -> Tensor:
        B, C = (x.expand(u.shape[0], -1, -1, -1).to(u.dtype) for x in (self.B, self.C))
        return multi_directional_scan(u, 2 * u, self.A, B, C, self.D, self.bias, orders=self.orders)


def value_and_gradients(module: nn.Module, u: Tensor) -> list[Tensor]:
    u = u.detach().requires_grad_()
    module.zero_grad()
    y = module(u)
    y.float().square().sum().backward()
    return [y.detach(), u.grad, *(p.grad.clone() for p in module.parameters())]


# ---- PyTorch's own checks


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda given: given, id="plain"),
        pytest.param(lambda given: [*map(channels_last, given[:2]), *given[2:]], id="layout"),
        pytest.param(lambda given: [x[..., :1].expand(x.shape) for x in given], id="expanded"),
        pytest.param(lambda given: [x.bfloat16() for x in given], id="bfloat16"),
        pytest.param(lambda given: [given[0].half(), *given[1:]], id="mixed"),
        pytest.param(lambda given: [*given[:5], None, given[6]], id="no D"),
        pytest.param(lambda given: [*given[:5], None, None], id="no D and bias"),
    ],
)
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # of the check itself
def test_opcheck(change):
    given = change(tensors(batch=1, state=2))
    leaves = [None if x is None else x.detach().requires_grad_() for x in given]
    torch.library.opcheck(operator.scan, (*leaves, ORDERS, True))
    torch.library.opcheck(operator.scan_backward, (torch.ones(1, 6, 35), *given, ORDERS, False))


def test_a_gradient_of_the_gradient_is_refused():
    u, *rest = tensors()
    u.requires_grad_()
    y = operator.scan(u, *rest, ORDERS, True)
    (gradient,) = torch.autograd.grad(y.sum(), u, create_graph=True)
    with pytest.raises(RuntimeError, match="pamm.scan_backward.* no autograd"):
        gradient.sum().backward()


def test_only_arguments_are_kept_for_the_gradient():
    given = [x.requires_grad_() for x in tensors()]
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        operator.scan(*given, ORDERS, True)
    assert {x.data_ptr() for x in kept} <= {x.data_ptr() for x in (*given, ORDERS)}


# ---- Compilation, export, checkpoints, autocast


def compile_whole(run: Callable, dynamic: bool) -> Callable:
    """As traced, without the time that it takes to make code of it."""
    return torch.compile(run, backend="aot_eager", fullgraph=True, dynamic=dynamic)


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled_in_one_graph(dynamic):
    module = Scan()
    compiled = compile_whole(module, dynamic)
    for batch in (2, 3):
        u = torch.randn(batch, 6, 35)
        for got, wanted in zip(
            value_and_gradients(compiled, u), value_and_gradients(module, u), strict=True
        ):
            assert torch.equal(got, wanted)


def test_compiled_for_any_length():
    compiled = compile_whole(multi_directional_scan, dynamic=True)
    for length in (35, 41, 64):
        given, orders = floats(batch=1, length=length), permutations(2, length)
        expected = multi_directional_scan(**given, orders=orders)
        assert torch.equal(compiled(**given, orders=orders), expected)


def test_export_sees_one_operator():
    module, u = Scan(), torch.randn(2, 6, 35)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(module, (u,), dynamic_shapes={"u": {0: batch}})
    calls = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert calls.count("pamm.scan.default") == 1
    assert not {call for call in calls if "exp" in call and "expand" not in call}, "no recurrence"
    u = torch.randn(5, 6, 35)
    assert torch.equal(program.module()(u), module(u))


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpoints(use_reentrant):
    class Checkpointed(Scan):
        def forward(self, u: Tensor) -> Tensor:
            return checkpoint(super().forward, u, use_reentrant=use_reentrant)

    u = torch.randn(2, 6, 35)
    for got, wanted in zip(
        value_and_gradients(Checkpointed(), u), value_and_gradients(Scan(), u), strict=True
    ):
        assert torch.equal(got, wanted)


def test_autocast_leaves_the_scan_as_it_is():
    """Its inputs come in lower precision, its state and its parameters stay in float32."""
    module, mix = Scan(), nn.Linear(35, 35)
    x = torch.randn(2, 6, 35)
    with torch.autocast("cpu", torch.bfloat16):
        u = mix(x)
        y = module(u)
    assert u.dtype == y.dtype == torch.bfloat16
    assert torch.equal(y, module(u))
    y.float().sum().backward()
    assert mix.weight.grad.dtype == module.A.grad.dtype == torch.float32
    assert mix.weight.grad.isfinite().all()


# ---- Processes and threads


GIVEN = tensors(channels=40, batch=3)


def results() -> list[Tensor]:
    """y and all gradients. Not by autograd, whose threads do not survive a fork."""
    y = cpu.forward(*GIVEN, ORDERS, True)
    return [y, *cpu.backward(GIVEN[0], *GIVEN, ORDERS, True)]


def check_results(expected: list[Tensor]) -> None:
    for got, wanted in zip(results(), expected, strict=True):
        assert torch.equal(got, wanted)


def run_to_the_end(process: multiprocessing.Process) -> None:
    process.start()
    process.join(PATIENCE)
    hangs = process.is_alive()
    if hangs:
        process.kill()
        process.join()
    assert not hangs, "it hangs"
    assert process.exitcode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_of_a_process_with_threads():
    assert torch.get_num_threads() > 1
    expected = results()

    def child() -> None:
        assert torch.get_num_threads() > 1
        check_results(expected)
        run_to_the_end(context.Process(target=check_results, args=(expected,)))

    context = multiprocessing.get_context("fork")
    run_to_the_end(context.Process(target=child))
    check_results(expected)


class Scans(Dataset):
    """Each item is scanned by the worker that loads it."""

    def __len__(self) -> int:
        return len(ORDERS)

    def __getitem__(self, index: int) -> Tensor:
        return multi_directional_scan(*GIVEN, orders=ORDERS[index:], backend="cpu")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_workers_of_a_data_loader():
    results()
    loader = DataLoader(Scans(), batch_size=None, num_workers=2, timeout=PATIENCE)
    for index, y in enumerate(loader):
        assert torch.equal(y, Scans()[index])


def train_a_step(rank: int, folder: Path, expected: list[Tensor]) -> None:
    """One of two processes that share the work of `test_two_processes_train_one_model`."""
    check_results(expected)
    meeting = (folder / "meeting").as_uri()
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    try:
        module = Scan()
        parallel = nn.parallel.DistributedDataParallel(module)
        parallel(images()[rank : rank + 1]).square().sum().backward()
        torch.save([p.grad for p in module.parameters()], folder / f"{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()


def images() -> Tensor:
    return torch.randn(2, 6, 35, generator=torch.Generator().manual_seed(3))


@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch has no distributed part")
def test_two_processes_train_one_model(tmp_path):
    """Spawned, so they load the library anew; DDP averages the gradients of what it wraps."""
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=train_a_step, args=(rank, tmp_path, results())) for rank in range(2)
    ]
    for process in processes:
        process.start()
    end = time.monotonic() + 2 * PATIENCE
    for process in processes:
        process.join(max(0, end - time.monotonic()))
        process.kill()
        process.join()
        assert process.exitcode == 0
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    _, _, *whole = value_and_gradients(Scan(), images())
    for mine, other, wanted in zip(first, second, whole, strict=True):
        assert torch.equal(mine, other)
        torch.testing.assert_close(2 * mine, wanted, rtol=1e-5, atol=1e-5)


class Spy:
    """The library, which remembers what it was given."""

    def __init__(self) -> None:
        self.library = native.library()
        self.threads: list[int] = []

    def __getattr__(self, name: str) -> Callable:
        def call(problem) -> int:
            self.threads.append(problem._obj.threads)
            return getattr(self.library, name)(problem)

        return call


@pytest.mark.parametrize("count", [1, 2, 3])
def test_threads_are_those_of_torch(count, monkeypatch):
    spy = Spy()
    monkeypatch.setattr(native, "library", lambda: spy)
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        results()
    finally:
        torch.set_num_threads(before)
    assert spy.threads == [count, count]


# ---- What is not there, or not possible


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(native, "PATH", tmp_path / "_native.so")


@pytest.mark.usefixtures("no_library")
def test_without_the_library():
    given = floats(length=35)
    assert "cpu" not in available_backends()
    assert chosen_backend("auto", *given.values()) == "reference"
    assert_close(outcome(given, ORDERS, backend="auto"), exact(given, ORDERS))
    with pytest.raises(ValueError, match=r"'cpu' is not available here: .*never built.*run `.+`"):
        multi_directional_scan(**given, orders=ORDERS, backend="cpu")


def test_float64_takes_the_reference():
    given = floats(length=35)
    assert chosen_backend("auto", *given.values()) == "cpu"
    for name in NAMES:
        mixed = {**given, name: given[name].double()}
        assert chosen_backend("auto", *mixed.values()) == "reference", name
        with pytest.raises(TypeError, match="'cpu' works in float32, got float64; use 'auto'"):
            multi_directional_scan(**mixed, orders=ORDERS, backend="cpu")


def test_auto_is_the_compiled_scan():
    given = floats(length=35)
    assert_equal(outcome(given, ORDERS, backend="auto"), outcome(given, ORDERS, backend="cpu"))


def test_no_memory_for_the_scratch_space():
    """In a process that may not have more than it has, with B and C that take little of it."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("the memory in use is read in /proc")
    code = """
import resource, torch
from pathlib import Path
from pamm.ops import multi_directional_scan

def scan(length):
    x = torch.ones(1, 1, length)
    B = torch.ones(1, 1, 128, 1).expand(-1, -1, -1, length)
    orders = torch.arange(length)[None]
    return multi_directional_scan(x, x, -torch.ones(1, 128), B, B, orders=orders, backend="cpu")

scan(10)
pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * resource.getpagesize() + 2**26
resource.setrlimit(resource.RLIMIT_AS, (most, most))
try:
    scan(2**17)  # 2**27 bytes for B and C
except MemoryError as error:
    print(error)
scan(10)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert run.stdout == "pamm_scan_forward: no memory for its scratch space\n", run.stderr
