"""The data set `folder`: any images with label files, described by a `pamm.toml` beside them.

```toml
images = "images/{id}.jpg"            # or a list of patterns: the first file that exists counts

[lists]                               # text files with an id a line; not needed where the
train = "train.txt"                   # pattern of the images has {split}
val = "val.txt"

[tasks.semseg]                        # the name of the task; type = "..." if that is another
files = "classes/{id}.png"
encoding = { kind = "classes" }       # of data/encodings.py, with its fields
class_names = ["road", "sky"]         # and any field of the task
```
"""

import dataclasses
import os
import tomllib
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, ClassVar

from pamm.data.encodings import ENCODINGS, Encoding
from pamm.data.file_dataset import FileDataset, Layout
from pamm.errors import PammError, unknown
from pamm.files import check_regular
from pamm.strict_json import from_json
from pamm.tasks import TASK_TYPES, Task

DESCRIPTION = "pamm.toml"

_KEYS = ("images", "lists", "tasks")


class Folder(FileDataset):
    """The data set that the `pamm.toml` in `root` describes."""

    NAME: ClassVar[str] = "folder"

    @classmethod
    def layout(cls, folder: Path) -> Layout:
        return read_description(folder / DESCRIPTION)

    @classmethod
    def marks(cls) -> tuple[str, ...]:
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
    check_regular(path)
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PammError(f"{str(path)!r} cannot be read as TOML: {error}") from None
    try:
        return _layout(values)
    except PammError as error:
        raise PammError(f"{str(path)!r}: {error}") from None


def _layout(values: dict[str, Any]) -> Layout:
    for key in values:
        if key not in _KEYS:
            raise PammError(unknown("key", key, _KEYS))
    images = _patterns(values.get("images"), "images")
    lists = from_json(dict[str, str], values.get("lists", {}), where="lists")
    for split in lists:
        if split not in Folder.SPLITS:
            raise PammError(f"lists: {unknown('split', split, Folder.SPLITS)}")
    if len(lists) < len(Folder.SPLITS) and not all("{split}" in p for p in images):
        raise PammError(
            f"which images are for training and which for validation? Give files of ids, [lists] "
            f"with {' and '.join(Folder.SPLITS)}, or folders: {{split}} in `images`"
        )
    tables = values.get("tasks")
    if not isinstance(tables, dict) or not tables:
        raise PammError("no tasks; give at least one table such as [tasks.depth]")
    tasks, labels = {}, {}
    for name, table in tables.items():
        tasks[name], labels[name] = _task(name, table)
    return Layout(tasks=tasks, images=images, labels=labels, lists=lists)


def _task(name: str, table: Any) -> tuple[Task, dict[str, Encoding]]:
    where = f"tasks.{name}"
    if not isinstance(table, dict):
        raise PammError(f"{where}: got {table!r}, want a table with files and encoding")
    fields = dict(table)
    patterns = _patterns(fields.pop("files", None), f"{where}.files")
    encoding = _encoding(fields.pop("encoding", None), f"{where}.encoding")
    kind = fields.pop("type", name)
    if kind not in TASK_TYPES:
        raise PammError(f"{where}: {unknown('type of task', str(kind), TASK_TYPES)}")
    known = [field.name for field in dataclasses.fields(TASK_TYPES[kind]) if field.name != "name"]
    for key in fields:
        if key not in known:
            known = ["files", "encoding", "type", *known]
            raise PammError(f"{where}: {unknown('key', key, known)}")
    if "class_names" in fields and isinstance(fields["class_names"], list):
        fields.setdefault("channels", len(fields["class_names"]))
    task = _made(TASK_TYPES[kind], {**fields, "name": name}, where)
    return task, dict.fromkeys(patterns, encoding)


def _encoding(value: Any, where: str) -> Encoding:
    if not isinstance(value, dict) or "kind" not in value:
        raise PammError(
            f'{where}: got {value!r}, want a table such as {{ kind = "depth", per_metre = 1000 }}; '
            f"kinds: {', '.join(ENCODINGS)}"
        )
    fields = dict(value)
    kind = fields.pop("kind")
    if kind not in ENCODINGS:
        raise PammError(f"{where}: {unknown('kind', str(kind), ENCODINGS)}")
    encoding: Encoding = _made(ENCODINGS[kind], fields, where)
    return encoding


def _made(kind: Any, fields: dict[str, Any], where: str) -> Any:
    try:
        return from_json(kind, fields, where=where)
    except PammError:
        raise
    except (ValueError, TypeError) as error:  # what the class itself does not accept
        raise PammError(f"{where}: {error}") from None


def _patterns(value: Any, where: str) -> tuple[str, ...]:
    patterns = (value,) if isinstance(value, str) else tuple(value or ())
    for pattern in patterns:
        if not isinstance(pattern, str) or pattern.count("{id}") != 1:
            raise PammError(f"{where}: got {pattern!r}, want a path with {{id}} in it, once")
        rest = pattern.replace("{id}", "").replace("{split}", "")
        if "{" in rest or "}" in rest:
            raise PammError(
                f"{where}: {pattern!r} has a placeholder other than {{id}} and {{split}}"
            )
        if PurePosixPath(pattern).is_absolute() or PureWindowsPath(pattern).anchor:
            raise PammError(
                f"{where}: {pattern!r} is absolute, want a path relative to the folder of "
                f"{DESCRIPTION}"
            )
    if not patterns:
        raise PammError(f'{where}: missing; give a path such as "images/{{id}}.jpg"')
    return patterns
