"""The model before the first step: new weights, pretrained ones, or those of another model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, groupby

import torch
from rich.table import Table
from torch.func import functional_call

from pamm import checkpoint
from pamm.data import DataConfig, train_dataset
from pamm.errors import PammError
from pamm.model import Model, ModelConfig, Outputs, build_model
from pamm.model.layers.batch_norm import synchronise
from pamm.model.transfer import Moved, transfer
from pamm.predictor import Predictor
from pamm.runtime.distributed import is_first
from pamm.runtime.terminal import console
from pamm.tasks import Task
from pamm.training.train_config import TrainConfig

REASONS = 2
"""How many of the reasons why tensors of a part were not taken are told."""


def initial_model(
    model: ModelConfig,
    data: DataConfig,
    tasks: Mapping[str, Task],
    settings: TrainConfig,
    *,
    processes: int,
    frozen: bool,
    resumed: bool,
) -> Predictor:
    """The model before the first step; one process or many start from the same weights.

    Args:
        model, data, settings: what is trained, on what, and how.
        tasks: what the outputs mean.
        processes: that train it together.
        frozen: whether the backbone stays as it is.
        resumed: whether the weights will come from a checkpoint of the run; then none are looked
            for elsewhere.

    Raises:
        PammError: the settings do not go with the model, or weights to start from cannot be had.
    """
    other = None if resumed or settings.init is None else checkpoint.load(settings.init)
    torch.manual_seed(settings.seed)
    elsewhere = resumed or (other is not None and has_backbone(other, model.backbone))
    network = build_model(replace(model, pretrained=False) if elsewhere else model)
    network.config = replace(network.config, pretrained=model.pretrained)
    check_first_step(network, data.size, settings)
    network.start_outputs_at({name: task.initial_output for name, task in tasks.items()})
    if other is not None:
        if elsewhere:
            check_normalisation(other, network)
        start_from(other, network, tasks, source=str(settings.init))
    if frozen:
        network.backbone.freeze()
    if processes > 1:
        synchronise(network)
    if settings.gradient_checkpointing:
        network.recompute_activations()
    largest = train_dataset(data, tasks=tasks).largest()
    return Predictor(network, tasks, image_size=largest, crop_size=data.size)


def has_backbone(model: Predictor, name: str) -> bool:
    """Whether a model is on a timm model of this name, whatever the tag of its weights."""
    network = model.network
    assert isinstance(network, Model)
    return network.config.backbone.split(".")[0] == name.split(".")[0]


def check_normalisation(other: Predictor, network: Model) -> None:
    """Raise unless a backbone that is taken will see images as it did.

    Raises:
        PammError: the two models normalise images differently.
    """
    theirs = other.network
    assert isinstance(theirs, Model)
    if (theirs.mean, theirs.std) != (network.mean, network.std):
        mean, std = (" ".join(f"{value:g}" for value in c) for c in (theirs.mean, theirs.std))
        raise PammError(
            f"train.init: the backbone there was trained on images with the mean {mean} and the "
            f"deviation {std}, this model has others: give --model.mean {mean} --model.std {std}"
        )


def start_from(other: Predictor, network: Model, tasks: Mapping[str, Task], *, source: str) -> None:
    """Take from another model what fits, and print a table of it.

    Raises:
        PammError: nothing fits.
    """
    assert isinstance(other.network, Model)
    names = [
        {name: getattr(task, "class_names", ()) for name, task in known.items()}
        for known in (other.tasks, tasks)
    ]
    classes = {
        name: (names[0][name], ours)
        for name, ours in names[1].items()
        if ours and names[0].get(name)
    }
    moved = transfer(other.network, network, classes)
    if not any(m.rows for m in moved):
        raise PammError(
            f"train.init: nothing in {source!r} fits this model: {other.network.config.name} on "
            f"{other.network.config.backbone} there, {network.config.name} on "
            f"{network.config.backbone} here"
        )
    if is_first():
        print_moved(moved, source, order=list(network.parts()))


def print_moved(moved: Sequence[Moved], source: str, *, order: Sequence[str]) -> None:
    """What was taken of another model, part by part."""
    table = Table()
    for title in ("part", "tensors", "taken", "in part", "new"):
        table.add_column(title, justify="left" if title == "part" else "right")
    table.add_column("what was not taken whole")
    by_part = sorted(moved, key=lambda m: order.index(m.part) if m.part in order else len(order))
    for part, tensors in groupby(by_part, key=lambda m: m.part):
        rows = list(tensors)
        whole, none = (sum(m.rows == share for m in rows) for share in (1, 0))
        why = list(dict.fromkeys(m.why for m in rows if m.why))
        more = [f"and {len(why) - REASONS} more"] if len(why) > REASONS else []
        counts = (len(rows), whole, len(rows) - whole - none, none)
        table.add_row(part, *map(str, counts), "; ".join([*why[:REASONS], *more]))
    terminal = console()
    terminal.print(f"starting from {source}")
    terminal.print(table)


def check_first_step(network: Model, size: tuple[int, int], settings: TrainConfig) -> None:
    """Raise where settings do not go with the network, tried on tensors that have a shape only.

    A weight of what the network does not make would do nothing; and a batch norm that sees a single
    position has no variance.
    """
    state = {k: v.to("meta") for k, v in chain(network.named_parameters(), network.named_buffers())}
    images = settings.batch_size // settings.accumulate  # batch norms see those of all processes
    try:
        with torch.no_grad():
            image = torch.empty(images, 3, *size, device="meta")
            outputs: Outputs = functional_call(network, state, image)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise PammError(
            f"data.size: one crop of {size[0]}x{size[1]} is a single position of the network's "
            "maps, and batch norms need two: give a larger --data.size, or more than one image in "
            "each part of --train.batch-size"
        ) from None
    for name, lacks, made in (
        ("auxiliary", "makes no auxiliary predictions", bool(outputs.auxiliary)),
        ("penalty", "has no penalty", outputs.penalty is not None),
    ):
        given, default = getattr(settings, name), getattr(TrainConfig, name)
        if given not in (0, default) and not made:
            raise PammError(
                f"train.{name}: got {given:g}, but {type(network).__name__} {lacks}: want "
                f"--train.{name} {default:g}"
            )
