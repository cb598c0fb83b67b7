"""`pamm train`, `evaluate`, `predict`, `describe` and `presets`."""

from collections.abc import Callable, Sequence
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
from pamm.errors import PammError
from pamm.runtime.ranges import BatchSize, Factor, FieldOfView, Processes, Side


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
        scored, and the report, metrics-<data set>-<split>.json, says which.

        Args:
            run: Run directory, model folder or Hugging Face hub id.
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
        from pamm.evaluation.evaluate import evaluate_run, labels_of_several
        from pamm.evaluation.report import Unfinished
        from pamm.evaluation.score_table import print_scores
        from pamm.runtime.device import torch_device
        from pamm.runtime.distributed import is_first
        from pamm.runtime.memory import keep_freed_memory
        from pamm.runtime.notes import note
        from pamm.views.augmentation import TestTimeAugmentation

        note_missing_library()
        keep_freed_memory()
        names: list[str | None] = [data.name]
        if data.name is None:  # of several data sets each by itself, too
            labels = labels_of_several(read_description(find(run, checkpoint=checkpoint)).data)
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
                print(f"report: {Path(report['model']) / report['file']}")

    parse(command, arguments, "pamm evaluate")


def predict(arguments: Sequence[str]) -> None:
    """Predict on images of any size: pamm predict RUN IMAGE... --out DIR."""
    from pamm.predict_files import Save, SaveOptions, predict_files
    from pamm.runtime.precision import Precision

    def command(
        run: Run,
        images: Annotated[list[str], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE...")],
        out: str = "predictions",
        save: tuple[Save, ...] | None = None,
        tasks: list[str] | None = None,
        checkpoint: Checkpoint = "last",
        max_side: Side | None = None,
        tile: Side | None = None,
        scales: tuple[Factor, ...] = (1.0,),
        flip: bool = False,
        fov: FieldOfView = 60.0,
        frames: bool = False,
        device: str = "auto",
        devices: Processes = 1,
        precision: Precision = "32-true",
    ) -> None:
        """Predict all tasks on images and videos: pictures, arrays, an overview, a summary.

        Started again, it goes on: what the same model has made of the same images in the same way
        is left as it is.

        Args:
            run: Run directory, model folder or Hugging Face hub id.
            images: Image files and videos, folders of images, patterns such as 'photos/*.jpg', or -
                for paths on standard input, a line each.
            out: Where to write; each image gets a folder there.
            save: What to write of an image: <task>.png, a picture of each task; arrays.npz, the
                arrays of all tasks, compressed, in 16 bits where they are fractions; <task>.npy,
                each array as it is; <task>.overlay.png, the picture over the image;
                <task>.legend.png, its colours and their names; overview.png, all of them small;
                depth.mm.png, depth in millimetres, 16 bits; points.ply, depth as a coloured point
                cloud; summary.json, classes with their shares, ranges, boxes. If not given: png,
                npz, overview and summary; of a video pictures, as videos.
            tasks: Only these of the model's tasks.
            checkpoint: Which checkpoint of the run.
            max_side: Images with a longer side are shrunk to this for the network, and the results
                have full size; if not given, the longest side of the training images.
            tile: Side in pixels of the overlapping tiles in which the network sees larger images;
                if not given, they are seen whole up to some millions of pixels, and in tiles above.
            scales: Show the network each image at these scales, and take the mean prediction.
            flip: Show it each image mirrored, too.
            fov: For ply: the camera's field of view across the image's width, in degrees.
            frames: Of a video, write every frame like an image.
            device: cpu, cuda, ...; auto takes a GPU if there is one.
            devices: Processes on this machine that share the images, one GPU each where there are
                GPUs; under torchrun: torchrun's.
            precision: bf16-mixed is faster where the processor has instructions for it.
        """
        if not images:
            raise PammError("pamm predict RUN IMAGE...: want at least one image or folder")
        import torch

        from pamm.checkpoint import WEIGHTS, find, load
        from pamm.prediction import Look
        from pamm.runtime.device import torch_device
        from pamm.runtime.memory import keep_freed_memory
        from pamm.views.augmentation import TestTimeAugmentation

        note_missing_library()
        keep_freed_memory()
        look = Look(
            max_side=max_side,
            tile=tile,
            augmentation=TestTimeAugmentation(scales=scales, flip=flip),
            precision=precision,
        )
        wanted = SaveOptions(kinds=save, field_of_view=fov, frames=frames)
        torch_device(device)  # is there such a one? Before anything is read
        folder = find(run, checkpoint=checkpoint)
        weights = (folder / WEIGHTS).stat()
        made_by = f"{folder.absolute()} {weights.st_size} {weights.st_mtime_ns}"
        if devices == 1 and not torch.distributed.is_torchelastic_launched():
            model = load(folder, tasks=tasks, device=device)
            failed = predict_files(model, images, out, look=look, save=wanted, made_by=made_by)
        else:
            failed = shared(
                lambda place, **share: predict_files(
                    load(folder, tasks=tasks, device=place),
                    images,
                    out,
                    look=look,
                    save=wanted,
                    made_by=made_by,
                    **share,
                ),
                images,
                devices=devices,
                device=device,
            )
        if failed:
            raise PammError(f"{failed} of the images or folders could not be used, see above")

    parse(command, arguments, "pamm predict")


def shared(work: Callable[..., int], images: Sequence[str], *, devices: int, device: str) -> int:
    """Let several processes do a work: how many images failed, in the first one; 0 in the others.

    Args:
        work: takes the device of a process, and `rank` and `world`; how many images failed.
        images: what is worked on.
        devices: processes on this machine.
        device: as a user names it.
    """
    import torch

    from pamm.runtime.device import torch_device
    from pamm.runtime.distributed import is_first, launch, total_over

    if "-" in images:
        raise PammError("-: paths on standard input go to one process only; leave --devices 1")
    fabric = launch(devices, accelerator=torch_device(device).type)
    failed = work(fabric.device, rank=fabric.global_rank, world=fabric.world_size)
    total = int(total_over(fabric)(torch.tensor(failed)))
    return total if is_first() else 0


def pack(arguments: Sequence[str]) -> None:
    """Write a model with weights of fewer bits, to ship: pamm pack RUN --out DIR."""
    from pamm.runtime.packed_tensors import Bits

    def command(
        run: Run,
        out: Path,
        bits: Bits = 8,
        checkpoint: Checkpoint = "last",
    ) -> None:
        """Write a model folder whose weights take 8 or 16 bits each; it is used like any other.

        Args:
            run: Run directory, model folder or Hugging Face hub id.
            out: The folder to write; it must not be there yet.
            bits: 8: whole numbers, with a scale for each output channel; 16: half precision.
                Vectors, such as norms and biases, keep 32.
            checkpoint: Which checkpoint of the run.
        """
        from pamm.checkpoint import WEIGHTS, find, pack_model

        before = (find(run, checkpoint=checkpoint) / WEIGHTS).stat().st_size
        folder = pack_model(run, out, bits=bits, checkpoint=checkpoint)
        after = (folder / WEIGHTS).stat().st_size
        print(f"{folder}: {after / 1e6:.1f} MB of weights, {before / 1e6:.1f} MB before")
        print(f"what it lost: pamm evaluate {folder}")

    parse(command, arguments, "pamm pack")


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
