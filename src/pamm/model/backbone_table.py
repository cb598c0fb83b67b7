"""`pamm backbones`: which backbones can start pretrained here, and from where."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import timm
import torch
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from pamm.errors import PammError
from pamm.model.backbone import TAPS, Backbone, check_timm_name
from pamm.model.weights.packages import PACKAGES, PREFIX, install_command, is_installed
from pamm.runtime.terminal import console

HERE = "yes"


@dataclass(frozen=True, kw_only=True)
class Usable:
    """A backbone, a source of weights for it, and whether they are here."""

    backbone: str
    """The timm model."""
    pretrained: str
    """What `pretrained` is to be set to: "package:NAME", or "True" for the hub."""
    here: str
    """`HERE`, or how to get them."""
    weights: str
    """Whose they are."""
    licence: str


def usable(names: Iterable[str]) -> list[Usable]:
    """All packages, then timm's weights on the hub: those in its cache here, and the named ones.

    Args:
        names: timm models, with or without the tag of their weights.

    Raises:
        PammError: an unknown one, or one that timm has no weights for.
    """
    packages = [
        Usable(
            backbone=weights.backbone,
            pretrained=PREFIX + name,
            here=HERE if is_installed(name) else install_command(name),
            weights=weights.source,
            licence=weights.licence,
        )
        for name, weights in PACKAGES.items()
    ]
    cached = dict.fromkeys(cached_models())
    named = dict.fromkeys(map(tagged, names))
    return [*packages, *(_of_hub(name, name in cached) for name in {**cached, **named})]


def tagged(name: str) -> str:
    """A timm model with the tag of its weights, timm's first ones where none is given.

    Raises:
        PammError: timm has no such model, or no weights for it.
    """
    check_timm_name(name)
    if "." in name:
        return name
    if not timm.list_pretrained(f"{name}.*"):
        raise PammError(f"backbone {name!r}: timm has no weights for it")
    config: Any = timm.get_pretrained_cfg(name)
    return f"{name}.{config.tag}"


def cached_models() -> Iterator[str]:
    """The timm models whose weights are in the hub's cache on this machine."""
    from huggingface_hub import CacheNotFound, constants, scan_cache_dir

    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except (CacheNotFound, OSError):
        return
    known = set(timm.list_pretrained())
    for name in sorted(r.repo_id.removeprefix("timm/") for r in repositories):
        if name in known:
            yield name


def _of_hub(name: str, here: bool) -> Usable:
    config: Any = timm.get_pretrained_cfg(name)
    return Usable(
        backbone=name,
        pretrained="True",
        here=HERE if here else "from the hub",
        weights=config.hf_hub_id or config.url or "",
        licence=config.license or "see timm",
    )


def cost(name: str, size: tuple[int, int]) -> tuple[int, int]:
    """(parameters, floating-point operations of one image of (height, width)) up to the last map.

    A multiply-add is two operations.

    Raises:
        PammError: the model does not serve as a backbone.
    """
    with torch.device("meta"):
        backbone = Backbone(name, stages=stages_of(name)).eval()
        counter = FlopCounterMode(display=False)
        height, width = (side + -side % backbone.multiple for side in size)
        with torch.no_grad(), counter:
            backbone(torch.empty(1, 3, height, width))
    return sum(p.numel() for p in backbone.parameters()), counter.get_total_flops()


def stages_of(name: str) -> int:
    """How many stage maps the model gives, four at most."""
    with torch.device("meta"):
        net: Any = timm.create_model(name, num_classes=0)
        return min(TAPS, len(net.feature_info or ()))


def print_backbones(names: Iterable[str], size: tuple[int, int]) -> None:
    """`usable` as a table, with what each backbone costs."""
    table = Table()
    for title in ("backbone", "parameters", "GFLOPs", "--model.pretrained", "here"):
        table.add_column(title, justify="right" if title in ("parameters", "GFLOPs") else "left")
    table.add_column("licence")
    table.add_column("weights")
    costs: dict[str, tuple[int, int]] = {}
    for row in usable(names):
        base = row.backbone.split(".")[0]
        costs[base] = costs.get(base) or cost(base, size)
        parameters, flops = costs[base]
        table.add_row(
            row.backbone,
            f"{parameters:,}",
            f"{flops / 1e9:.2f}",
            row.pretrained,
            row.here,
            row.licence,
            row.weights,
        )
    terminal = console()
    terminal.print(f"pretrained backbones; GFLOPs of an image of {size[0]}x{size[1]}")
    terminal.print(table)
    terminal.print(
        "any other timm model that takes images of any size serves too: docs/backbones.md"
    )
