"""The prediction tasks. One file a task; it owns all that is specific to it.

To add one: write its file (`depth.py` is a complete example; `class_map.py` and `binary_map.py`
hold what tasks of these kinds share) and add its class to the list below.
"""

from collections.abc import Mapping
from typing import Any

from pamm.errors import PammError, unknown
from pamm.runtime.strict_json import from_json
from pamm.tasks.base import IGNORE, Protocol, Task
from pamm.tasks.boundary import Boundary
from pamm.tasks.depth import Depth
from pamm.tasks.human_parts import HumanParts
from pamm.tasks.normals import Normals
from pamm.tasks.saliency import Saliency
from pamm.tasks.semseg import Semseg

TASK_TYPES: dict[str, type[Task]] = {
    task.type_name: task
    for task in (
        Semseg,
        HumanParts,
        Saliency,
        Normals,
        Boundary,
        Depth,
    )
}


def default_task(name: str, channels: int) -> Task:
    """The task of a bare {name: channels}, such as a model's config holds.

    Raises:
        PammError: if the name is not one of `TASK_TYPES`.
        ValueError: if the task cannot have so many channels.
    """
    return _task_type(name)(name=name, channels=channels)


def task_from_dict(values: Mapping[str, Any], *, where: str = "task") -> Task:
    """The task that `Task.to_dict` wrote.

    Args:
        values: its fields, and "type".
        where: begins the message of an error.

    Raises:
        PammError: its type is not one of `TASK_TYPES`, or a field is not known or does not fit.
    """
    kind = values.get("type") if isinstance(values, Mapping) else None
    if not isinstance(kind, str):
        raise PammError(f"{where} without 'type': give one of {', '.join(TASK_TYPES)}")
    fields = {key: value for key, value in values.items() if key != "type"}
    try:
        task_type = _task_type(kind)
    except PammError as error:
        raise PammError(f"{where}: {error}") from None
    return from_json(task_type, fields, where=where)


def _task_type(name: str) -> type[Task]:
    if name not in TASK_TYPES:
        raise PammError(unknown("task", name, TASK_TYPES))
    return TASK_TYPES[name]


__all__ = [
    "IGNORE",
    "TASK_TYPES",
    "Boundary",
    "Depth",
    "HumanParts",
    "Normals",
    "Protocol",
    "Saliency",
    "Semseg",
    "Task",
    "default_task",
    "task_from_dict",
]
