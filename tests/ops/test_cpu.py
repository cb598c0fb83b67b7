"""The compiled scan on a CPU: the reference in float64, on every instruction set of this processor.

`make sanitize` runs these tests with the compiler's checks of memory and of undefined behaviour.
"""

import ctypes
import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scan_cases import (
    NAMES,
    TOLERANCE,
    assert_close,
    assert_equal,
    exact,
    floats,
    outcome,
    permutations,
)
from torch import Tensor

from pamm import native
from pamm.bench.problems import SHAPES, make_problem
from pamm.model.scan_order import make_orders
from pamm.ops import cpu

pytestmark = pytest.mark.skipif(native.library() is None, reason=native.problem())

library = native.library()
SETS = library.pamm_instruction_sets().decode().split() if library else ["none"]
TILES = (0, 16, 48, 10**6)


@contextmanager
def instructions(name: str) -> Iterator[None]:
    library.pamm_instruction_set.restype = ctypes.c_char_p
    before = library.pamm_instruction_set()
    assert library.pamm_use_instruction_set(name.encode())
    try:
        yield
    finally:
        library.pamm_use_instruction_set(before)


@pytest.fixture(params=SETS)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    with instructions(request.param):
        yield request.param


@contextmanager
def tiles_of(positions: int) -> Iterator[None]:
    """Whatever the length; 0 lets the library choose."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu, "Problem", functools.partial(cpu.Problem, tile=positions))
        yield


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# ---- Values and gradients


@functools.cache
def of_a_model(sizes: tuple[int, int, int, int], map_size: tuple[int, int]) -> tuple:
    """Arguments, four Hilbert orders, and what is expected."""
    batch, channels, groups, state = sizes
    height, width = map_size
    arguments = floats(
        batch=batch, channels=channels, groups=groups, state=state, length=height * width
    )
    orders = make_orders("hilbert", height, width)
    return arguments, orders, exact(arguments, orders)


@pytest.mark.parametrize(
    ("sizes", "map_size"),
    [  # batch, channels, groups, state; the first two are wider in a model, with as many sums
        pytest.param((1, 192, 1, 16), (28, 36), id="28x36"),
        pytest.param((1, 128, 2, 64), (32, 32), id="32x32"),
        pytest.param((4, 192, 1, 8), (8, 8), id="8x8"),
    ],
)
def test_equals_float64_at_the_sizes_of_a_model(sizes, map_size, instruction_set):
    arguments, orders, expected = of_a_model(sizes, map_size)
    assert_close(outcome(arguments, orders), expected)


@pytest.mark.parametrize("name", ["S1", "S2", "S3"])
def test_equals_float64_at_the_sizes_of_the_benchmark(name):
    problem = make_problem(SHAPES[name], "cpu")
    arguments = dict(zip(NAMES, problem.tensors, strict=True))
    got = outcome(arguments, problem.orders, grad_y=problem.grad_y)
    assert_close(got, exact(arguments, problem.orders, grad_y=problem.grad_y))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    instruction_set=st.sampled_from(SETS),
    tile=st.sampled_from(TILES),
    directions=st.sampled_from([1, 2, 3, 4, 8]),
    curve=st.sampled_from(["permutations", "hilbert"]),
    map_size=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    batch=st.integers(1, 5),
    groups=st.integers(1, 3),
    per_group=st.integers(1, 20),
    state=st.sampled_from([1, 5, 16, 64, 128]),
    missing=st.sampled_from([(), ("D",), ("delta_bias",), ("D", "delta_bias")]),
    softplus=st.booleans(),
    signed=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_equals_float64_whatever_the_sizes(
    instruction_set,
    tile,
    directions,
    curve,
    map_size,
    batch,
    groups,
    per_group,
    state,
    missing,
    softplus,
    signed,
    seed,
):
    length = map_size[0] * map_size[1]
    if curve == "permutations" or directions > 4:
        orders = permutations(directions, length, seed)
    else:
        orders = make_orders(curve, *map_size, directions)
    arguments = floats(
        batch=batch,
        channels=groups * per_group,
        groups=groups,
        state=state,
        length=length,
        seed=seed,
    )
    if not softplus:  # delta itself is the step then
        arguments["delta"], arguments["delta_bias"] = (
            arguments["delta"].abs(),
            arguments["delta_bias"].abs(),
        )
    grad_y = torch.randn_like(arguments["u"])
    if not signed:
        for name in ("u", "B", "C", "D"):
            arguments[name] = arguments[name].abs()
        grad_y = grad_y.abs()
    absent: dict[str, Tensor | None] = {**arguments, **dict.fromkeys(missing)}
    with instructions(instruction_set), tiles_of(tile):
        got = outcome(absent, orders, softplus=softplus, grad_y=grad_y)
    expected = exact(absent, orders, softplus=softplus, grad_y=grad_y)
    # A sum of numbers of both signs may nearly vanish, and its error be as large as it is.
    assert_close(got, expected, 5e-5 if signed else TOLERANCE)


@pytest.mark.parametrize("tile", TILES)
def test_long_sequences_in_any_order(tile, instruction_set):
    arguments, orders, expected = long_permutations()
    with tiles_of(tile):
        assert_close(outcome(arguments, orders), expected)


@functools.cache
def long_permutations() -> tuple:
    arguments = floats(batch=1, channels=3, groups=1, state=3, length=3000)
    orders = permutations(2, 3000)
    return arguments, orders, exact(arguments, orders)


@pytest.mark.parametrize("tile", [0, 10**6])
def test_more_positions_than_one_tile_has_at_most(tile):
    arguments, orders, expected = long_map()
    # Sums of all positions at once lose bits.
    one_sum = dict.fromkeys(("A", "D", "delta_bias"), 1e-5) if tile else {}
    for name in SETS:
        with instructions(name), tiles_of(tile):
            assert_close(outcome(arguments, orders), expected, **one_sum)


@functools.cache
def long_map() -> tuple:
    arguments = floats(batch=1, channels=2, groups=1, state=2, length=130 * 130)
    orders = make_orders("hilbert", 130, 130)
    return arguments, orders, exact(arguments, orders)


# ---- Numbers at the ends of their range


@pytest.mark.parametrize("step", [40, 1e4])
def test_softplus_saturated_both_ways(step, instruction_set):
    arguments = floats(channels=22, state=5, length=61)
    some = torch.rand(arguments["delta"].shape)
    arguments["delta"][some < 0.3] = step
    arguments["delta"][some > 0.7] = -step
    for tile in TILES:
        with tiles_of(tile):
            # exp(z) of a z in float32 is off by z roundings, and so is the gradient in A where no
            # larger factors are.
            got = outcome(arguments, permutations(3, 61))
        assert_close(got, exact(arguments, permutations(3, 61)), A=2e-5)


@pytest.mark.parametrize("step", [-1e4, -40, 40, 1e4])
def test_softplus_saturated_everywhere(step, instruction_set):
    """Where it is e^-40, so is y, but for D, and all of the gradients: as exact as e^-40 is."""
    arguments = floats(channels=22, state=5, length=61)
    arguments["delta"].fill_(step)
    got, expected = (f(arguments, permutations(3, 61)) for f in (outcome, exact))
    assert_close(got, expected, 1e-5, A=1e-4, y=TOLERANCE, u=TOLERANCE)


@pytest.mark.parametrize("name", NAMES)
def test_zeros(name, instruction_set):
    arguments = floats(channels=10, length=37)
    arguments[name].zero_()
    got, expected = (f(arguments, permutations(2, 37)) for f in (outcome, exact))
    assert_close(got, expected)


NAN_WITH_A_PAYLOAD = torch.tensor(0x7FC00155, dtype=torch.int32).view(torch.float32).item()


@pytest.mark.parametrize("value", [torch.nan, NAN_WITH_A_PAYLOAD, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", [*NAMES, "grad_y"])
def test_nan_and_infinity_go_where_they_do_in_the_reference(name, value, instruction_set):
    orders = permutations(2, 37)
    clean = floats(channels=22, length=37)
    clean["grad_y"] = torch.randn_like(clean["u"])
    poisoned = {name: tensor.clone() for name, tensor in clean.items()}
    values = poisoned[name].view(-1)
    values[len(values) * 2 // 5] = value

    def run(f, arguments: dict[str, Tensor]) -> dict[str, Tensor]:
        return f({k: arguments[k] for k in NAMES}, orders, grad_y=arguments["grad_y"])

    with tiles_of(16):
        before, after = run(outcome, clean), run(outcome, poisoned)
    wanted_before, wanted = run(exact, clean), run(exact, poisoned)
    if (name, value) not in {("delta", -torch.inf), ("delta_bias", -torch.inf)}:  # a step of 0
        assert any(not tensor.isfinite().all() for tensor in wanted.values())
    for key, expected in wanted.items():
        assert torch.equal(after[key].isfinite(), expected.isfinite()), key
        unchanged = expected == wanted_before[key]
        assert torch.equal(after[key][unchanged], before[key][unchanged]), key


@pytest.mark.parametrize("tile", [0, 16])
def test_growth(tile, instruction_set):
    """A positive A is allowed: what stays zero stays zero, whatever it would be multiplied by."""
    arguments = floats(batch=1, channels=3, groups=1, state=2, length=70)
    arguments["A"].fill_(10)
    arguments["delta"].fill_(1)  # e^10 a step
    arguments["delta_bias"].zero_()
    arguments["u"][..., :65] = 0
    grad_y = torch.ones_like(arguments["u"])
    grad_y[..., 5:] = 0
    orders = torch.arange(70).expand(2, 70)
    with tiles_of(tile):
        got = outcome(arguments, orders, softplus=False, grad_y=grad_y)
        assert_close(got, exact(arguments, orders, softplus=False, grad_y=grad_y), 1e-5)
        arguments["u"].fill_(1)
        y = outcome(arguments, orders, softplus=False)["y"]
    assert y[..., 0].isfinite().all()
    assert not y[..., -1].isfinite().any(), "it outgrows float32"


# ---- Layouts and dtypes


def channels_last(x: Tensor) -> Tensor:
    return x.mT.contiguous().mT if x.dim() > 1 else x


def every_second(x: Tensor) -> Tensor:
    return torch.stack((x, -x), -1)[..., 0]


def inside(x: Tensor) -> Tensor:
    """Of a larger tensor, at an address that is no multiple of a vector's size."""
    larger = x.new_full([size + 2 for size in x.shape], torch.nan)
    part = larger[tuple(slice(1, -1) for _ in x.shape)]
    return part.copy_(x)


def negated_lazily(x: Tensor) -> Tensor:
    lazy = torch.complex(torch.zeros_like(x), -x).conj().imag
    assert lazy.is_neg()
    return lazy


@pytest.mark.parametrize("layout", [channels_last, every_second, inside, negated_lazily])
@pytest.mark.parametrize("channels", [6, 70])
def test_memory_layouts_do_not_matter(layout, channels, instruction_set):
    arguments, orders = floats(channels=channels, length=37), permutations(3, 37)
    expected = outcome(arguments, orders)
    laid_out = {name: layout(tensor) for name, tensor in arguments.items()}
    assert_equal(outcome(laid_out, every_second(orders)), expected)
    u = laid_out["u"]
    assert outcome(laid_out, orders)["y"].stride() == torch.empty_like(u).stride()


def test_a_gradient_in_another_layout_than_y(instruction_set):
    arguments, orders = floats(channels=38, length=37), permutations(3, 37)
    grad_y = torch.randn(2, 38, 1)
    expected = outcome(arguments, orders, grad_y=grad_y.repeat(1, 1, 37))
    assert_equal(outcome(arguments, orders, grad_y=grad_y.expand(2, 38, 37)), expected)
    dense = channels_last(grad_y.repeat(1, 1, 37))
    assert_equal(outcome(arguments, orders, grad_y=dense), expected)


def test_expanded_arguments(instruction_set):
    """They share memory, their gradients do not."""
    one, orders = floats(batch=1, channels=10, length=37), permutations(3, 37)
    one["B"], one["u"] = one["B"][..., :1], one["u"][..., :1]
    shapes = {"u": (3, 10, 37), "delta": (3, 10, 37), "B": (3, 2, 3, 37), "C": (3, 2, 3, 37)}
    expanded = {**one, **{name: one[name].expand(shape) for name, shape in shapes.items()}}
    expanded["A"] = one["A"][:, :1].expand(10, 3)
    expanded["D"] = one["D"][:1].expand(10)
    copied = {name: tensor.contiguous() for name, tensor in expanded.items()}
    assert_equal(outcome(expanded, orders), outcome(copied, orders))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("which", [NAMES, ("u", "B", "C"), ("delta", "A", "D", "delta_bias")])
def test_lower_precisions_are_rounded_once(dtype, which):
    """Values and gradients are those of the same numbers in float32."""
    arguments, orders = floats(channels=10, length=37), permutations(2, 37)
    low = {k: x.to(dtype) if k in which else x for k, x in arguments.items()}
    expected = outcome({k: x.float() for k, x in low.items()}, orders, grad_y=torch.ones(2, 10, 37))
    got = outcome(low, orders, grad_y=torch.ones(2, 10, 37))
    assert_equal(got, {k: x.to(low["u" if k == "y" else k].dtype) for k, x in expected.items()})


@pytest.mark.parametrize(
    "sizes",
    [{"batch": 0}, {"channels": 0}, {"state": 0}, {"batch": 0, "state": 0}],
    ids=lambda sizes: " and ".join(sizes),
)
def test_nothing_gives_nothing(sizes):
    arguments, orders = floats(**sizes), permutations(2, 7)
    assert_close(outcome(arguments, orders), exact(arguments, orders))


# ---- Threads


@pytest.mark.parametrize("sizes", [(1, 150, 1), (1, 20, 2), (4, 50, 2), (3, 35, 7)])
def test_bit_equal_for_any_number_of_threads(sizes, instruction_set):
    batch, channels, groups = sizes
    arguments = floats(batch=batch, channels=channels, groups=groups, state=5, length=70)
    orders = permutations(4, 70)
    results = []
    for count in (1, 2, 5):
        with threads(count):
            results.append(outcome(arguments, orders))
    assert_equal(results[1], results[0])
    assert_equal(results[2], results[0])


def test_calls_from_several_python_threads():
    problems = [floats(channels=40, state=5, length=70, seed=seed) for seed in range(4)]
    orders = permutations(4, 70)
    expected = [outcome(problem, orders) for problem in problems]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for got, wanted in zip(
                pool.map(lambda problem: outcome(problem, orders), problems), expected, strict=True
            ):
                assert_equal(got, wanted)


# ---- Instruction sets


def test_the_best_instruction_set_is_used_unless_another_one_is_chosen():
    library.pamm_instruction_set.restype = ctypes.c_char_p
    best = library.pamm_instruction_set().decode()
    assert best == SETS[0]
    assert not library.pamm_use_instruction_set(b"abacus")
    assert library.pamm_instruction_set().decode() == best
    with instructions(SETS[-1]):
        assert library.pamm_instruction_set().decode() == SETS[-1]
    assert library.pamm_instruction_set().decode() == best
