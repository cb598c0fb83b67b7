"""What a model is scored on: its own data set, one that it is made of, or any other."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pamm.checkpoint import CONFIG, Description
from pamm.data import DATASETS, DataConfig, dataset_tasks, member_configs
from pamm.errors import PammError, unknown
from pamm.runtime.strict_json import from_json
from pamm.tasks import Protocol, Task
from pamm.tasks.match import Match


@dataclass(frozen=True, kw_only=True)
class ScoredOn:
    """A data set, and what it labels."""

    config: DataConfig
    tasks: dict[str, Task]
    other: str | None = None
    """What it is called where it is not the one of the training."""


def data_to_score(
    folder: Path, saved: Description, *, data: str | None, root: str | None
) -> ScoredOn:
    """What a model is scored on.

    Args:
        folder: of the model.
        saved: what the folder says; the size of its training crops is kept.
        data: the name of the data set, if not the one that it was trained on; or what stands for
            one of those that this one is made of.
        root: the folder of the data set, if not the one in the configuration.

    Raises:
        PammError: there is no such data set.
    """
    own = trained_on(folder, saved) if data is None or saved.data is not None else None
    members = member_configs(own) if own else {}
    if data in members:
        config, tasks = members[data]
        return ScoredOn(config=config, tasks=tasks, other=data)
    if own is not None and data in (None, own.name):
        config = own if root is None else replace(own, root=root)
        return ScoredOn(config=config, tasks=dataset_tasks(config))
    if data not in DATASETS:
        raise PammError(unknown("data set", str(data), [*members, *DATASETS]))
    config = DataConfig(name=data, root=root)
    if saved.crop_size:
        config = replace(config, size=saved.crop_size)
    return ScoredOn(config=config, tasks=dataset_tasks(config), other=data)


def trained_on(folder: Path, saved: Description) -> DataConfig:
    """The data set that a model was trained on, as its folder says."""
    return from_json(DataConfig, saved.data, where=f"{str(folder / CONFIG)!r}: data")


def match(
    model: Mapping[str, Task], data: Mapping[str, Task], protocol: Protocol
) -> dict[str, Match]:
    """The tasks that a model predicts and a data set labels, by name, in the model's order.

    Args:
        model, data: the tasks of the two.
        protocol: of the scores.

    Raises:
        PammError: there is none, or one of a name is not the same task.
    """
    found = {
        name: task.match(data[name].with_protocol(protocol))
        for name, task in model.items()
        if name in data
    }
    if not found:
        raise PammError(
            f"the model predicts {', '.join(model)}, the data set has labels for "
            f"{', '.join(data)}: there is nothing to score"
        )
    return found
