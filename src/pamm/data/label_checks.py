"""What can be wrong with the labels of a data set as a whole."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pamm.data.checks import Check, Seen
from pamm.data.evidence import (
    Evidence,
    class_list,
    classes_of,
    doubtful_axes,
    one_sided,
    unlabelled,
)
from pamm.runtime.text import counted
from pamm.tasks import Task

Cases = dict[Check, list[str]]
"""What was found: the files or ids of each kind of trouble; none where it is about all of them."""

FINE = "nothing, if that is meant"
OTHER_ENCODING = "look at how they are stored, and at the encoding in pamm.toml, if there is one"


def check_labels(tasks: Mapping[str, Task], seen: Sequence[Seen], cases: Cases) -> None:
    """Look at the labels of all images together, and add what is found."""
    for name, task in tasks.items():
        _check_missing(name, seen, cases)
        shown = [one.evidence[name] for one in seen if name in one.evidence]
        for split in dict.fromkeys(one.split for one in shown):
            _check_pixels(name, split, [one for one in shown if one.split == split], task, cases)
        if shown and not task.target_dtype.is_floating_point and not task.target_lead:
            _check_classes(name, shown, task, cases)
        if remark := doubtful_axes(shown):
            advice = (
                "if scenes are not like that, give the order and the signs of the stored axes in "
                "the encoding; +x is left, +y up, +z towards the camera here"
            )
            cases[Check("warning", f"axes of {name}", f"{name}: {remark}", advice)] = []


def _check_missing(task: str, seen: Sequence[Seen], cases: Cases) -> None:
    """Images without a label for a task; it is an error if a split has none at all."""
    lacking = [one for one in seen if one.size and task not in one.labelled]
    for split in dict.fromkeys(one.split for one in lacking):
        if not any(task in one.labelled for one in seen if one.split == split):
            what = f"not one image of {split} has a label for {task}"
            advice = "put the files in place, or leave the task out: --tasks with the others"
            cases[Check("error", "missing labels", what, advice)] = []
            lacking = [one for one in lacking if one.split != split]
    if lacking:
        advice = f"{FINE}: they do not count for the task"
        check = Check("warning", "missing labels", f"images have no label for {task}", advice)
        cases[check] = [f"{one.name} ({one.split})" for one in lacking]


def _check_pixels(
    task: str, split: str, shown: Sequence[Evidence], kind: Task, cases: Cases
) -> None:
    """Labels without a labelled pixel, and masks without a yes or without a no."""
    empty = unlabelled(shown)
    if len(empty) == len(shown):
        what = f"not one pixel of {split} is labelled for {task}, in {counted(len(shown), 'file')}"
        severity: Literal["error", "warning"] = "error" if split == "train" else "warning"
        cases[Check(severity, f"empty labels of {task}", what, OTHER_ENCODING)] = []
        return
    if empty:
        check = Check("warning", f"empty labels of {task}", f"files of {task} label no pixel", FINE)
        cases.setdefault(check, []).extend(empty)
    if not kind.target_lead or kind.target_dtype.is_floating_point:
        return
    masks = len(shown) - len(empty)
    for word, found in one_sided(shown).items():
        check_name = f"masks without {word}"
        if len(found) == masks:
            what = f"no pixel of {split} is {word} in {counted(masks, 'mask')} of {task}"
            cases[Check("error", check_name, what, OTHER_ENCODING)] = []
        elif found:
            what = f"masks of {task} in which no pixel is {word}"
            cases.setdefault(Check("warning", check_name, what, FINE), []).extend(found)


def _check_classes(task: str, shown: Sequence[Evidence], kind: Task, cases: Cases) -> None:
    """Classes that never occur; or all but one, which is how masks look that are no classes."""
    all_counts = classes_of(shown, kind)
    never = [c for c in range(kind.channels) if not all_counts[c]]
    there = kind.channels - len(never)
    if there == 1 and kind.channels > 1:
        (only,) = set(range(kind.channels)) - set(never)
        what = f"{task}: of {kind.channels} classes only {class_list([only], kind)} occurs"
        numbers = frozenset().union(*(one.numbers for one in shown))
        advice, are_masks = OTHER_ENCODING, numbers <= {0, 255} and 255 in numbers
        if are_masks:
            advice = (
                "they hold 0 and 255, which is how masks are stored, and 255 is not labelled here: "
                'describe them by the encoding { type = "mask" }, of a task such as saliency'
            )
        severity: Literal["error", "warning"] = "error" if are_masks else "warning"
        cases[Check(severity, f"classes of {task}", what, advice)] = []
        return
    if never:
        verb = "occurs" if len(never) == 1 else "occur"
        what = (
            f"{task}: {counted(len(never), 'class', 'classes')} of {kind.channels} never {verb}: "
            f"{class_list(never, kind)}"
        )
        cases[Check("warning", f"classes of {task}", what, f"{FINE}; else {OTHER_ENCODING}")] = []
    train = classes_of((one for one in shown if one.split == "train"), kind)
    new = [c for c in range(kind.channels) if all_counts[c] and not train[c]]
    if new and train.any():
        verb = "is" if len(new) == 1 else "are"
        what = (
            f"{task}: {counted(len(new), 'class', 'classes')} of val {verb} never seen in train: "
            f"{class_list(new, kind)}"
        )
        advice = "move some of their images to the training list: they cannot be learnt"
        cases[Check("warning", f"unseen classes of {task}", what, advice)] = []
