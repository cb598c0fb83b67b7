"""`pamm predict` and `pamm pack`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from pamm.cli.arguments import Checkpoint, Run, note_missing_library, parse
from pamm.errors import PammError
from pamm.runtime.ranges import Factor, FieldOfView, Processes, Side


def predict(arguments: Sequence[str]) -> None:
    """Predict on images of any size: pamm predict [RUN] IMAGE... --out DIR."""
    from pamm.predict_files import Save, SaveOptions, predict_files
    from pamm.runtime.precision import Precision

    def command(
        images: Annotated[list[str], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN] IMAGE...")],
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
            images: Image files and videos, folders of images, patterns such as 'photos/*.jpg', or -
                for paths on standard input, a line each. What comes first may be the model: a run
                directory, model folder, Hugging Face hub id, or box:NAME for one that comes with
                pamm; if it is not given, the model in the box.
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
                have full size; if not given, what the model is made for: the longest side of the
                training images, or what `pamm pack` was told.
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
        run, paths = model_and_images(images)
        from pamm.box import MODELS
        from pamm.checkpoint import WEIGHTS, find, load
        from pamm.prediction import Look
        from pamm.runtime.device import torch_device
        from pamm.runtime.memory import keep_freed_memory
        from pamm.runtime.notes import note
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
        rank, world, place, total = joined(devices, device, paths)
        if paths == images:  # no model among them
            note(f"with the model in the box, box:{MODELS[0]}; another one comes before the images")
        failed = predict_files(
            load(folder, tasks=tasks, device=place),
            paths,
            out,
            look=look,
            save=wanted,
            made_by=f"{folder.absolute()} {weights.st_size} {weights.st_mtime_ns}",
            rank=rank,
            world=world,
        )
        failed = total(failed)
        if failed and rank == 0:  # who speaks for all
            raise PammError(f"{failed} of the images or folders could not be used, see above")

    parse(command, arguments, "pamm predict")


def model_and_images(names: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The model among what was typed, which is the first or that in the box, and the images.

    Raises:
        PammError: there are no images.
    """
    from pamm.box import BOX, names_box
    from pamm.checkpoint import model_in
    from pamm.pictures.images import list_images
    from pamm.predict_files.inputs import names_images

    if names and names_images(names[0]):
        return BOX, names
    if len(names) < 2:
        wanted = "pamm predict [RUN] IMAGE...: want at least one image or folder of images"
        if names and not names_box(names[0]) and not model_in(Path(names[0])):
            list_images(names)  # says what is wrong with a folder
            raise PammError(f"{names[0]!r}: no such image, folder or model; {wanted}")
        raise PammError(wanted)
    return names[0], names[1:]


def joined(
    devices: int, device: str, images: Sequence[str]
) -> tuple[int, int, Any, Callable[[int], int]]:
    """Join the processes that share the images, if there are several.

    Args:
        devices: processes on this machine.
        device: as a user names it.
        images: what is to be shared.

    Returns:
        Which process this is, of how many, its device, and what adds up a number over all of them.
    """
    import torch

    from pamm.runtime.device import torch_device

    place = torch_device(device)
    if devices == 1 and not torch.distributed.is_torchelastic_launched():
        return 0, 1, place, lambda number: number
    if "-" in images:
        raise PammError("-: paths on standard input go to one process only; leave --devices 1")
    from pamm.runtime.distributed import launch, total_over

    fabric = launch(devices, accelerator=place.type)
    total = total_over(fabric)
    return (
        fabric.global_rank,
        fabric.world_size,
        fabric.device,
        lambda number: int(total(torch.tensor(number))),
    )


def pack(arguments: Sequence[str]) -> None:
    """Write a model with weights of fewer bits, to ship: pamm pack RUN --out DIR."""
    from pamm.runtime.packed_tensors import Bits

    def command(
        run: Run,
        out: Path,
        bits: Bits = 8,
        max_side: Side | None = None,
        checkpoint: Checkpoint = "last",
    ) -> None:
        """Write a model folder whose weights take 8 or 16 bits each; it is used like any other.

        Args:
            run: Run directory, model folder, Hugging Face hub id, or box or box:NAME.
            out: The folder to write; it must not be there yet.
            bits: 8: whole numbers, with a scale for each output channel; 16: half precision.
                Vectors, such as norms and biases, keep 32.
            max_side: What `pamm predict` shrinks larger images to if nothing is said; if not given
                here, the longest side of the training images.
            checkpoint: Which checkpoint of the run.
        """
        from pamm.checkpoint import WEIGHTS, find, pack_model

        before = (find(run, checkpoint=checkpoint) / WEIGHTS).stat().st_size
        folder = pack_model(run, out, bits=bits, max_side=max_side, checkpoint=checkpoint)
        after = (folder / WEIGHTS).stat().st_size
        print(f"{folder}: {after / 1e6:.1f} MB of weights, {before / 1e6:.1f} MB before")
        print(f"what it lost: pamm evaluate {folder}")

    parse(command, arguments, "pamm pack")
