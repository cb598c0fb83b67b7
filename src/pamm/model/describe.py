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

from pamm.model import Model, ModelConfig, build_model
from pamm.runtime.terminal import console
from pamm.runtime.text import counted

SCAN, REST = "scan", "between the parts"
"""What operations count as that are of the scan, in whatever part, or in no part."""


@dataclass(frozen=True)
class Description:
    """Parameters and floating-point operations (a multiply-add is two) by part, and the shapes."""

    parameters: dict[str, int]
    flops: dict[str, int]
    shapes: list[tuple[str, tuple[int, ...]]]


def describe(config: ModelConfig, size: tuple[int, int]) -> Description:
    """Build the model without memory and send one image of (height, width) through it."""
    with torch.device("meta"):
        model = build_model(replace(config, pretrained=False)).eval()
    names = part_of_modules(model)
    parameters: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        part = names[name.rpartition(".")[0]]
        assert part != REST, f"parts() of {type(model).__name__} leave out {name}"
        parameters[part] += parameter.numel()

    shapes: list[tuple[str, tuple[int, ...]]] = [("image", (1, 3, *size))]
    counter = FlopCounterMode(display=False)
    with record_shapes(model, shapes), torch.no_grad(), counter:
        logits = model(torch.empty(1, 3, *size, device="meta"))
    shapes += [(f"prediction {name}", tuple(x.shape)) for name, x in logits.items()]
    flops = flops_by_part(counter, names)
    order = [*model.parts(), SCAN, REST]
    found = Description(
        parameters={part: parameters[part] for part in order if parameters[part]},
        flops={part: flops[part] for part in order if flops[part]},
        shapes=shapes,
    )
    whole = sum(p.numel() for p in model.parameters())
    assert sum(found.parameters.values()) == whole, (found.parameters, whole)
    whole = counter.get_total_flops()
    assert sum(found.flops.values()) == whole, (found.flops, whole)
    return found


def part_of_modules(model: Model) -> dict[str, str]:
    """{module name: part}; of parts inside each other the innermost, which is named later."""
    owner = {id(m): part for part, whole in model.parts().items() for m in whole.modules()}
    return {name: owner.get(id(m), REST) for name, m in model.named_modules()}


def flops_by_part(counter: FlopCounterMode, names: dict[str, str]) -> Counter[str]:
    """The counter reports every module with all it contains; leave each what is its own."""
    counts = {
        name.partition(".")[2]: by_operation
        for name, by_operation in counter.get_flop_counts().items()
        if name != "Global"
    }
    own: Counter[str] = Counter()
    for name, by_operation in counts.items():
        scanned = by_operation.get(torch.ops.pamm.scan, 0)
        others = sum(by_operation.values()) - scanned
        own[names[name]] += others
        if name:
            parent = name.rpartition(".")[0]
            while parent not in counts:  # containers that are never called are not reported
                parent = parent.rpartition(".")[0]
            own[names[parent]] -= others
        else:
            own[SCAN] += scanned
    return own


@contextmanager
def record_shapes(model: Model, shapes: list[tuple[str, tuple[int, ...]]]) -> Iterator[None]:
    """Note what the parts of the model return, but for those inside others.

    Of a list of modules it is what each of them returns.
    """

    def note(label: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, arguments: Any, output: Any) -> None:
            maps = output if isinstance(output, list) else [output]
            for i, x in enumerate(maps, start=1):
                x = x[0] if isinstance(x, tuple) else x
                suffix = f" stage {i}" if isinstance(output, list) else ""
                if isinstance(x, Tensor):
                    shapes.append((label + suffix, tuple(x.shape)))

        return hook

    units: dict[str, nn.Module] = {}
    for label, part in model.parts().items():
        if isinstance(part, nn.ModuleList):
            units |= {f"{label} {i}": module for i, module in enumerate(part, 1)}
        else:
            units[label] = part
    inner = {id(m) for unit in units.values() for m in unit.modules() if m is not unit}
    handles = [
        module.register_forward_hook(note(label))
        for label, module in units.items()
        if id(module) not in inner
    ]
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
    terminal.print(f"{config.name} on {config.backbone}, {tasks}, {size[0]}x{size[1]}")
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
