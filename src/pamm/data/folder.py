"""The data set `folder`: any images with label files, described by a `pamm.toml` beside them.

```toml
images = "images/{id}.jpg"            # or a list of patterns: the first file that exists counts

[lists]                               # text files with an id a line
train = "train.txt"                   # or instead: [splits], what {split} stands for in the paths;
val = "val.txt"                       # or: validation = 0.1, a share drawn at random

[tasks.semseg]                        # the name of the task; type = "..." if that is another
files = "classes/{id}.png"
encoding = { type = "classes" }       # of data/encodings.py, with its fields
class_names = ["road", "sky"]         # and any field of the task
```
"""

import dataclasses
import os
import posixpath
from pathlib import Path
from typing import Any, ClassVar

from pamm.data.encodings import ENCODINGS, Encoding, check
from pamm.data.file_dataset import FileDataset, Layout
from pamm.errors import PammError, unknown
from pamm.runtime.strict_json import from_json
from pamm.runtime.toml import read_toml
from pamm.tasks import TASK_TYPES, Task

DESCRIPTION = "pamm.toml"

_CLASSES = {"channels", "class_names"}
OLDER_WORD = "kind"
"""For the type of an encoding; of files that were written before tasks and encodings agreed."""
_KEYS = ("images", "lists", "splits", "validation", "tasks")


class Folder(FileDataset):
    """The data set that the `pamm.toml` in `root` describes."""

    NAME: ClassVar[str] = "folder"

    @classmethod
    def layout(cls, folder: Path) -> Layout:
        return read_description(folder / DESCRIPTION)

    @classmethod
    def signature_files(cls) -> tuple[str, ...]:
        return (DESCRIPTION,)

    @classmethod
    def find(cls, root: str | os.PathLike[str] | None) -> Path:
        if root is not None and Path(root).name == DESCRIPTION:
            root = Path(root).parent
        return super().find(root)


def read_description(path: Path) -> Layout:
    """What a `pamm.toml` says.

    Raises:
        PammError: it cannot be read, or holds anything that does not fit exactly.
    """
    values = read_toml(path)
    try:
        return _layout(values)
    except PammError as error:
        raise PammError(f"{str(path)!r}: {error}") from None


def _layout(values: dict[str, Any]) -> Layout:
    for key in values:
        if key not in _KEYS:
            raise PammError(unknown("key", key, _KEYS))
    images = _patterns(values.get("images"), "images")
    lists, splits = (_of_splits(values.get(key, {}), key) for key in ("lists", "splits"))
    if splits and not all("{split}" in pattern for pattern in images):
        raise PammError("[splits] says what {split} stands for, but `images` has no {split}")
    validation = values.get("validation", 0.0)
    if "validation" in values:
        _check_validation(validation, images, lists=lists, splits=splits)
        lists = dict.fromkeys(Folder.SPLITS, lists["train"]) if lists else {}
        splits = dict.fromkeys(Folder.SPLITS, splits.get("train", "train"))
    elif len(lists) < len(Folder.SPLITS) and not all("{split}" in p for p in images):
        raise PammError(
            "which images are for training and which for validation? Give files of ids, [lists] "
            f"with {' and '.join(Folder.SPLITS)}; or folders, {{split}} in `images`; or "
            "validation = 0.1 for a tenth of the images, drawn at random"
        )
    tables = values.get("tasks")
    if not isinstance(tables, dict) or not tables:
        raise PammError("no tasks; give at least one table such as [tasks.depth]")
    tasks, labels = {}, {}
    for name, table in tables.items():
        tasks[name], labels[name] = _task(name, table)
    return Layout(
        tasks=tasks,
        images=images,
        labels=labels,
        lists=lists,
        splits=splits,
        validation=float(validation),
    )


def _of_splits(value: Any, where: str) -> dict[str, str]:
    """The table [lists] or [splits]."""
    table = from_json(dict[str, str], value, where=where)
    for split in table:
        if split not in Folder.SPLITS:
            raise PammError(f"{where}: {unknown('split', split, Folder.SPLITS)}")
    return table


def _check_validation(
    share: Any, images: tuple[str, ...], *, lists: dict[str, str], splits: dict[str, str]
) -> None:
    if type(share) not in (int, float) or not 0 < share < 1:
        raise PammError(f"validation: got {share!r}, want a share of the images, such as 0.1")
    for table, where in ((lists, "lists"), (splits, "splits")):
        if "val" in table:
            raise PammError(
                f"both validation = {share} and {where}.val say which images are for validation; "
                "leave one out"
            )


def _task(name: str, table: Any) -> tuple[Task, dict[str, Encoding]]:
    where = f"tasks.{name}"
    if not isinstance(table, dict):
        raise PammError(f"{where}: got {table!r}, want a table with files and encoding")
    fields = dict(table)
    patterns = _patterns(fields.pop("files", None), f"{where}.files")
    encoding = _encoding(fields.pop("encoding", None), f"{where}.encoding")
    type_name = fields.pop("type", name)
    is_known = isinstance(type_name, str) and type_name in TASK_TYPES
    types = [TASK_TYPES[type_name]] if is_known else TASK_TYPES.values()
    known = {f.name: f for t in types for f in dataclasses.fields(t) if f.name != "name"}
    for key in fields:  # first, as "type" itself may be mistyped
        if key not in known:
            names = ["files", "encoding", "type", *known]
            raise PammError(f"{where}: {unknown('key', key, names)}")
    if not is_known:
        raise PammError(f"{where}: {unknown('type of task', str(type_name), TASK_TYPES)}")
    if known["channels"].default is dataclasses.MISSING and not fields.keys() & _CLASSES:
        fields |= {key: v for key, v in encoding.about_task().items() if key in known}
    if "class_names" in fields and isinstance(fields["class_names"], list):
        fields.setdefault("channels", len(fields["class_names"]))
    if known["channels"].default is dataclasses.MISSING and "channels" not in fields:
        check(
            encoding, TASK_TYPES[type_name](name=name, channels=2)
        )  # what does not fit comes first
        raise PammError(
            f'{where}: how many classes are there? Give class_names = ["road", "sky"] with all of '
            "them, or channels = and their number"
        )
    task = _made(TASK_TYPES[type_name], {**fields, "name": name}, where)
    return task, dict.fromkeys(patterns, encoding)


def _encoding(value: Any, where: str) -> Encoding:
    words = [word for word in ("type", OLDER_WORD) if isinstance(value, dict) and word in value]
    if not words:
        raise PammError(
            f'{where}: got {value!r}, want a table such as {{ type = "depth", per_metre = 1000 }}; '
            f"types: {', '.join(ENCODINGS)}"
        )
    fields = dict(value)
    type_name = fields.pop(words[0])
    if not isinstance(type_name, str) or type_name not in ENCODINGS:
        raise PammError(f"{where}: {unknown('type of encoding', str(type_name), ENCODINGS)}")
    known = [field.name for field in dataclasses.fields(ENCODINGS[type_name])]
    for key in fields:
        if key not in known:
            raise PammError(f"{where}: {unknown('field', key, known)}")
    encoding: Encoding = _made(ENCODINGS[type_name], fields, where)
    return encoding


def _made(dataclass: Any, fields: dict[str, Any], where: str) -> Any:
    try:
        return from_json(dataclass, fields, where=where)
    except PammError:
        raise
    except (ValueError, TypeError) as error:  # what the class itself does not accept
        raise PammError(f"{where}: {error}") from None


def _patterns(value: Any, where: str) -> tuple[str, ...]:
    patterns = tuple(value) if isinstance(value, list) else () if value is None else (value,)
    for pattern in patterns:
        if not isinstance(pattern, str) or pattern.count("{id}") != 1 or not pattern.isprintable():
            raise PammError(f"{where}: got {pattern!r}, want a path with {{id}} in it, once")
        rest = pattern.replace("{id}", "").replace("{split}", "")
        if "{" in rest or "}" in rest:
            raise PammError(
                f"{where}: {pattern!r} has a placeholder other than {{id}} and {{split}}"
            )
        outside = pattern.startswith(("/", "~")) or ".." in pattern.split("/")
        if outside or "\\" in pattern or pattern[1:2] == ":":
            raise PammError(
                f"{where}: {pattern!r} is not a path under the folder of the {DESCRIPTION}; want "
                'one such as "images/{id}.jpg"'
            )
    if not patterns:
        raise PammError(f'{where}: missing; give a path such as "images/{{id}}.jpg"')
    return tuple(map(posixpath.normpath, patterns))
