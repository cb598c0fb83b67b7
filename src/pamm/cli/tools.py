"""`pamm doctor`, `pamm data ...` and `pamm bench ...`."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from pamm.cli.arguments import Command, dispatch, experiment_of, given, parse
from pamm.errors import PammError
from pamm.runtime.ranges import Count, Range, Side


def doctor(arguments: Sequence[str]) -> None:
    """Versions, the processor, the scan's backends, and what is missing: pamm doctor."""

    def command() -> None:
        """Print versions, the processor, and which backends of the scan run here or why not."""
        from pamm.doctor import print_report

        print_report()

    parse(command, arguments, "pamm doctor")


def preview_data(arguments: Sequence[str]) -> None:
    """A labelled contact sheet of a data set: pamm data preview NAME [--root DIR]."""

    def command(
        name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = "synthetic",
        split: str = "train",
        count: Annotated[int, Range(1, 1000)] = 8,
        tasks: list[str] | None = None,
        size: tuple[Side, Side] | None = None,
        root: str | None = None,
        out: Path = Path("preview.png"),
    ) -> None:
        """Draw the first images of a data set with all their labels.

        Args:
            name: Name of the data set.
            split: Part of the data set: train, val, or another that it has.
            count: Images to draw.
            tasks: Only these of the data set's tasks.
            size: Height and width of rendered rooms, if not 128 160; files have their own sizes.
            root: Folder of the data set, if not in PAMM_DATA; for synthetic that of the cache.
            out: The picture to write.
        """
        from pamm.data import DataConfig, build_dataset, dataset_type, preview

        if size is not None and not dataset_type(name).same_size:
            raise PammError(f"--size: the images of {name!r} have sizes of their own; leave it out")
        limit: dict[str, Any] = {"train_count" if split == "train" else "val_count": count}
        config = DataConfig(name=name, root=root, size=size or (128, 160), **limit)
        preview(build_dataset(config, split, tasks=tasks), count, out)
        print(out)

    parse(command, arguments, "pamm data preview")


def verify_data(arguments: Sequence[str]) -> None:
    """Look for defects in a data set's files: pamm data verify NAME ROOT [--json]."""

    def command(
        name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")],
        root: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="ROOT")] = None,
        tasks: list[str] | None = None,
        json: bool = False,
    ) -> None:
        """Open every file of a data set, and say what is wrong and what to do.

        The exit code is 1 if there are errors, which training would stumble over or learn from
        wrongly, and 0 otherwise.

        Args:
            name: Name of the data set.
            root: Its folder, or the one that holds it, if not in PAMM_DATA.
            tasks: Look at the labels of these tasks only.
            json: Print the report as JSON.
        """
        from pamm.data import file_dataset_type

        _verify(file_dataset_type(name), root, tasks=tasks, as_json=json)

    parse(command, arguments, "pamm data verify")


def prepare_data(arguments: Sequence[str]) -> None:
    """Unpack a data set's archive and verify it: pamm data prepare NAME ARCHIVE [--out DIR]."""

    def command(
        name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")],
        source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="ARCHIVE")],
        out: Path | None = None,
        tasks: list[str] | None = None,
        json: bool = False,
    ) -> None:
        """Unpack an archive safely, make what is kept in the cache, and verify the data set.

        The same command goes on where it was interrupted. The exit code is that of `pamm data
        verify`.

        Args:
            name: Name of the data set.
            source: The archive, .zip or .tar (also .gz, .bz2, .xz), or a folder that holds the
                data set somewhere.
            out: Where to unpack to, if not to a folder beside the archive with its name.
            tasks: Look at the labels of these tasks only.
            json: Print the report as JSON.
        """
        from pamm.data import file_dataset_type, prepare

        dataset = file_dataset_type(name)
        folder = prepare(dataset, source, out)
        _verify(dataset, folder, tasks=tasks, as_json=json)
        if not json:
            print(f"ready: --data.root {folder}, or set PAMM_DATA to it")

    parse(command, arguments, "pamm data prepare")


def _verify(dataset: Any, root: Any, *, tasks: list[str] | None, as_json: bool) -> None:
    """Verify a data set and print the report; ends the program with code 1 if there are errors."""
    from pamm.data import verify
    from pamm.runtime.strict_json import to_json

    report = verify(dataset, root, tasks=tasks)
    print(json.dumps(to_json(report), indent=1) if as_json else report.text())
    if report.errors:
        sys.exit(1)


def synthesize_data(arguments: Sequence[str]) -> None:
    """Write the built-in rooms as files: pamm data synthesize --out DIR."""

    def command(
        out: Path,
        layout: Literal["nyud", "folder"] = "nyud",
        size: tuple[Side, Side] = (128, 160),
        train: Count = 600,
        val: Count = 150,
    ) -> None:
        """Render rooms and write them in the folder layout of a data set.

        Args:
            out: Folder to write to; what is already there is kept.
            layout: nyud: images, segmentation, depth, normals, edge and gt_sets of NYUD-v2; folder:
                all six tasks, described by a pamm.toml.
            size: Height and width of the images.
            train: Number of training images.
            val: Number of validation images.
        """
        from pamm.data import WRITERS, Synthetic

        counts = {"train": train, "val": val}
        rooms = {split: Synthetic(split, size=size, count=n) for split, n in counts.items()}
        print(WRITERS[layout](rooms, out))

    parse(command, arguments, "pamm data synthesize")


def convert_coco(arguments: Sequence[str]) -> None:
    """Draw annotations in COCO's JSON as label maps: pamm data coco ROOT --train JSON IMAGES."""

    def command(
        root: Annotated[Path, tyro.conf.Positional],
        train: tuple[str, str],
        val: tuple[str, str] | None = None,
    ) -> None:
        """Make a `folder` data set of images with annotations in COCO's JSON, in its place.

        Args:
            root: The data set's folder, which gets semseg/ and a pamm.toml.
            train: The annotation file and the folder of the training images, both in ROOT.
            val: The same for validation; if not given, a tenth of the images is for validation.
        """
        from pamm.data.coco import convert_coco

        print(convert_coco(root, {"train": train, **({"val": val} if val else {})}))

    parse(command, arguments, "pamm data coco")


def bench_scan(arguments: Sequence[str]) -> None:
    """The scan beside what it replaces: pamm bench scan [--growth]."""
    from pamm.bench.scan import Settings, bench_scan

    def command(
        settings: tyro.conf.OmitArgPrefixes[Settings],
        shapes: tuple[str, ...] = ("S1", "S2", "S3"),
        growth: bool = False,
        backends: tuple[str, ...] = (),
        out: Path = Path("bench-scan.json"),
    ) -> None:
        """Time all implementations of the scan, find their peak memory, compare their results.

        Args:
            settings: How to measure.
            shapes: Problems to measure: S1, S2, S3, or tiny to try the command.
            growth: Also measure the cost of a token from 16x16 to 256x256 of them, and draw it.
            backends: Only these implementations; otherwise all that can run here.
            out: The numbers; the tables go beside it as .md, the plot of the growth as .png.
        """
        bench_scan(
            settings,
            shapes=shapes,
            growth=growth,
            backends=backends,
            out=out,
            command=given("pamm bench scan", arguments),
        )

    parse(command, arguments, "pamm bench scan")


def bench_model(arguments: Sequence[str]) -> None:
    """Whole models with each backend of the scan: pamm bench model [--train]."""
    from pamm.bench.model import Settings, bench_model
    from pamm.runtime.precision import Precision

    def command(
        settings: tyro.conf.OmitArgPrefixes[Settings],
        presets: tuple[str, ...] = ("synthetic-tiny", "nyud-vit-b", "pascal-vit-l"),
        size: tuple[Side, Side] | None = None,
        train: bool = False,
        precision: Precision = "32-true",
        backends: tuple[str, ...] = (),
        out: Path = Path("bench-model.json"),
    ) -> None:
        """Time one image, and one training step, of models with random weights.

        Args:
            settings: How to measure.
            presets: Names of presets (see `pamm presets`), or experiment.json files of runs.
            size: Height and width of the images, if not those of the presets.
            train: Also measure training steps.
            precision: Precision of the networks' arithmetic.
            backends: Only these backends of the scan; otherwise all that can run here.
            out: The numbers; the tables go beside it as .md.
        """
        experiments = {name: experiment_of(name) for name in presets}
        models = {name: (e.model, size or e.data.size) for name, e in experiments.items()}
        bench_model(
            settings,
            models=models,
            train=train,
            precision=precision,
            backends=backends,
            out=out,
            command=given("pamm bench model", arguments),
        )

    parse(command, arguments, "pamm bench model")


def bench(arguments: Sequence[str]) -> None:
    """Measure speed and memory on this machine: pamm bench scan|model."""
    dispatch(BENCH_COMMANDS, arguments, "pamm bench")


def data(arguments: Sequence[str]) -> None:
    """Look at, check and make data sets: pamm data preview|verify|prepare|synthesize|coco."""
    dispatch(DATA_COMMANDS, arguments, "pamm data")


BENCH_COMMANDS: dict[str, Command] = {"scan": bench_scan, "model": bench_model}
DATA_COMMANDS: dict[str, Command] = {
    "preview": preview_data,
    "verify": verify_data,
    "prepare": prepare_data,
    "synthesize": synthesize_data,
    "coco": convert_coco,
}
