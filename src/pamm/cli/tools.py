"""`pamm doctor`, `pamm data ...` and `pamm bench ...`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from pamm.cli.arguments import Command, dispatch, experiment_of, given, parse


def doctor(arguments: Sequence[str]) -> None:
    """Versions, the processor, the scan's backends, and what is missing: pamm doctor."""

    def command() -> None:
        """Print versions, the processor, and which backends of the scan run here or why not."""
        from pamm.doctor import print_report

        print_report()

    parse(command, arguments, "pamm doctor")


def preview_data(arguments: Sequence[str]) -> None:
    """A labelled contact sheet of a data set: pamm data preview NAME."""

    def command(
        name: Annotated[str, tyro.conf.Positional] = "synthetic",
        split: Literal["train", "val"] = "train",
        count: int = 8,
        size: tuple[int, int] = (128, 160),
        root: str | None = None,
        out: Path = Path("preview.png"),
    ) -> None:
        """Draw the first images of a data set with all their labels.

        Args:
            name: Of the data set.
            split: Part of the data set.
            count: Images to draw.
            size: Height and width; synthetic rooms are rendered at it.
            root: Folder of the data set (synthetic: of the cache).
            out: The picture to write.
        """
        from pamm.data import DataConfig, build_dataset, preview

        limit: dict[str, Any] = {f"{split}_count": count} if name == "synthetic" else {}
        config = DataConfig(name=name, root=root, size=size, **limit)
        preview(build_dataset(config, split), count, out)
        print(out)

    parse(command, arguments, "pamm data preview")


def synthesize_data(arguments: Sequence[str]) -> None:
    """Write the built-in rooms as files: pamm data synthesize --out DIR."""

    def command(
        out: Path,
        layout: Literal["nyud"] = "nyud",
        size: tuple[int, int] = (128, 160),
        train: int = 600,
        val: int = 150,
    ) -> None:
        """Render rooms and write them in the folder layout of a public data set.

        Args:
            out: Folder to write to; what is already there is kept.
            layout: nyud: images, segmentation, depth, normals, edge and gt_sets of NYUD-v2.
            size: Height and width of the images.
            train: Number of training images.
            val: Number of validation images.
        """
        from pamm.data import Synthetic, write_nyud_layout

        counts = {"train": train, "val": val}
        writers = {"nyud": write_nyud_layout}
        rooms = {split: Synthetic(split, size=size, count=n) for split, n in counts.items()}
        print(writers[layout](rooms, out))

    parse(command, arguments, "pamm data synthesize")


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
    from pamm.precision import Precision

    def command(
        settings: tyro.conf.OmitArgPrefixes[Settings],
        presets: tuple[str, ...] = ("synthetic-tiny", "nyud-vit-b", "pascal-vit-l"),
        size: tuple[int, int] | None = None,
        train: bool = False,
        precision: Precision = "32-true",
        backends: tuple[str, ...] = (),
        out: Path = Path("bench-model.json"),
    ) -> None:
        """Time one image, and one training step, of models with random weights.

        Args:
            settings: How to measure.
            presets: Names of presets (see `pamm presets`), or config.json files of runs.
            size: Height and width of the images, if not those of the presets.
            train: Also measure training steps.
            precision: Of the networks' arithmetic.
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
    """Look at and make data sets: pamm data preview|synthesize."""
    dispatch(DATA_COMMANDS, arguments, "pamm data")


BENCH_COMMANDS: dict[str, Command] = {"scan": bench_scan, "model": bench_model}
DATA_COMMANDS: dict[str, Command] = {"preview": preview_data, "synthesize": synthesize_data}
