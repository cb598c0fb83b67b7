"""Test-time augmentation: one image seen at several sizes and mirrored, and the mean of it all."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from pamm.errors import PammError, unknown
from pamm.runtime.precision import Precision, forward
from pamm.runtime.ranges import Factor, check_fields
from pamm.tasks import Task


@dataclass(frozen=True, kw_only=True)
class TestTimeAugmentation:
    """How often, and how, the network looks at each image; once as it is by default."""

    __test__: ClassVar[bool] = False  # pytest takes what is called Test... for tests

    scales: tuple[Factor, ...] = (1.0,)
    """Factors of the image's height and width."""
    flip: bool = False
    """Also mirrored left to right, at each of the scales."""

    def __post_init__(self) -> None:
        if not self.scales or len(set(self.scales)) < len(self.scales):
            raise PammError(f"scales: got {self.scales}, want one or more, each of them once")
        check_fields(self)


NO_AUGMENTATION = TestTimeAugmentation()


def augmented_logits(
    model: nn.Module,
    image: Tensor,
    tasks: Mapping[str, Task],
    augmentation: TestTimeAugmentation = NO_AUGMENTATION,
    *,
    precision: Precision = "32-true",
) -> dict[str, Tensor]:
    """The logits of the mean prediction over all views, at the size of the image.

    The image is resized bilinearly, with antialiasing. The logits are resized back, and brought
    into the space in which a mean makes sense for their task (`Task.to_mean_space`). There a
    mirrored view is mirrored back (`Task.flip`: normals change sign in x), and values that depend
    on the scale are brought to that of the image (`Task.rescale`: depth). With one view, of the
    image as it is, all of this is left out, and the logits are the network's.

    Args:
        model: maps (B, 3, H, W) to {task: logits (B, C, H, W)}.
        image: (B, 3, H, W), RGB in 0..1, where the model is.
        tasks: those wanted.
        augmentation: at what scales, and whether mirrored too.
        precision: of the network's arithmetic.

    Returns:
        {task: (B, C, H, W)}, in float32.
    """
    if augmentation == NO_AUGMENTATION:
        return predicted(forward(model, image, precision), tasks)
    size = (image.shape[-2], image.shape[-1])
    sums: dict[str, Tensor] = {}
    for scale in augmentation.scales:
        seen = resize(image, (max(1, round(size[0] * scale)), max(1, round(size[1] * scale))))
        enlarged = math.sqrt(seen.shape[-2] * seen.shape[-1] / (size[0] * size[1]))  # as rounded
        for mirrored in (False, True) if augmentation.flip else (False,):
            logits = predicted(
                forward(model, seen.flip(-1) if mirrored else seen, precision), tasks
            )
            for name, task in tasks.items():
                values = task.to_mean_space(resize(logits[name], size))
                values = task.rescale(task.flip(values) if mirrored else values, 1 / enlarged)
                sums[name] = sums[name] + values if name in sums else values
    count = len(augmentation.scales) * (1 + augmentation.flip)
    return {name: task.from_mean_space(sums[name] / count) for name, task in tasks.items()}


def predicted(logits: Mapping[str, Tensor], tasks: Iterable[str]) -> dict[str, Tensor]:
    """The logits of the tasks that are wanted.

    Raises:
        PammError: the network has none of a task.
    """
    for name in tasks:
        if name not in logits:
            raise PammError(unknown("task", name, logits))
    return {name: logits[name] for name in tasks}


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (B, C, h, w) at another size (H, W), bilinear, antialiased where that is smaller."""
    if tuple(maps.shape[-2:]) == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=False, antialias=True)
