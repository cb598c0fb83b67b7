"""What an encoding is: one way to store the labels of a task in files."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from pamm.data.label_files import Array
from pamm.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Encoding(ABC):
    """One way to store the labels of one image in one file.

    An encoding reads a file into the numbers of its task (`read`), says what looks wrong with them
    (`complaints`), and puts them into the shape and type of a target (`target`); `store` goes the
    other way.
    """

    type_name: ClassVar[str]
    """Its name in a `pamm.toml`."""
    serves: ClassVar[tuple[type[Task], ...]]
    """The kinds of tasks whose labels it can hold."""
    about_remarks: ClassVar[str] = "nothing, if that is meant"
    """What to do about what `remarks` says."""
    in_pictures: ClassVar[Mapping[str, Any]] = {}
    """Fields with which it stores what the tasks hold in a picture."""

    resize: bool = False
    """Whether a map of another size shows the same view, and is resized to its image by the nearest
    pixel. Otherwise another size is an error: the map may show a part of the image only."""

    def about_task(self) -> dict[str, Any]:
        """Fields of the task that the encoding decides, unless they are given."""
        return {}

    def fits(self, task: Task) -> bool:
        """Whether the files can hold labels of this task."""
        return isinstance(task, self.serves)

    def quarrel(self, task: Task) -> str | None:
        """What the encoding says that a task which `fits` does not have, if anything."""
        return None

    @abstractmethod
    def read(self, path: Path) -> Array:
        """The numbers in a file, in the units of the task: (H, W), or (H, W, 3) for vectors.

        Raises:
            PammError: the file is damaged, or holds something else.
        """

    def complaints(self, values: Array) -> list[str]:
        """What looks wrong with what `read` gave, a phrase each; empty if all is well."""
        return []

    def remarks(self, values: Array, task: Task) -> list[str]:
        """What is odd in what `read` gave, but may be meant; a phrase each."""
        return []

    @abstractmethod
    def target(self, values: Array, task: Task) -> Tensor:
        """What `read` gave as a target (*lead, H, W) of the task.

        Raises:
            PammError: values that the task cannot have.
        """

    @abstractmethod
    def store(self, target: Array, task: Task, *, picture: bool) -> Array:
        """What to write for a target (*lead, H, W), so that it can be read back.

        Args:
            target: of the task, without the batch axis.
            task: whose target it is.
            picture: as a picture's integers, else as .npy.
        """
