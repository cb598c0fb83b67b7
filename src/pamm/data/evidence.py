"""What the labels of many images show together: classes that never occur, masks that are all "no",
axes of normals that cannot be meant.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pamm.data.encodings import Array
from pamm.tasks import Task

AWAY = 0.1  # a component below -0.1 is negative, whatever 8 bits made of it
SELDOM, OFTEN = 0.08, 0.16  # shares of such pixels; towards a corner, some that is seen turns away
TILT = 0.15  # difference of mean components between the halves of an image
NAMED = 8  # classes named in a finding
AXES = "xyz"

Said = tuple[str, str]
"""What is wrong, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Of one label file."""

    case: str
    """The file."""
    split: str
    labelled: int
    """Pixels with a label."""
    classes: NDArray[np.int64] | None = None
    """Pixels of each class; of a mask: of no and of yes."""
    numbers: frozenset[int] = frozenset()
    """Those in the file, if they give one class only."""
    normals: NDArray[np.float64] | None = None
    """(4, 3), for x, y, z: the sums over the upper third of the image and over the lower one, and
    the shares of pixels that are clearly negative and clearly positive."""


def evidence(case: str, split: str, values: Array, target: Tensor, task: Task) -> Evidence:
    """What one label file shows: its numbers, and the target that they gave."""
    known = (target != task.missing(*target.shape[-2:])).reshape(-1, *target.shape[-2:]).any(0)
    labelled = int(known.sum())
    if not task.target_dtype.is_floating_point:
        kinds = 2 if task.target_lead else task.channels
        classes = torch.bincount(target.reshape(-1, *known.shape)[0][known].long(), minlength=kinds)
        alone = int((classes > 0).sum()) < 2 and values.dtype.kind in "biu"
        numbers = frozenset(map(int, np.unique(values))) if alone else frozenset[int]()
        return Evidence(
            case=case, split=split, labelled=labelled, classes=classes.numpy(), numbers=numbers
        )
    if task.target_lead == (3,) and labelled:
        return Evidence(case=case, split=split, labelled=labelled, normals=_directions(target))
    return Evidence(case=case, split=split, labelled=labelled)


def _directions(target: Tensor) -> NDArray[np.float64]:
    vectors = target.double().numpy()
    third = max(1, vectors.shape[1] // 3)
    means = []
    for part in (vectors[:, :third], vectors[:, -third:]):
        known = (part != 0).any(0).sum()
        means.append(part.sum((1, 2)) / max(known, 1))
    known = max((vectors != 0).any(0).sum(), 1)
    shares = [(sign * vectors > AWAY).sum((1, 2)) / known for sign in (-1, 1)]
    return np.stack([*means, *shares])


def unlabelled(seen: Sequence[Evidence]) -> list[str]:
    """The files without a labelled pixel."""
    return [one.case for one in seen if not one.labelled]


def one_sided(seen: Sequence[Evidence]) -> dict[str, list[str]]:
    """{"yes" or "no": the masks in which no pixel is that}; those with labelled pixels only."""
    counts = [(one.case, one.classes) for one in seen if one.classes is not None and one.labelled]
    return {
        word: [case for case, classes in counts if not classes[answer]]
        for answer, word in enumerate(("no", "yes"))
    }


def classes_of(seen: Iterable[Evidence], task: Task) -> NDArray[np.int64]:
    """Pixels of each class in all of these files."""
    counts = np.zeros(task.channels, np.int64)
    for one in seen:
        if one.classes is not None:
            counts += one.classes
    return counts


def class_list(classes: Iterable[int], task: Task) -> str:
    """The first few of some classes, by name where they have names."""
    names = getattr(task, "class_names", ())
    listed = [names[c] if names else str(c) for c in classes]
    more = ["..."] if len(listed) > NAMED else []
    return ", ".join(listed[:NAMED] + more)


def doubtful_axes(seen: Sequence[Evidence]) -> str | None:
    """What is odd in normals that are taken as +x left, +y up, +z towards the camera.

    What is seen looks to the camera, so z is hardly ever negative; and floors, which are low in an
    image, look up. With another order or other signs of the axes one of these fails, mostly; but
    left and right look the same in a room and on a thing that is turned round.
    """
    found = [one.normals for one in seen if one.normals is not None]
    if not found:
        return None
    upper, lower, negative, positive = np.mean(found, axis=0)
    z = 2
    if negative[z] > OFTEN:
        if positive[z] < SELDOM:
            return "z is negative nearly everywhere, as if it pointed away from the camera"
        for axis in (0, 1):
            for sign, share in (("", negative), ("-", positive)):
                if share[axis] < SELDOM:
                    return f"z is often negative, and {sign}{AXES[axis]} never is, as z should be"
    rise = lower - upper
    if abs(rise[0]) > max(2 * TILT, abs(rise[1])):
        return "what is low in an image, as floors are, looks sideways"
    if rise[1] < -TILT:
        if rise[z] > TILT:
            return "what is low in an image looks to the camera, what is high looks up"
        if lower[1] < -TILT:
            return "what is low in an image, as floors are, looks down"
    return None
