"""What a model consists of: parameters and GFLOPs by part, and the shapes along the data path."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pamm.model import PAMM, ModelConfig
from pamm.model.backbone import Backbone
from pamm.model.pamm import pame as pame_module
from pamm.model.pamm.experts import ParameterExperts, Router
from pamm.model.pamm.heads import Decoder
from pamm.model.pamm.pame import PAME
from pamm.model.pamm.stage_fusion import StageFusion
from pamm.model.pamm.task_conv import TaskConv
from pamm.runtime.terminal import console
from pamm.runtime.text import counted

#: Kind of module -> the part its own parameters and operations count as; the innermost counts.
PARTS: dict[type[nn.Module], str] = {
    Backbone: "backbone",
    TaskConv: "task conv",
    PAME: "PAME projections",
    ParameterExperts: "PE experts",
    Router: "PE router",
    StageFusion: "stage fusion",
    Decoder: "decoder heads",
}
#: Parameters of PAME itself that are parts of their own.
PAME_PARAMETERS = {
    "prior_b": "priors",
    "prior_c": "priors",
    "A_log": "scan",
    "D": "scan",
    "delta_bias": "scan",
}


@dataclass(frozen=True)
class Description:
    """Parameters and floating-point operations (a multiply-add is two) by part, and the shapes."""

    parameters: dict[str, int]
    flops: dict[str, int]
    shapes: list[tuple[str, tuple[int, ...]]]


def describe(config: ModelConfig, size: tuple[int, int]) -> Description:
    """Build the model without memory and send one image of (height, width) through it."""
    with torch.device("meta"):
        model = PAMM(replace(config, pretrained=False)).eval()
    names = dict(part_of_modules(model))
    parameters: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        owner, _, leaf = name.rpartition(".")
        part = names[owner]
        if owner.startswith("pame.") and leaf in PAME_PARAMETERS:
            part = PAME_PARAMETERS[leaf]
        parameters[part] += parameter.numel()

    shapes: list[tuple[str, tuple[int, ...]]] = [("image", (1, 3, *size))]
    scanned: Counter[str] = Counter()
    with record_shapes(model, shapes), count_scans(scanned), torch.no_grad():
        counter = FlopCounterMode(display=False)
        with counter:
            logits = model(torch.empty(1, 3, *size, device="meta"))
    shapes += [(f"prediction {name}", tuple(x.shape)) for name, x in logits.items()]
    flops = flops_by_part(counter, names) + scanned
    order = dict.fromkeys([*PARTS.values(), "priors", "scan", *names.values()])
    found = Description(
        parameters={part: parameters[part] for part in order if parameters[part]},
        flops={part: flops[part] for part in order if flops[part]},
        shapes=shapes,
    )
    whole = sum(p.numel() for p in model.parameters())
    assert sum(found.parameters.values()) == whole, (found.parameters, whole)
    whole = counter.get_total_flops() + scanned["scan"]
    assert sum(found.flops.values()) == whole, (found.flops, whole)
    return found


def part_of_modules(model: nn.Module) -> Iterator[tuple[str, str]]:
    """(module name, part) of every module.

    The part is that of the innermost module listed in PARTS that it is in; outside of them, the
    name that the network has for it.
    """
    found = {"": "network"}
    for name, module in model.named_modules():
        parent, _, last = name.rpartition(".")
        inherited = found[parent] if parent or not name else last
        found[name] = PARTS.get(type(module), inherited)
        yield name, found[name]


def flops_by_part(counter: FlopCounterMode, names: dict[str, str]) -> Counter[str]:
    """The counter reports every module with all it contains; leave each what is its own."""
    counts = {
        name.partition(".")[2]: sum(by_operation.values())
        for name, by_operation in counter.get_flop_counts().items()
        if name != "Global"
    }
    own: Counter[str] = Counter()
    for name, flops in counts.items():
        own[names[name]] += flops
        if name:
            parent = name.rpartition(".")[0]
            while parent not in counts:  # containers that are never called are not reported
                parent = parent.rpartition(".")[0]
            own[names[parent]] -= flops
    return own


@contextmanager
def count_scans(flops: Counter[str]) -> Iterator[None]:
    """Replace the scan by one that only counts: per channel, state and position, exp(delta A) and
    delta u B are made once, and each direction then updates the state and sums the output."""
    original = pame_module.multi_directional_scan

    def counting(u: Tensor, delta: Tensor, A: Tensor, *_: Tensor, orders: Tensor) -> Tensor:
        flops["scan"] += u.numel() * A.shape[1] * (3 + 4 * len(orders))
        return torch.empty_like(u)

    pame_module.multi_directional_scan = counting  # type: ignore[assignment]
    try:
        yield
    finally:
        pame_module.multi_directional_scan = original


@contextmanager
def record_shapes(model: PAMM, shapes: list[tuple[str, tuple[int, ...]]]) -> Iterator[None]:
    """Note what the parts of the model return, stage by stage."""

    def note(label: str) -> Callable[[nn.Module, Any, Tensor | list[Tensor]], None]:
        def hook(module: nn.Module, arguments: Any, output: Tensor | list[Tensor]) -> None:
            for i, x in enumerate(output if isinstance(output, list) else [output], start=1):
                suffix = f" stage {i}" if isinstance(output, list) else ""
                shapes.append((label + suffix, tuple(x.shape)))

        return hook

    parts: list[tuple[str, nn.Module]] = [("backbone", model.backbone)]
    parts += [(f"task conv stage {i}", m) for i, m in enumerate(model.task_conv, start=1)]
    parts += [
        (f"PAME stage {i}", m) for i, m in enumerate(model.pame, start=1) if isinstance(m, PAME)
    ]
    parts += [("stage fusion", model.stage_fusion), ("decoder refine", model.decoder.refine)]
    handles = [module.register_forward_hook(note(label)) for label, module in parts]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def print_description(config: ModelConfig, size: tuple[int, int]) -> None:
    """`describe` as two tables."""
    found = describe(config, size)
    terminal = console()
    tasks = counted(len(config.tasks), "task")
    terminal.print(f"{config.backbone}, {tasks}, {size[0]}x{size[1]}")
    table = Table()
    table.add_column("part")
    table.add_column("parameters", justify="right")
    table.add_column("GFLOPs", justify="right")
    for part in dict.fromkeys([*found.parameters, *found.flops]):
        table.add_row(
            part,
            f"{found.parameters.get(part, 0):,}",
            f"{found.flops.get(part, 0) / 1e9:.3f}",
        )
    table.add_section()
    total_flops = sum(found.flops.values()) / 1e9
    table.add_row("total", f"{sum(found.parameters.values()):,}", f"{total_flops:.3f}")
    terminal.print(table)
    terminal.print("shapes (batch, channels, height, width)")
    table = Table()
    table.add_column("after")
    table.add_column("shape", justify="right")
    for label, shape in found.shapes:
        table.add_row(label, " x ".join(map(str, shape)))
    terminal.print(table)
