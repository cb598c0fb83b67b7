"""Predictions for photographs of any size, from an image to arrays in units, and to files."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor, nn

from pamm.data.transforms import normalise
from pamm.errors import PammError, unknown
from pamm.images import list_images, read_image, to_rgb, write_npy, write_png
from pamm.precision import Precision, forward
from pamm.tasks import Task, default_task
from pamm.visualise import overview

ImageLike = str | Path | Image.Image | NDArray[np.uint8] | Tensor
Predictions = dict[str, NDArray[Any]]

MAX_SIDE = 1024
"""The default of `max_side` for a model that does not say at what size it was trained."""
_STRIP = 2**20  # pixels that are decoded at once


def predict(
    model: nn.Module,
    image: ImageLike,
    *,
    tasks: Mapping[str, Task] | Iterable[str] | None = None,
    max_side: int | None = None,
    precision: Precision = "32-true",
) -> Predictions:
    """Everything that a model says about one image, in units, at the image's own size.

    An image whose longer side is more than `max_side` pixels is shrunk to that for the network,
    antialiased, and the logits are resized back bilinearly before they are decoded: memory stays
    bounded, classes have clean borders, normals are unit vectors, and depth stays in metres. A
    network does best at the size it was trained at, where things look as large as they did then;
    so that is the default. A larger `max_side` shows finer detail, if the network can take it.

    Args:
        model: maps (1, 3, H, W), ImageNet-normalised, to {task: logits (1, C, H, W)}. It runs
            where its parameters are, in evaluation mode, and is put back into its mode.
        image: the path of a file, a Pillow image, RGB uint8 as an array (H, W, 3) or as a tensor
            (3, H, W); grey arrays (H, W) are taken too.
        tasks: what the outputs mean, {name: Task}, or the names of some; the rest is left out.
            None: all of `model.tasks`, or the default tasks of `model.config.tasks`.
        max_side: see above; None: the longer side of the images that the model was trained on
            (`model.image_size`), or 1024 where it does not say.
        precision: "bf16-mixed" is faster where the processor has instructions for it, and a little
            less exact; "16-mixed" on GPUs without.

    Returns:
        {task: array}: class maps uint8 (H, W); saliency and boundary float32 (H, W) in 0..1; depth
        float32 (H, W) in metres; normals float32 (H, W, 3), unit vectors.

    Raises:
        PammError: an image file that cannot be read, an unknown task, or too little GPU memory.
        TypeError, ValueError: an image of another kind or shape.
    """
    if max_side is not None and max_side < 1:
        raise PammError(f"max_side is {max_side}, must be at least 1 pixel")
    chosen = _chosen(model, tasks)
    picture = as_picture(image)
    height, width = picture.shape[:2]
    seen = _shrink(picture, max_side or max(getattr(model, "image_size", None) or (MAX_SIDE,)))
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    batch = normalise(torch.from_numpy(seen.copy()).permute(2, 0, 1))[None].to(device)
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            logits = forward(model, batch, precision)
            return {n: _decode(logits[n], t, (height, width)) for n, t in chosen.items()}
    except torch.OutOfMemoryError:
        raise PammError(
            f"not enough GPU memory for an image of {seen.shape[1]}x{seen.shape[0]} pixels; "
            "set a smaller max_side, or use the CPU"
        ) from None
    finally:
        model.train(training)


def predict_files(
    model: nn.Module,
    paths: Iterable[str | Path],
    out: str | Path,
    *,
    tasks: Mapping[str, Task] | Iterable[str] | None = None,
    max_side: int | None = None,
    precision: Precision = "32-true",
    report: Callable[[str], None] = print,
) -> int:
    """Predict on image files and folders of them, and write what came out.

    Writes for each image `<out>/<stem>/<task>.png` (a picture), `<task>.npy` (the array that
    `predict` returns) and `overview.png`. A second image of the same stem gets `<stem>-2`. An image
    or folder that cannot be used costs one line of the report, and the others are done.

    Args:
        model, tasks, max_side, precision: as of `predict`.
        paths: image files, and folders of which all image files directly inside are taken.
        out: the folder to write to, made if needed.
        report: gets a line of text per image.

    Returns:
        How many of the images (and of the folders without any) failed.

    Raises:
        PammError: an unknown task, or a `max_side` that makes no sense.
    """
    chosen = _chosen(model, tasks)
    if max_side is not None and max_side < 1:
        raise PammError(f"max_side is {max_side}, must be at least 1 pixel")
    files, failed = _expand(paths, report)
    folders: set[str] = set()
    for i, path in enumerate(files, 1):
        start = time.monotonic()
        try:
            picture = read_image(path)
            arrays = predict(model, picture, tasks=chosen, max_side=max_side, precision=precision)
            folder = Path(out) / _unused(path.stem, folders)
            _write(folder, picture, arrays, chosen)
        except PammError as error:
            failed += 1
            report(f"[{i}/{len(files)}] failed: {error}")
            continue
        size, seconds = f"{picture.shape[1]}x{picture.shape[0]}", time.monotonic() - start
        report(f"[{i}/{len(files)}] {path} ({size}) -> {folder} ({seconds:.1f} s)")
    return failed


def as_picture(image: ImageLike) -> NDArray[np.uint8]:
    """What `predict` takes as an image, as uint8 RGB (H, W, 3)."""
    if isinstance(image, str | Path):
        return read_image(image)
    if isinstance(image, Image.Image):
        return np.asarray(to_rgb(ImageOps.exif_transpose(image)))
    if isinstance(image, Tensor):
        if image.ndim != 3 or image.shape[0] != 3:
            raise ValueError(f"image is a tensor {tuple(image.shape)}, must be (3, H, W)")
        image = image.detach().permute(1, 2, 0).cpu().numpy()
    if not isinstance(image, np.ndarray):
        raise TypeError(
            f"image is {type(image).__name__}, must be a path, a Pillow image, a uint8 array "
            "(H, W, 3) or a uint8 tensor (3, H, W)"
        )
    if image.dtype != np.uint8:
        raise TypeError(f"image has values of type {image.dtype}, must be uint8, RGB in 0..255")
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=-1)
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"image is an array {image.shape}, must be (H, W, 3), not empty")
    return image


def _chosen(model: nn.Module, tasks: Mapping[str, Task] | Iterable[str] | None) -> dict[str, Task]:
    """The tasks to predict, in the order asked for."""
    if isinstance(tasks, Mapping):
        chosen = dict(tasks)
    else:
        config: Any = getattr(model, "config", None)
        known: dict[str, Task] = dict(getattr(model, "tasks", None) or {})
        if not known:
            known = {n: default_task(n, channels) for n, channels in config.tasks.items()}
        names = list(known) if tasks is None else [tasks] if isinstance(tasks, str) else list(tasks)
        for name in names:
            if name not in known:
                raise PammError(unknown("task", name, known))
        chosen = {name: known[name] for name in names}
    if not chosen:
        raise PammError("no tasks to predict; give at least one")
    return chosen


def _shrink(picture: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    if max(height, width) <= max_side:
        return picture
    scale = max_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))


def _decode(logits: Tensor, task: Task, size: tuple[int, int]) -> NDArray[Any]:
    """Logits (1, C, h, w) to the array of a larger or equal size (H, W)."""
    strips = [task.to_array(task.decode(strip)[0]) for strip in _enlarged(logits, size)]
    return np.concatenate(strips)


def _enlarged(logits: Tensor, size: tuple[int, int]) -> Iterator[Tensor]:
    """The bilinear enlargement to (H, W), in strips of whole rows: (1, C, rows, W) each.

    In strips, as the logits of many classes at the size of a photograph fill gigabytes.
    """
    height, width = size
    if tuple(logits.shape[-2:]) == size:
        yield logits
        return
    step = max(1, _STRIP // width)
    last = logits.shape[-2] - 1
    rows = torch.arange(height, device=logits.device)
    places = ((rows + 0.5) * (logits.shape[-2] / height) - 0.5).clamp(0, last)
    for start in range(0, height, step):
        place = places[start : start + step]
        upper = place.floor().long()
        share = (place - upper).view(-1, 1)
        above, below = logits[:, :, upper], logits[:, :, (upper + 1).clamp(max=last)]
        strip = torch.lerp(above, below, share.expand_as(above))
        yield F.interpolate(strip, (strip.shape[-2], width), mode="bilinear", align_corners=False)


def _expand(paths: Iterable[str | Path], report: Callable[[str], None]) -> tuple[list[Path], int]:
    """The image files of all paths, each once, and how many folders had none."""
    files: dict[Path, None] = {}
    failed = 0
    for path in paths:
        try:
            files.update(dict.fromkeys(list_images([path])))
        except PammError as error:
            failed += 1
            report(f"failed: {error}")
    return list(files), failed


def _unused(stem: str, taken: set[str]) -> str:
    """`stem`, or with the first number that makes it new; case does not count, as on some disks."""
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.casefold())
    return name


def _write(
    folder: Path, picture: NDArray[np.uint8], arrays: Predictions, tasks: Mapping[str, Task]
) -> None:
    for name, array in arrays.items():
        write_npy(folder / f"{name}.npy", array)
        write_png(folder / f"{name}.png", tasks[name].colourise(array))
    write_png(folder / "overview.png", overview(picture, arrays, tasks))
