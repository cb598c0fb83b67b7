"""Looks at every file of a data set and says what is wrong with it, and what to do.

An error is what training would stumble over or learn from wrongly; a warning is what makes scores
differ from published ones, or is merely worth knowing.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pamm.data.checks import Check, Seen, look_at
from pamm.data.file_dataset import FileDataset, Layout
from pamm.data.label_checks import Cases, check_labels
from pamm.data.left_over import left_over
from pamm.errors import PammError
from pamm.runtime.progress import progress
from pamm.runtime.select import select_tasks
from pamm.runtime.text import counted

EXAMPLES = 3  # files named per finding
SIZES = 5  # sizes named in the text


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One kind of trouble, with all its cases."""

    severity: str
    """error or warning."""
    check: str
    """Of a few words, the same in every data set."""
    what: str
    """A phrase that follows the count, if there are examples; else a sentence."""
    count: int
    """Files or ids."""
    examples: tuple[str, ...]
    """The first few of them."""
    advice: str
    """What to do."""

    def text(self) -> str:
        """The finding in two lines."""
        more = ", ..." if self.count > len(self.examples) > 0 else ""
        cases = f"{self.what} ({self.count}): {', '.join(self.examples)}{more}"
        return f"{self.severity}: {cases if self.examples else self.what}\n    {self.advice}"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `verify` found."""

    name: str
    folder: str
    images: dict[str, int]
    """Split -> ids in its list."""
    published: dict[str, int]
    """Split -> images that published scores are on."""
    labels: dict[str, int]
    """Task -> label files that are there."""
    sizes: dict[str, int]
    """"<height>x<width>" -> images, the most frequent first."""
    findings: tuple[Finding, ...]
    """Errors first."""

    @property
    def errors(self) -> int:
        """How many of the findings are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    def text(self) -> str:
        """The report in words."""
        lines = [f"{self.name} in {self.folder}"]
        for split, count in self.images.items():
            wanted = self.published.get(split)
            published = f", published {wanted}" if wanted else ""
            lines += [f"{split}: {counted(count, 'image')}{published}"]
        sizes = [f"{size} ({count})" for size, count in self.sizes.items()]
        more = [f"{len(sizes) - SIZES} more"] if len(sizes) > SIZES else []
        lines += [f"sizes: {', '.join(sizes[:SIZES] + more) or 'none'}"]
        lines += [f"labels: {', '.join(f'{task} {n}' for task, n in self.labels.items())}"]
        lines += [finding.text() for finding in self.findings]
        warnings = len(self.findings) - self.errors
        kinds = counted(self.errors, "kind of error", "kinds of errors")
        return "\n".join([*lines, f"{kinds}, {warnings} of warnings"])


def verify(
    dataset: type[FileDataset],
    root: str | os.PathLike[str] | None,
    *,
    tasks: Iterable[str] | None = None,
    threads: int | None = None,
) -> Report:
    """Open every file of a data set that its lists name, with progress.

    Args:
        dataset: its class.
        root: its folder, or the one that holds it; None = the variable PAMM_DATA.
        tasks: look at the labels of these only; None = all.
        threads: files read at once; None = as many as Python finds fit.

    Raises:
        PammError: there is no such folder or task, or the folder's description is wrong.
    """
    folder = dataset.find(root)
    layout = dataset.layout(folder)
    chosen = select_tasks(layout.tasks, tasks)
    cases: Cases = defaultdict(list)
    layouts = {split: layout.of_split(split) for split in dataset.SPLITS}
    names = {split: _ids(layouts[split], folder, split, cases) for split in dataset.SPLITS}
    _check_ids(layouts, names, cases)
    _check_extra(layouts, folder, names, cases)
    jobs = [(split, name) for split, ids in names.items() for name in dict.fromkeys(ids)]

    def look(job: tuple[str, str]) -> Seen:
        return look_at(dataset, folder, *job, layout=layouts[job[0]], tasks=chosen)

    with ThreadPoolExecutor(threads) as pool:
        results = pool.map(look, jobs)
        seen = list(progress(results, total=len(jobs), label="reading files"))
    check_labels(chosen, seen, cases)
    _check_left_over(layouts, folder, names, chosen, seen, cases)
    for check, case in (trouble for one in seen for trouble in one.troubles):
        cases[check].append(case)
    sizes = Counter(f"{one.size[0]}x{one.size[1]}" for one in seen if one.size)
    return Report(
        name=dataset.NAME,
        folder=str(folder),
        images={split: len(ids) for split, ids in names.items()},
        published=dict(layout.counts),
        labels={task: sum(task in one.labelled for one in seen) for task in chosen},
        sizes=dict(sizes.most_common()),
        findings=_findings(cases),
    )


def _ids(layout: Layout, folder: Path, split: str, cases: Cases) -> list[str]:
    try:
        ids = layout.names(folder, split)
    except PammError as error:
        advice = "see to it that each id is one image; a list has an id a line"
        cases[Check("error", "list of ids", str(error), advice)] = []
        return []
    published = layout.counts.get(split, len(ids))
    if len(ids) != published:
        what = f"{split} has {counted(len(ids), 'image')}, published scores are on {published}"
        advice = "get the complete list to compare with published scores; training works without"
        cases[Check("warning", "number of images", what, advice)] = []
    return ids


def _check_ids(layouts: dict[str, Layout], names: dict[str, list[str]], cases: Cases) -> None:
    double = Check("error", "double ids", "ids come twice in a list", "delete the second ones")
    twice = [
        f"{name} in {split}"
        for split, ids in names.items()
        for name, count in Counter(ids).items()
        if count > 1
    ]
    if twice:
        cases[double] = twice
    if len({layout.images for layout in layouts.values()}) > 1:
        return  # with folders for the splits, the same name is another image
    advice = "delete them from one of the lists: validation must not score what was trained on"
    both = Check("error", "ids in both splits", "ids are in the lists of both splits", advice)
    if shared := set.intersection(*map(set, names.values())):
        cases[both] = sorted(shared)


def _check_extra(
    layouts: dict[str, Layout], folder: Path, names: dict[str, list[str]], cases: Cases
) -> None:
    """Images that are in no list."""
    listed = {name for ids in names.values() for name in ids}
    extra = [
        name
        for split, layout in layouts.items()
        if names[split] and split in layout.lists
        for name in layout.matching(folder)
        if name not in listed
    ]
    check = Check("warning", "extra images", "images are in no list", "nothing, if that is meant")
    if extra:
        cases[check] = list(dict.fromkeys(extra))


def _check_left_over(
    layouts: dict[str, Layout],
    folder: Path,
    names: dict[str, list[str]],
    tasks: Iterable[str],
    seen: list[Seen],
    cases: Cases,
) -> None:
    """Files beside those that are used: with another ending, for example."""
    used = {path for one in seen for path in one.used}
    strange, lonely = left_over(layouts, folder, tasks=list(tasks), listed=names, used=used)
    if strange:
        endings = ", ".join(sorted({Path(case).suffix for case in strange}))
        advice = (
            f"name them like the others, or add patterns that fit them (their endings: {endings})"
        )
        what = "files beside the images or labels are not used"
        cases[Check("warning", "files left over", what, f"{advice}; nothing, if that is meant")] = (
            strange
        )
    if lonely:
        what = "label files belong to no image"
        advice = "nothing, if that is meant; else look at how the images are named"
        cases[Check("warning", "labels without image", what, advice)] = lonely


def _findings(cases: Cases) -> tuple[Finding, ...]:
    found = [
        Finding(
            severity=check.severity,
            check=check.name,
            what=check.what,
            count=max(len(examples), 1),
            examples=tuple(examples[:EXAMPLES]),
            advice=check.advice,
        )
        for check, examples in cases.items()
    ]
    return tuple(sorted(found, key=lambda finding: finding.severity != "error"))
