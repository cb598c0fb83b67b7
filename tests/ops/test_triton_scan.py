"""The Triton kernels against the reference in double precision: values and every gradient.

Without a GPU they run in Triton's interpreter. That is chosen by an environment variable which has
to be set before anything imports Triton, so these tests then run in a process of their own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pamm.ops import multi_directional_scan

triton = pytest.importorskip("triton", minversion="3.3")
triton_scan = pytest.importorskip("pamm.ops.triton_scan")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
NAMES = ("u", "delta", "A", "B", "C", "D", "bias")
TOLERANCE = 2e-6


def make(
    batch: int = 1,
    channels: int = 5,
    groups: int = 1,
    state: int = 3,
    length: int = 7,
    directions: int = 2,
) -> tuple[dict[str, Tensor | None], Tensor]:
    """Arguments by name, and orders."""
    tensors = {
        "u": torch.randn(batch, channels, length),
        "delta": torch.randn(batch, channels, length),
        "A": -torch.randn(channels, state).exp(),
        "B": torch.randn(batch, groups, state, length),
        "C": torch.randn(batch, groups, state, length),
        "D": torch.randn(channels),
        "bias": torch.randn(channels),
    }
    orders = torch.stack([torch.randperm(length) for _ in range(directions)])
    return {name: tensor.to(DEVICE) for name, tensor in tensors.items()}, orders.to(DEVICE)


def kernels(
    given: dict[str, Tensor | None], orders: Tensor, softplus: bool = True
) -> dict[str, Tensor | None]:
    """y and the gradients, by name, for the gradient of `y` that `weights` gives."""
    tensors = [given[name] for name in NAMES]
    y = triton_scan.forward(*tensors, orders, softplus)
    gradients = triton_scan.backward(weights(y), *tensors, orders, softplus)
    return {"y": y, **dict(zip(NAMES, gradients, strict=True))}


def weights(y: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(y.shape, generator=generator).to(y)


def reference(
    given: dict[str, Tensor | None], orders: Tensor, softplus: bool = True
) -> dict[str, Tensor | None]:
    """What `kernels` should give, by autograd in float64."""
    tensors = [None if x is None else x.detach().double().requires_grad_() for x in given.values()]
    y = multi_directional_scan(*tensors, orders=orders, softplus=softplus, backend="reference")
    wanted = [x for x in tensors if x is not None]
    u = given["u"]
    assert u is not None
    gradients = iter(torch.autograd.grad(y, wanted, weights(u).double()))
    return {
        "y": y.detach(),
        **{name: None if given[name] is None else next(gradients) for name in NAMES},
    }


def check(
    result: dict[str, Tensor | None],
    expected: dict[str, Tensor | None],
    tolerance: float = TOLERANCE,
) -> None:
    """Largest difference over largest value."""
    for name, wanted in expected.items():
        got = result[name]
        if wanted is None or got is None:
            assert got is wanted is None, name
            continue
        assert got.shape == wanted.shape, name
        difference, size = (got.double() - wanted).abs().max(), wanted.abs().max()
        assert difference <= tolerance * size, f"{name}: {difference:.2e} of {size:.2e}"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small parts that tiny problems have many tiles, segments and blocks, in a few programs."""
    for name, value in {"TILE": 2, "BLOCK": 4, "SEGMENT": 4, "PROGRAMS": 3}.items():
        monkeypatch.setattr(triton_scan, name, value)


# Of the interpreter of Triton 3.6 and older, with NumPy before 2.4.
@pytest.mark.filterwarnings("ignore:Conversion of an array with ndim:DeprecationWarning")
class TestKernels:
    __test__ = DEVICE == "cuda" or INTERPRETED

    @pytest.mark.usefixtures("small")
    @pytest.mark.parametrize(
        "sizes",  # as `make` takes them
        [
            (1, 1, 1, 1, 1, 1),
            (1, 5, 1, 3, 7, 1),
            (2, 3, 1, 1, 9, 2),
            (1, 6, 3, 5, 5, 3),
            (1, 2, 1, 16, 6, 4),
            (3, 10, 2, 1, 3, 2),
        ],
    )
    def test_equals_autograd_in_double_precision(self, sizes):
        given, orders = make(*sizes)
        check(kernels(given, orders), reference(given, orders))

    @pytest.mark.parametrize(
        ("channels", "length"),
        [pytest.param(70, 67, id="two blocks, two segments"), pytest.param(3, 5, id="part of one")],
    )
    def test_equals_autograd_in_parts_as_they_are_used(self, channels, length):
        given, orders = make(channels=channels, state=2, length=length, directions=1)
        check(kernels(given, orders), reference(given, orders))

    @pytest.mark.usefixtures("small")
    @pytest.mark.parametrize("softplus", [True, False])
    @pytest.mark.parametrize("missing", [("D",), ("bias",), ("D", "bias")])
    def test_without_d_bias_or_softplus(self, softplus, missing):
        given, orders = make(length=5, channels=3, state=2)
        given["delta"] = given["delta"].abs()  # a step, where there is no softplus
        given["bias"] = given["bias"].abs()
        given.update(dict.fromkeys(missing))
        check(kernels(given, orders, softplus), reference(given, orders, softplus))

    @pytest.mark.usefixtures("small")
    def test_softplus_saturated_both_ways(self):
        given, orders = make(length=9)
        given["delta"] = torch.tensor([-100.0, 60, 0, 25, -30, 15, 88, -15, 1], device=DEVICE)
        given["delta"] = given["delta"].expand(1, 5, 9)
        given["A"][0], given["A"][1] = 0, -1e4
        check(kernels(given, orders), reference(given, orders))

    @pytest.mark.usefixtures("small")
    @pytest.mark.parametrize("name", NAMES)
    def test_zeros(self, name):
        given, orders = make(channels=3, state=2, length=5, directions=1)
        given[name] = torch.zeros_like(given[name])
        check(kernels(given, orders), reference(given, orders))

    @pytest.mark.usefixtures("small")
    @pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of NumPy, in the interpreter
    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    @pytest.mark.parametrize("name", NAMES)
    def test_nan_and_infinity_propagate(self, name, value):
        """To the same places, and through every gradient that is not finite in the reference."""
        given, orders = make(channels=3, state=2, length=5, directions=1)
        given[name].view(-1)[1] = value
        result, expected = kernels(given, orders), reference(given, orders)
        assert torch.equal(result["y"].isfinite(), expected["y"].isfinite())
        assert not result["y"].isfinite().all()
        for gradient in NAMES:
            lost = ~expected[gradient].isfinite() & result[gradient].isfinite()
            assert not lost.any(), gradient

    @pytest.mark.usefixtures("small")
    def test_states_and_sums_are_float32_whatever_the_inputs_are(self):
        given, orders = make(groups=5)
        half = {"u": "bfloat16", "delta": "float16", "B": "bfloat16", "C": "float16"}
        half |= {"D": "bfloat16", "bias": "float16"}
        given |= {name: given[name].to(getattr(torch, dtype)) for name, dtype in half.items()}
        result = kernels(given, orders)
        assert result["y"].dtype == torch.bfloat16
        assert [result[name].dtype for name in NAMES] == [given[name].dtype for name in NAMES]
        expected = reference(given, orders)
        check(result, expected, tolerance=2**-8)
        check({"A": result["A"]}, {"A": expected["A"]})

    @pytest.mark.usefixtures("small")
    def test_strides_do_not_matter(self):
        given, orders = make(batch=2, channels=3, length=5)
        expected = kernels(given, orders)
        strided = {
            name: torch.stack((x.mT.contiguous().mT if x.dim() > 1 else x, x), dim=-1)[..., 0]
            for name, x in given.items()
        }
        assert not any(x.is_contiguous() for x in strided.values())
        result = kernels(strided, orders.T.contiguous().T)
        for name in expected:
            assert torch.equal(result[name], expected[name]), name
        assert result["y"].stride() == torch.empty_like(strided["u"]).stride()

    @pytest.mark.usefixtures("small")
    def test_expanded_inputs(self):
        given, orders = make(batch=1, channels=3, length=5)
        given["B"] = given["B"][..., :1].expand(2, 1, 3, 5)
        given["C"] = given["C"].expand(2, 1, 3, 5)
        given["u"], given["delta"] = given["u"].expand(2, 3, 5), given["delta"].expand(2, 3, 5)
        check(kernels(given, orders), reference(given, orders))

    @pytest.mark.usefixtures("small")
    def test_bit_equal_from_run_to_run_and_for_any_number_of_programs(self, monkeypatch):
        given, orders = make(channels=6, groups=3, state=2, length=9)
        tensors = [given[name] for name in NAMES]
        y = triton_scan.forward(*tensors, orders, True)
        assert torch.equal(triton_scan.forward(*tensors, orders, True), y)
        first = triton_scan.backward(weights(y), *tensors, orders, True)
        monkeypatch.setattr(triton_scan, "PROGRAMS", 5)
        again = triton_scan.backward(weights(y), *tensors, orders, True)
        assert all(map(torch.equal, first, again))

    def test_an_empty_batch(self):
        given, orders = make(batch=1)
        given |= {name: given[name][:0] for name in ("u", "delta", "B", "C")}
        result = kernels(given, orders)
        assert result["y"].shape == given["u"].shape
        for name in NAMES:
            assert torch.equal(result[name], torch.zeros_like(given[name]))


@triton.jit
def nothing():
    pass


def compile_for_h100(kernel, constants: dict[str, object], multiples: tuple[str, ...] = ()):
    """Machine code, which takes no GPU. `multiples` of 16 are numbers that Triton knows as such."""
    signature, alignment = {}, {}
    for i, name in enumerate(kernel.arg_names):
        pointer = "*i64" if name == "order_ptr" else "*fp32"
        kind = pointer if name.endswith("_ptr") else "i32"
        signature[name] = "constexpr" if name in constants else kind
        if name not in constants and (name.endswith("_ptr") or name in multiples):
            alignment[(i,)] = [["tt.divisibility", 16]]
    return triton.compile(
        triton.compiler.ASTSource(kernel, signature, constants, alignment),
        target=triton.backends.compiler.GPUTarget("cuda", 90, 32),
        options={"num_warps": 1, "num_stages": 1, "enable_fp_fusion": True},
    )


class TestCompiled:
    __test__ = not INTERPRETED

    @pytest.fixture(autouse=True)
    def _compiler(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
        try:
            compile_for_h100(nothing, {})
        except Exception as error:
            pytest.skip(f"this Triton compiles nothing for an H100 here: {error}")

    @pytest.mark.parametrize("channels", ["multiple of 16", "odd", "one"])
    @pytest.mark.parametrize(
        ("name", "constants"),
        [
            ("_segment_ends", {"GRADIENT": False, "gy_ptr": None, "gstart_ptr": None}),
            ("_segment_ends", {"GRADIENT": True}),
            ("_carry", {"GRADIENT": False, "gstart_ptr": None, "gleave_ptr": None}),
            ("_carry", {"GRADIENT": True}),
            ("_outputs", {}),
            ("_gradients", {}),
        ],
    )
    def test_for_an_h100(self, name, constants, channels):
        kernel = getattr(triton_scan, name)
        constants = {**constants, "BLOCK": triton_scan.BLOCK}
        if "TILE" in kernel.arg_names:
            constants["TILE"] = triton_scan.TILE
        numbers = {"D", "group_channels"} & set(kernel.arg_names)
        if channels == "one":
            constants |= dict.fromkeys(numbers, 1)
        multiples = tuple(numbers) if channels == "multiple of 16" else ()
        compiled = compile_for_h100(kernel, constants, multiples)
        assert len(compiled.asm["cubin"]) > 0
        assert compiled.metadata.shared == 0  # everything that a thread needs is in its registers


class TestWithoutGpu:
    __test__ = DEVICE == "cpu" and not INTERPRETED

    def test_kernels_are_right_in_the_interpreter(self):
        """All of `TestKernels`. To see its tests one by one, set TRITON_INTERPRET=1."""
        child = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
            env={**os.environ, "TRITON_INTERPRET": "1"},
            capture_output=True,
            text=True,
            timeout=600,
        )
        if "only 0-dimensional arrays can be converted" in child.stdout:
            pytest.skip("the interpreter of Triton 3.6 and older does not go with NumPy 2.4")
        assert child.returncode == 0, child.stdout + child.stderr
