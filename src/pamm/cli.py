"""The command line: `pamm COMMAND ...`; each command is one call into the package.

A user's mistake is one line on standard error and exit code 2. The heavy imports are inside the
commands, so that `pamm --help` answers at once.
"""

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from pamm.errors import PammError, unknown

Checkpoint = Literal["last", "best"]
Run = Annotated[str, tyro.conf.Positional]


def train(arguments: Sequence[str]) -> None:
    """Train a model: pamm train PRESET [--out RUN] [--section.option VALUE ...]."""
    from pamm.config import Experiment, run_experiment
    from pamm.data import DataConfig
    from pamm.model import ModelConfig
    from pamm.optim import OptimConfig
    from pamm.train import TrainConfig

    name, rest = first_argument(
        arguments, "train", "PRESET", "a preset's name (see `pamm presets`)"
    )
    base = experiment_of(name)

    def command(
        out: Path = Path("runs") / Path(name).stem,
        resume: bool = False,
        tasks: list[str] | None = None,
        model: ModelConfig = base.model,
        data: DataConfig = base.data,
        optim: OptimConfig = base.optim,
        train: TrainConfig = base.train,
    ) -> None:
        """Train a model; what is not given comes from the preset.

        Args:
            out: Run directory: checkpoints, config.json, metrics.jsonl, TensorBoard curves.
            resume: Go on from the newest checkpoint in --out; start if there is none.
            tasks: Only these of the preset's tasks.
            model: The network.
            data: The images.
            optim: The optimiser.
            train: The training.
        """
        experiment = Experiment(model=model, data=data, optim=optim, train=train)
        if tasks is not None:
            experiment = experiment.with_tasks(tasks)
        note_missing_library()
        folder = run_experiment(experiment, out, resume=resume)
        print(f"trained model: {folder}\nscores:        pamm evaluate {out}")

    parse(command, rest, f"pamm train {name}")


def evaluate(arguments: Sequence[str]) -> None:
    """Score a trained model on the data set it was trained on: pamm evaluate RUN."""

    def command(
        run: Run,
        split: Literal["val", "train"] = "val",
        checkpoint: Checkpoint = "last",
        root: str | None = None,
        batch_size: int = 8,
        device: str = "auto",
        trivial: bool = False,
    ) -> None:
        """Score a trained model and write metrics.json into its folder.

        Args:
            run: Run directory, model folder or Hugging Face hub id.
            split: Part of the data set.
            checkpoint: Which checkpoint of the run.
            root: Folder of the data set, if not where training found it.
            batch_size: Images at once.
            device: cpu, cuda, ...; auto takes a GPU if there is one.
            trivial: Also score the best constant prediction of each task, for comparison.
        """
        from pamm.evaluate import evaluate_run
        from pamm.report import print_scores

        note_missing_library()
        report = evaluate_run(
            run,
            split=split,
            checkpoint=checkpoint,
            root=root,
            batch_size=batch_size,
            device=torch_device(device),
            trivial=trivial,
        )
        print_scores(report)
        print(f"report: {Path(report['model']) / 'metrics.json'}")

    parse(command, arguments, "pamm evaluate")


def predict(arguments: Sequence[str]) -> None:
    """Predict on images of any size: pamm predict RUN IMAGE... --out DIR."""

    def command(
        run: Run,
        images: Annotated[list[Path], tyro.conf.Positional],
        out: Path = Path("predictions"),
        tasks: list[str] | None = None,
        checkpoint: Checkpoint = "last",
        max_side: int | None = None,
        device: str = "auto",
    ) -> None:
        """Predict all tasks on images; per task a picture and the raw array, and an overview.

        Args:
            run: Run directory, model folder or Hugging Face hub id.
            images: Image files, or folders of them.
            out: Where to write: OUT/<image>/<task>.png, <task>.npy and overview.png.
            tasks: Only these of the model's tasks.
            checkpoint: Which checkpoint of the run.
            max_side: Images with a longer side are shrunk to this for the network, and the results
                have full size; if not given, the longer side of the training images.
            device: cpu, cuda, ...; auto takes a GPU if there is one.
        """
        if not images:
            raise PammError("pamm predict RUN IMAGE...: want at least one image or folder")
        from pamm.checkpoint import load
        from pamm.prediction import predict_files

        note_missing_library()
        model = load(run, tasks=tasks, checkpoint=checkpoint, device=torch_device(device))
        failed = predict_files(model, images, out, max_side=max_side)
        if failed:
            raise PammError(f"{failed} of the images or folders could not be used, see above")

    parse(command, arguments, "pamm predict")


def describe(arguments: Sequence[str]) -> None:
    """Parameters, GFLOPs and shapes of a preset's model: pamm describe PRESET [--size H W]."""

    def command(
        preset: Annotated[str, tyro.conf.Positional], size: tuple[int, int] | None = None
    ) -> None:
        """Print parameters and GFLOPs by part, and the shapes along the data path.

        Args:
            preset: A preset's name (see `pamm presets`) or the config.json of a run.
            size: Height and width of the image, if not the preset's.
        """
        from pamm.describe import print_description

        experiment = experiment_of(preset)
        print_description(experiment.model, size or experiment.data.size)

    parse(command, arguments, "pamm describe")


def presets(arguments: Sequence[str]) -> None:
    """List the presets with their hardware, time and expected scores: pamm presets."""

    def command() -> None:
        """List the presets: what they train, on what hardware, how long, and with what result."""
        from pamm.presets import PRESETS

        for name, preset in PRESETS.items():
            print(f"{name}\n    {preset.summary}\n    command:  pamm train {name}")
            print(f"    hardware: {preset.hardware}\n    time:     {preset.time}")
            print(f"    scores:   {preset.expected}")

    parse(command, arguments, "pamm presets")


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

    def command(
        settings: tyro.conf.OmitArgPrefixes[Settings],
        presets: tuple[str, ...] = ("synthetic-tiny", "nyud-vit-b", "pascal-vit-l"),
        size: tuple[int, int] | None = None,
        train: bool = False,
        backends: tuple[str, ...] = (),
        out: Path = Path("bench-model.json"),
    ) -> None:
        """Time one image, and one training step, of models with random weights.

        Args:
            settings: How to measure.
            presets: Names of presets (see `pamm presets`), or config.json files of runs.
            size: Height and width of the images, if not those of the presets.
            train: Also measure training steps.
            backends: Only these backends of the scan; otherwise all that can run here.
            out: The numbers; the tables go beside it as .md.
        """
        experiments = {name: experiment_of(name) for name in presets}
        models = {name: (e.model, size or e.data.size) for name, e in experiments.items()}
        bench_model(
            settings,
            models=models,
            train=train,
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


Command = Callable[[Sequence[str]], None]
BENCH_COMMANDS: dict[str, Command] = {"scan": bench_scan, "model": bench_model}
DATA_COMMANDS: dict[str, Command] = {"preview": preview_data, "synthesize": synthesize_data}
COMMANDS: dict[str, Command] = {
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "describe": describe,
    "presets": presets,
    "doctor": doctor,
    "data": data,
    "bench": bench,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; the entry point of `pamm`."""
    try:
        dispatch(COMMANDS, sys.argv[1:] if arguments is None else arguments, "pamm")
    except (PammError, OSError) as error:  # OSError: a folder that may not be written, a full disk
        print(f"pamm: {error}", file=sys.stderr)
        sys.exit(2)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which is not imported here
            raise
        print(
            "pamm: not enough GPU memory: lower --train.batch-size, raise --train.accumulate, or "
            "give smaller images",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        print("pamm: interrupted", file=sys.stderr)
        sys.exit(130)


def dispatch(commands: dict[str, Command], arguments: Sequence[str], program: str) -> None:
    """Call the command that the first argument names, or print what there is."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: {program} COMMAND [ARGUMENTS]\n")
        for name, command in commands.items():
            print(f"  {name:12}{(command.__doc__ or '').strip()}")
        print(f"\n`{program} COMMAND --help` lists the options of a command.")
        return
    if arguments[0] == "--version":
        import pamm

        print(pamm.__version__)
        return
    if arguments[0] not in commands:
        raise PammError(unknown("command", arguments[0], commands))
    commands[arguments[0]](arguments[1:])


def parse(command: Callable[..., None], arguments: Sequence[str], program: str) -> None:
    """Read the arguments of a function from the command line, and call it."""
    tyro.cli(command, args=list(arguments), prog=program)


def given(program: str, arguments: Sequence[str]) -> str:
    """The command line as it was typed."""
    return f"{program} {shlex.join(arguments)}".strip()


def first_argument(
    arguments: Sequence[str], command: str, name: str, meaning: str
) -> tuple[str, Sequence[str]]:
    """The leading positional argument, which decides the defaults of the others, and the rest."""
    if arguments and not arguments[0].startswith("-"):
        return arguments[0], arguments[1:]
    raise PammError(f"pamm {command} {name}: want {meaning} first, then options; got nothing")


def experiment_of(name: str) -> Any:
    """The experiment of a preset's name, or of the config.json of a run."""
    from pamm import presets
    from pamm.config import read_experiment

    path = Path(name)
    return read_experiment(path) if path.suffix == ".json" else presets.preset(name).experiment


def note_missing_library() -> None:
    """Say in one line that the scan is slower than it could be, if it is."""
    from pamm import native

    if problem := native.problem():
        print(f"pamm: {problem}", file=sys.stderr)


def torch_device(name: str) -> Any:
    """The torch device of a name; "auto" is a GPU where there is one."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise PammError(f"device {name!r} cannot be used here: {reason}") from None
    return device
