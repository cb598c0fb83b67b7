"""What a data set gives: one labelled image, and how several become a batch."""

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor


class Sample(TypedDict):
    """One image with its labels, without a batch axis.

    Attributes:
        image: (3,H,W). Raw: uint8 RGB. After a transform: float32, in 0..1.
        targets: task name -> target as the task defines it (class maps int64 (H,W), saliency and
            boundary (1,H,W) in {0, 1, 255}, depth (1,H,W) metres, normals (3,H,W) unit vectors).
        id: name of the image, unique in the data set over all splits.
        size: (H, W) of the image as stored, before any transform.
    """

    image: Tensor
    targets: dict[str, Tensor]
    id: str
    size: tuple[int, int]


class Batch(TypedDict):
    """Several samples: tensors stacked on a new first axis, `id` and `size` as lists."""

    image: Tensor
    targets: dict[str, Tensor]
    id: list[str]
    size: list[tuple[int, int]]


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of one size and one set of tasks into a batch.

    Raises:
        ValueError: no samples, or images of several sizes, or different tasks among them.
    """
    if not samples:
        raise ValueError("collate got no samples; a batch needs at least one")
    sizes = {tuple(sample["image"].shape[-2:]) for sample in samples}
    if len(sizes) > 1:
        raise ValueError(
            f"collate got images of several sizes, {sorted(sizes)}; a batch holds one size: use "
            "batch size 1, or a transform that gives all images one size"
        )
    names = list(samples[0]["targets"])
    for sample in samples:
        if set(sample["targets"]) != set(names):
            raise ValueError(
                f"collate got samples with different tasks: {sample['id']!r} has "
                f"{sorted(sample['targets'])}, {samples[0]['id']!r} has {sorted(names)}; fill a "
                "missing label with task.missing(height, width)"
            )
    return {
        "image": torch.stack([sample["image"] for sample in samples]),
        "targets": {
            name: torch.stack([sample["targets"][name] for sample in samples]) for name in names
        },
        "id": [sample["id"] for sample in samples],
        "size": [sample["size"] for sample in samples],
    }
