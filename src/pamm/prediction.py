"""Predictions for photographs of any size, from an image to arrays in units."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from pamm.data.geometry import border_to
from pamm.data.sample import collate
from pamm.data.transforms import EvalTransform
from pamm.errors import PammError
from pamm.pictures.images import MAX_PIXELS, read_image, rgb_array, strips
from pamm.predictor import Predictor
from pamm.runtime.footprint import bytes_per_pixel
from pamm.runtime.inference import evaluation_view, uncompiled
from pamm.runtime.precision import Precision
from pamm.runtime.select import select_tasks
from pamm.tasks import Task
from pamm.views.augmentation import NO_AUGMENTATION, TestTimeAugmentation
from pamm.views.tiles import tiled_logits

ImageLike = str | Path | Image.Image | NDArray[np.uint8] | Tensor
Predictions = dict[str, NDArray[Any]]

MAX_SIDE = 1024
"""The default of `max_side` for a model that does not say at what size it was trained."""
ALWAYS_WHOLE = 2**20
"""Pixels of an image that no network sees in tiles unless it is told to."""
WHOLE_BYTES = 2**29
"""What the intermediate results of a network may take, as far as it can be known beforehand."""
_HALF_ENDS = 65_504.0  # the largest number of 16 bits


def predict(
    model: nn.Module,
    image: ImageLike,
    *,
    tasks: Mapping[str, Task] | Iterable[str] | None = None,
    max_side: int | None = None,
    augmentation: TestTimeAugmentation = NO_AUGMENTATION,
    tile: int | None = None,
    precision: Precision = "32-true",
) -> Predictions:
    """Everything that a model says about one image, in units, at the image's own size.

    The network sees the image as in evaluation: as it is, or in the middle of a training crop
    (`Predictor.crop_size`) where that is larger. An image whose longer side is more than `max_side`
    pixels is shrunk to that first, antialiased, and the logits are resized back bilinearly before
    they are decoded: classes have clean borders, normals are unit vectors, and depth stays in
    metres. A network does best at the size it was trained at, where things look as large as they
    did then; so that is the default. A larger `max_side` shows finer detail, if the network can
    take it.

    The model itself is not changed, nor does its mode matter: several threads may predict with it,
    and another may train it.

    Args:
        model: what `pamm.load` gives; or a network that maps (1, 3, H, W), RGB in 0..1, to {task:
            logits (1, C, H, W)}. It runs where its parameters are, in their type, in evaluation
            mode (`evaluation_view`).
        image: the path of a file, a Pillow image, RGB uint8 as an array (H, W, 3) or as a tensor
            (3, H, W); grey arrays (H, W) are taken too.
        tasks: what the outputs mean, {name: Task}, or the names of some, or one name; the rest is
            left out. None: all of a `Predictor`; of another network the default
            tasks of its `config.tasks`.
        max_side: see above; None: the longest side of the images that the model was trained on
            (`Predictor.image_size`), or 1024 where it does not say.
        augmentation: the mean prediction over several scales, and mirrored views.
        tile: side of the overlapping tiles in which the network sees a larger image. None: an
            image is seen whole where the network's intermediate results take at most `WHOLE_BYTES`,
            else in the largest tiles of which this holds. It depends on nothing else, so the same
            image gives the same result on any machine.
        precision: "bf16-mixed" is faster where the processor has instructions for it, and a little
            less exact; "16-mixed" on GPUs without.

    Returns:
        {task: array}: class maps uint8 (H, W); saliency and boundary float32 (H, W) in 0..1; depth
        float32 (H, W) in metres; normals float32 (H, W, 3), unit vectors.

    Raises:
        PammError: an image file that cannot be read, an unknown task or precision, or too little
            memory.
        TypeError, ValueError: an image of another kind or shape.
    """
    predictor = as_predictor(model, tasks)
    look = Look(max_side=max_side, augmentation=augmentation, tile=tile, precision=precision)
    picture = as_picture(image)
    logits = image_logits(predictor, picture, look)
    size = (picture.shape[0], picture.shape[1])
    return {name: decoded(logits[name], task, size) for name, task in predictor.tasks.items()}


def as_picture(image: ImageLike) -> NDArray[np.uint8]:
    """What `predict` takes as an image, as uint8 RGB (H, W, 3)."""
    if isinstance(image, str | Path):
        return read_image(image)
    if isinstance(image, Image.Image):
        if 0 in image.size:
            raise ValueError(f"image is a picture of {image.size[0]}x{image.size[1]}, want pixels")
        return rgb_array(image)
    if isinstance(image, Tensor):
        if image.ndim != 3 or image.shape[0] != 3:
            raise ValueError(f"image is a tensor {tuple(image.shape)}, want (3, H, W)")
        image = image.detach().permute(1, 2, 0).cpu().numpy()
    if not isinstance(image, np.ndarray):
        raise TypeError(
            f"image is {type(image).__name__}, want a path, a Pillow image, a uint8 array "
            "(H, W, 3) or a uint8 tensor (3, H, W)"
        )
    if image.dtype != np.uint8:
        raise TypeError(f"image has values of type {image.dtype}, want uint8, RGB in 0..255")
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=-1)
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"image is an array {image.shape}, want (H, W, 3), not empty")
    return image


def as_predictor(model: nn.Module, tasks: Mapping[str, Task] | Iterable[str] | None) -> Predictor:
    """A model with the tasks to predict, in the order asked for; see `predict`.

    Raises:
        PammError: an unknown task, or none; or a network that does not say what its outputs mean.
    """
    if not isinstance(model, nn.Module):
        raise PammError(f"model: got {model!r}, want a network, such as pamm.load({model!r}) gives")
    inner = uncompiled(model)
    given = inner if isinstance(inner, Predictor) else Predictor(inner)
    if isinstance(tasks, Mapping):
        chosen = dict(tasks)
    elif not given.tasks:
        raise PammError(
            "the model does not say what its outputs mean: give tasks={name: Task, ...}"
        )
    else:
        chosen = select_tasks(given.tasks, tasks)
    if not chosen:
        raise PammError("no tasks to predict; give at least one")
    return Predictor(given.network, chosen, image_size=given.image_size, crop_size=given.crop_size)


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a network looks at an image; see `predict`."""

    max_side: int | None = None
    augmentation: TestTimeAugmentation = NO_AUGMENTATION
    tile: int | None = None
    precision: Precision = "32-true"

    def __post_init__(self) -> None:
        for name in ("max_side", "tile"):
            given: Any = getattr(self, name)
            whole = isinstance(given, Integral) and not isinstance(given, bool)
            if given is not None and (not whole or given < 1):
                raise PammError(f"{name} is {given!r}, want a whole number of pixels, at least 1")


def image_logits(model: Predictor, picture: NDArray[np.uint8], look: Look) -> dict[str, Tensor]:
    """The logits of a picture (H, W, 3), {task: (1, C, h, w)}, at the size that the network saw."""
    longest = look.max_side or max(model.image_size or (MAX_SIDE,))
    seen = _shrunk(picture, longest)
    size = (seen.shape[0], seen.shape[1])
    crop = model.crop_size
    raw: Any = torch.from_numpy(seen.copy()).permute(2, 0, 1)
    sample = EvalTransform({}, size=crop)({"image": raw, "targets": {}, "id": "", "size": size})
    left, _, top, _ = border_to(size, crop or size)
    image = collate([sample])["image"]
    with torch.inference_mode(), _enough_memory(size):
        outputs = tiled_logits(
            evaluation_view(model.network),
            image,
            model.tasks,
            look.augmentation,
            tile=look.tile or largest_tile(model.network, image.shape[-2] * image.shape[-1]),
            multiple=getattr(uncompiled(model.network), "multiple", 1),
            precision=look.precision,
        )
    return {n: outputs[n][..., top : top + size[0], left : left + size[1]] for n in model.tasks}


def largest_tile(network: nn.Module, pixels: int) -> int:
    """The side of the largest tiles whose intermediate results take `WHOLE_BYTES` at most.

    Args:
        network: looked at where it matters, see `bytes_per_pixel`.
        pixels: of the image.
    """
    if pixels <= ALWAYS_WHOLE:
        return MAX_PIXELS
    most = WHOLE_BYTES / bytes_per_pixel(network)
    return MAX_PIXELS if pixels <= most else max(1, int(math.sqrt(most)))


@contextmanager
def _enough_memory(size: tuple[int, int]) -> Iterator[None]:
    """What the network's allocations raise, as a `PammError` with advice."""
    image = f"for an image of {size[1]}x{size[0]} pixels; set a smaller max_side"
    try:
        yield
    except torch.OutOfMemoryError:
        raise PammError(f"not enough GPU memory {image}, or use the CPU") from None
    except MemoryError:
        raise PammError(f"not enough memory {image}") from None
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # torch's allocator of the CPU
            raise
        raise PammError(f"not enough memory {image}") from None


@torch.inference_mode()
def decoded(
    logits: Tensor, task: Task, size: tuple[int, int], *, compact: bool = False
) -> NDArray[Any]:
    """Logits (1, C, h, w) to the array of a larger or equal size (H, W).

    Args:
        logits: as of `image_logits`.
        task: what they mean.
        size: (height, width) of the array.
        compact: 16 bits of floating point instead of 32, if the numbers fit.
    """
    half = compact and float(logits.abs().max()) < _HALF_ENDS
    array: NDArray[Any] | None = None
    for rows, strip in zip(strips(*size), _enlarged(logits, size), strict=True):
        part = task.to_array(task.decode(strip)[0])
        if array is None:
            kind = np.float16 if half and part.dtype.kind == "f" else part.dtype
            array = np.empty((size[0], *part.shape[1:]), dtype=kind)
        array[rows] = part
    assert array is not None
    return array


def halved(array: NDArray[Any]) -> NDArray[Any]:
    """Floating point in 16 bits, if the numbers fit; other arrays as they are."""
    if array.dtype.kind != "f" or not np.abs(array).max(initial=0) < _HALF_ENDS:
        return array
    return array.astype(np.float16)


def _shrunk(picture: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    if max(height, width) <= max_side:
        return picture
    scale = max_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))


def _enlarged(logits: Tensor, size: tuple[int, int]) -> Iterator[Tensor]:
    """The bilinear enlargement to (H, W), in strips of whole rows: (1, C, rows, W) each.

    In strips, as the logits of many classes at the size of a photograph fill gigabytes.
    """
    height, width = size
    same = tuple(logits.shape[-2:]) == size
    last = logits.shape[-2] - 1
    rows = torch.arange(height, device=logits.device)
    places = ((rows + 0.5) * (logits.shape[-2] / height) - 0.5).clamp(0, last)
    for kept in strips(height, width):
        if same:
            yield logits[:, :, kept]
            continue
        place = places[kept]
        upper = place.floor().long()
        share = (place - upper).view(-1, 1)
        above, below = logits[:, :, upper], logits[:, :, (upper + 1).clamp(max=last)]
        strip = torch.lerp(above, below, share.expand_as(above))
        yield F.interpolate(strip, (strip.shape[-2], width), mode="bilinear", align_corners=False)
