"""Ready experiments by name: the demo, the paper's two benchmarks, and their Baseline twins.

Each says the command, the hardware, the time and the score that it was measured with, or that it
was not measured. To know that much loads no PyTorch: an experiment is made when it is asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pamm.errors import PammError, unknown

if TYPE_CHECKING:
    from pamm.config import Experiment

VIT_B = "vit_base_patch16_384.augreg_in21k_ft_in1k"
VIT_L = "vit_large_patch16_384.augreg_in21k_ft_in1k"
SYNTHETIC = {
    "semseg": 16, "human_parts": 7, "saliency": 2, "normals": 3, "boundary": 1, "depth": 1,
}  # fmt: skip
NYUD = {"semseg": 40, "depth": 1, "normals": 3, "boundary": 1}
PASCAL = {"semseg": 21, "human_parts": 7, "saliency": 2, "normals": 3, "boundary": 1}


@dataclass(frozen=True, kw_only=True)
class Preset:
    """An experiment with what is known about it."""

    summary: str
    hardware: str
    time: str
    expected: str
    make: Callable[[], "Experiment"]

    @cached_property
    def experiment(self) -> "Experiment":
        """What to train, on what, and how."""
        return self.make()


def recipe(
    *,
    model: dict[str, Any],
    data: dict[str, Any],
    optim: dict[str, Any],
    train: dict[str, Any] | None = None,
) -> Callable[[], "Experiment"]:
    """How to make an experiment of the fields that are not as their defaults."""

    def make() -> "Experiment":
        from pamm.config import Experiment
        from pamm.data import DataConfig
        from pamm.model import ModelConfig
        from pamm.training.loop import TrainConfig
        from pamm.training.optim import OptimConfig

        return Experiment(
            model=ModelConfig(**model),
            data=DataConfig(**data),
            optim=OptimConfig(**optim),
            train=TrainConfig(**train or {}),
        )

    return make


def synthetic_tiny() -> Preset:
    """The demo: all six tasks on rendered rooms, trained from scratch on a CPU."""
    return Preset(
        summary="six tasks on rendered rooms, from scratch on a CPU: what `make demo` trains",
        hardware="2 CPU cores",
        time="8 minutes",
        expected=(
            "mIoU 0.464, parts mIoU 0.389, maxF 0.637, mErr 15.57 degrees, odsF 0.646, RMSE 0.530 m"
        ),
        make=recipe(
            model={
                "tasks": SYNTHETIC,
                "backbone": "resnet10t",
                "stride": 8,
                "d_model": 32,
                "d_state": 8,
                "drop_path": 0.0,
            },
            # Twenty epochs are too few to overfit: colours as rendered are learned sooner.
            data={"name": "synthetic", "size": (96, 128), "photometric": 0.0},
            optim={"lr": 3e-3, "warmup": 50},
            train={
                "steps": 1600,
                "batch_size": 8,
                "log_every": 10,
                "validate_every": 800,
                "checkpoint_every": 50,
            },
        ),
    )


def nyud(backbone: str, published: str) -> Preset:
    """NYUD-v2 with the paper's recipe (sections V-A, table I)."""
    return Preset(
        summary="NYUD-v2, four tasks, the paper's recipe; give the images as --data.root",
        hardware="a GPU",
        time="not measured",
        expected=f"not measured; {published}",
        make=recipe(
            model={
                "tasks": NYUD,
                "backbone": backbone,
                "pretrained": True,
                "d_model": 768,
                "d_state": 16,
            },
            data={"name": "nyud", "size": (448, 576), "scale": (0.5, 2.0)},
            optim={"lr": 1e-5},
        ),
    )


def pascal(backbone: str, d_model: int, published: str) -> Preset:
    """PASCAL-Context with the paper's recipe (sections V-A, table I)."""
    return Preset(
        summary="PASCAL-Context, five tasks, the paper's recipe; give the images as --data.root",
        hardware="a GPU",
        time="not measured",
        expected=f"not measured; {published}",
        make=recipe(
            model={
                "tasks": PASCAL,
                "backbone": backbone,
                "pretrained": True,
                "d_model": d_model,
                "d_state": 64,
            },
            data={"name": "pascal_context", "size": (512, 512), "scale": (0.5, 2.0)},
            optim={"lr": 2e-5},
        ),
    )


def baseline(preset: Preset, *, time: str, expected: str) -> Preset:
    """The same without task convolution and PAME: the Baseline of tables I and II."""

    def make() -> "Experiment":
        full = preset.experiment
        return replace(full, model=replace(full.model, task_conv=False, pame=False))

    return replace(
        preset,
        summary=preset.summary + "; Baseline, without task convolution and PAME",
        time=time,
        expected=expected,
        make=make,
    )


_FULL: dict[str, Callable[[], Preset]] = {
    "synthetic-tiny": synthetic_tiny,
    "nyud-vit-b": lambda: nyud(VIT_B, "the paper: mIoU 51.10, RMSE 0.5349, mErr 18.90, odsF 78.00"),
    "nyud-vit-l": lambda: nyud(VIT_L, "the paper: mIoU 56.63, RMSE 0.5102, mErr 18.52, odsF 78.10"),
    "pascal-vit-b": lambda: pascal(
        VIT_B, 768, "the paper: mIoU 79.12, parts 67.83, maxF 85.25, mErr 13.40, odsF 73.40"
    ),
    "pascal-vit-l": lambda: pascal(
        VIT_L, 1024, "the paper: mIoU 81.38, parts 70.39, maxF 84.51, mErr 13.36, odsF 75.30"
    ),
}

#: What is known of the Baseline twins: (time, expected).
_BASELINES = {
    "synthetic-tiny": (
        "6 minutes",
        "mIoU 0.435, parts mIoU 0.366, maxF 0.594, mErr 16.20 degrees, odsF 0.631, RMSE 0.541 m",
    ),
    "nyud-vit-l": (
        "not measured",
        "not measured; the paper: mIoU 53.36, RMSE 0.5635, mErr 19.25, odsF 76.90",
    ),
    "pascal-vit-b": (
        "not measured",
        "not measured; the paper: mIoU 77.12, parts 66.16, maxF 84.71, mErr 13.80, odsF 69.80",
    ),
    "pascal-vit-l": (
        "not measured",
        "not measured; the paper: mIoU 78.67, parts 67.75, maxF 84.13, mErr 14.01, odsF 71.32",
    ),
}

PRESETS: dict[str, Preset] = {}
for _name, _make in _FULL.items():
    _time, _expected = _BASELINES.get(_name, ("not measured", "not measured"))
    PRESETS[_name] = _make()
    PRESETS[f"{_name}-baseline"] = baseline(PRESETS[_name], time=_time, expected=_expected)


def preset(name: str) -> Preset:
    """The preset of this name.

    Raises:
        PammError: an unknown name; the message lists the known ones.
    """
    if name not in PRESETS:
        raise PammError(unknown("preset", name, PRESETS))
    return PRESETS[name]
