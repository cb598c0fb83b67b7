"""`pamm train`, `evaluate`, `describe`, `backbones` and `presets`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from pamm.cli.arguments import (
    Checkpoint,
    Run,
    experiment_of,
    first_argument,
    note_defaults,
    note_missing_library,
    other_model,
    parse,
)
from pamm.runtime.ranges import BatchSize, Factor, Processes, Side


def train(arguments: Sequence[str]) -> None:
    """Train a model: pamm train PRESET [--out RUN] [--section.option VALUE ...]."""
    model_name, others = other_model(arguments)
    name, rest = first_argument(others, "train", "PRESET", "a preset's name (see `pamm presets`)")
    base = experiment_of(name, model_name)
    from pamm.config import Experiment, run_experiment
    from pamm.data import DataConfig
    from pamm.runtime.distributed import is_first
    from pamm.training.optim import OptimConfig
    from pamm.training.train_config import TrainConfig

    def command(
        out: Path = Path("runs") / Path(name).stem,
        resume: bool = False,
        tasks: list[str] | None = None,
        model: type(base.model) = base.model,  # type: ignore[valid-type]
        data: DataConfig = base.data,
        optim: OptimConfig = base.optim,
        train: TrainConfig = base.train,
    ) -> None:
        """Train a model; what is not given comes from the preset.

        `--model NAME` takes another model than the preset's; a wrong name lists them all.

        Args:
            out: Run directory: checkpoints, experiment.json, metrics.jsonl, TensorBoard curves.
            resume: Go on from the newest checkpoint in --out; start if there is none.
            tasks: Only these of the preset's tasks, or of those of --data.name.
            model: The network.
            data: The images.
            optim: The optimiser.
            train: The training.
        """
        note_defaults(name, model)
        experiment = Experiment(model=model, data=data, optim=optim, train=train)
        experiment = experiment.changed_from(base, tasks)
        note_missing_library()
        folder = run_experiment(experiment, out, resume=resume)
        if is_first():
            print(f"trained model: {folder}\nscores:        pamm evaluate {out}")

    other = f" --model {model_name}" if model_name else ""
    parse(command, rest, f"pamm train {name}{other}")


@dataclass(frozen=True)
class OtherData:
    """What a model is scored on."""

    name: str | None = None
    """Name of the data set, if not the one that the model was trained on."""
    root: str | None = None
    """Folder of the data set, if not where training found it."""


def evaluate(arguments: Sequence[str]) -> None:
    """Score a trained model on its data set or another one: pamm evaluate RUN."""
    from pamm.runtime.precision import Precision
    from pamm.tasks import Protocol

    def command(
        run: Run,
        split: str = "val",
        checkpoint: Checkpoint = "last",
        data: OtherData = OtherData(),
        tasks: list[str] | None = None,
        protocol: Protocol = "official",
        lists: dict[str, Path] | None = None,
        scales: tuple[Factor, ...] = (1.0,),
        flip: bool = False,
        batch_size: BatchSize = 8,
        device: str = "auto",
        devices: Processes = 1,
        precision: Precision = "32-true",
        trivial: bool = False,
    ) -> None:
        """Score a trained model and write metrics.json into its folder.

        On another data set than the training's the tasks and classes that both have by name are
        scored, and the report, metrics-<data set>-<folder>-<split>.json, says which.

        Args:
            run: Run directory, model folder, Hugging Face hub id, or box or box:NAME.
            split: Part of the data set: val, train, or another that it has, such as the rooms'
                materials, furniture and light.
            checkpoint: Which checkpoint of the run.
            data: Another data set, or another folder of it.
            tasks: Only these of the model's tasks.
            protocol: official: as the published scores are computed; plain: saliency with 255
                thresholds on the probability, the main mIoU over the classes that are present.
            lists: TASK FILE: score the task on the images only whose ids are in the file, one a
                line. Published boundary scores on PASCAL-Context are over 2,498 images.
            scales: Show the network each image at these scales, and score the mean prediction;
                published scores are at scale 1 alone.
            flip: Show it each image mirrored, too; published scores are without.
            batch_size: Images at once.
            device: cpu, cuda, ...; auto takes a GPU if there is one.
            devices: Processes on this machine, one GPU each where there are GPUs; under torchrun:
                torchrun's. The scores are the same.
            precision: bf16-mixed is faster where the processor has instructions for it.
            trivial: Also score the best constant prediction of each task, for comparison.
        """
        import torch

        from pamm.checkpoint import find, read_description
        from pamm.data import member_configs
        from pamm.evaluation.evaluate import evaluate_run
        from pamm.evaluation.other_data import trained_on
        from pamm.evaluation.report import Unfinished, report_folder
        from pamm.evaluation.score_table import print_scores
        from pamm.runtime.device import torch_device
        from pamm.runtime.distributed import is_first
        from pamm.runtime.memory import keep_freed_memory
        from pamm.runtime.notes import note
        from pamm.views.augmentation import TestTimeAugmentation

        note_missing_library()
        keep_freed_memory()
        torch_device(device)  # is there such a one? Before anything is read
        names: list[str | None] = [data.name]
        folder = find(run, checkpoint=checkpoint)
        saved = read_description(folder)
        if data.name is None and saved.data is not None:  # what it is made of by itself, too
            labels = list(member_configs(trained_on(folder, saved)))
            if devices == 1 and not torch.distributed.is_torchelastic_launched():
                names += labels
            elif labels:
                note(f"each by itself: --data.name {' or '.join(labels)}")
        for name in names:
            try:
                report = evaluate_run(
                    run,
                    split=split,
                    checkpoint=checkpoint,
                    data=name,
                    root=data.root,
                    tasks=tasks,
                    protocol=protocol,
                    lists=lists,
                    augmentation=TestTimeAugmentation(scales=scales, flip=flip),
                    batch_size=batch_size,
                    device=torch_device(device),
                    devices=devices,
                    precision=precision,
                    trivial=trivial,
                )
            except Unfinished as error:
                print_scores(error.report)
                raise
            if is_first():
                print_scores(report)
                print(f"report: {report_folder(Path(report['model'])) / report['file']}")

    parse(command, arguments, "pamm evaluate")


def describe(arguments: Sequence[str]) -> None:
    """Parameters, GFLOPs and shapes of a preset's model: pamm describe PRESET [--size H W]."""

    def command(
        preset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PRESET")],
        size: tuple[Side, Side] | None = None,
        model: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    ) -> None:
        """Print parameters and GFLOPs by part, and the shapes along the data path.

        Args:
            preset: A preset's name (see `pamm presets`) or the experiment.json of a run.
            size: Height and width of the image, if not the preset's.
            model: Another model than the preset's; a wrong name lists them all.
        """
        from pamm.model.describe import print_description

        experiment = experiment_of(preset, model)
        note_defaults(preset, experiment.model)
        print_description(experiment.model, size or experiment.data.size)

    parse(command, arguments, "pamm describe")


def backbones(arguments: Sequence[str]) -> None:
    """List the backbones with pretrained weights: pamm backbones [NAME...]."""

    def command(
        names: Annotated[list[str], tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = [],  # noqa: B006
        size: tuple[Side, Side] = (224, 224),
    ) -> None:
        """List which backbones can start pretrained here: what they cost, where weights come from.

        Weights come by pip (`package:...`), or from timm's collection on the Hugging Face hub
        (`True`).

        Args:
            names: timm models to list, too, beside those that come by pip, those of the presets
                and those in the hub's cache here.
            size: Height and width of the image that the operations are counted for.
        """
        from pamm.model.backbone_table import print_backbones
        from pamm.presets import PRESETS

        models = [preset.experiment.model for preset in PRESETS.values()]
        print_backbones([*(m.backbone for m in models if m.pretrained is True), *names], size)

    parse(command, arguments, "pamm backbones")


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
