"""Starting a model from the weights of another one: what fits by name and shape, task by task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pamm.model import Model, build_model
from pamm.model.describe import part_of_modules

Classes = Mapping[str, tuple[Sequence[str], Sequence[str]]]
"""{task: the names of its classes in the one model and in the other}, where both are known."""


@dataclass(frozen=True)
class Moved:
    """What became of a tensor of the model that was to be filled."""

    name: str
    part: str
    """Of the model, as its descriptions name it."""
    rows: float
    """Which share of it was taken, 0 to 1."""
    why: str = ""
    """What was not taken if not all was, and why."""


@torch.no_grad()
def transfer(source: Model, target: Model, classes: Classes) -> list[Moved]:
    """Copy into a model what another one has of it; the rest stays as it is.

    A tensor is taken if the other model has one of its name and shape. Of a tensor that is stacked
    by task the blocks of the tasks that both have are taken, and of a layer that makes the logits
    of classes the rows of the classes that both have, where their names are known.

    Args:
        source: the other model; need not be of the same kind.
        target: the model that is filled.
        classes: of the tasks that choose a class.

    Returns:
        What became of each tensor of `target`, in the order of its state dict.
    """
    theirs, parts = source.state_dict(), part_of_modules(target)
    stacked, mixed = (a & b for a, b in zip(by_task(source), by_task(target), strict=True))
    heads = {name: task for name, task in logit_layers(target).items() if task in classes}
    there, here = list(source.config.tasks), list(target.config.tasks)
    found = []
    for name, tensor in target.state_dict().items():
        given = theirs.get(name)
        if given is None:
            rows, why = 0.0, "not in the other model"
        elif name in stacked:
            rows, why = take_tasks(tensor, given, there, here)
        elif name in heads and given.shape[1:] == tensor.shape[1:]:
            rows, why = take_rows(tensor, given, *classes[heads[name]], what="classes")
        elif given.shape != tensor.shape:
            rows, why = 0.0, f"{shape(given)} there, {shape(tensor)} here"
        elif name in mixed and there != here:
            rows, why = 0.0, "made for other tasks, or for these in another order"
        else:
            rows, why = 1.0, ""
            tensor.copy_(given)
        found.append(Moved(name, parts[name.rpartition(".")[0]], rows, why))
    return found


def by_task(model: Model) -> tuple[set[str], set[str]]:
    """The tensors that are stacked by task along the first axis; those of else a task's affair.

    Found by what another task would change.
    """
    tasks = model.config.tasks
    another = "another" + "".join(tasks)[:100]
    with torch.device("meta"):
        config = replace(model.config, pretrained=False, tasks={**tasks, another: 1})
        larger = build_model(config).state_dict()
    stacked, mixed = set(), set()
    for name, tensor in model.state_dict().items():
        grown = larger[name].shape
        if grown == tensor.shape:
            continue
        along_first = grown[1:] == tensor.shape[1:]
        if along_first and grown[0] * len(tasks) == tensor.shape[0] * (len(tasks) + 1):
            stacked.add(name)
        else:
            mixed.add(name)
    return stacked, mixed


def logit_layers(model: Model) -> dict[str, str]:
    """{tensor of a layer that makes logits: its task}."""
    tasks = {id(layer): task for task, layer in model.heads().items()}
    return {
        f"{name}.{kind}": tasks[id(module)]
        for name, module in model.named_modules()
        if id(module) in tasks
        for kind, _ in module.named_parameters(recurse=False)
    }


def take_tasks(
    tensor: Tensor, given: Tensor, there: Sequence[str], here: Sequence[str]
) -> tuple[float, str]:
    """Copy the blocks of the tasks that both models have."""
    ours = tensor.unflatten(0, (len(here), -1))
    theirs = given.unflatten(0, (len(there), -1))
    if ours.shape[1:] != theirs.shape[1:]:
        return 0.0, f"{shape(theirs[0])} a task there, {shape(ours[0])} here"
    return take_rows(ours, theirs, there, here, what="tasks")


def take_rows(
    tensor: Tensor, given: Tensor, there: Sequence[str], here: Sequence[str], *, what: str
) -> tuple[float, str]:
    """Copy those along the first axis whose names both models have."""
    both = [name for name in here if name in there]
    for name in both:
        tensor[here.index(name)] = given[there.index(name)]
    if len(both) == len(here):
        return 1.0, ""
    new = [name for name in here if name not in there]
    why = f"new: the {what} {', '.join(new)}" if both else f"none of the {what} is there"
    return len(both) / len(here), why


def shape(tensor: Tensor) -> str:
    """As 3x3x16."""
    return "x".join(map(str, tensor.shape)) or "a number"
