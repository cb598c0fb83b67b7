"""Images a second that one process loads, for each data set: what a data-loading worker delivers.

On fake copies of the public data sets at their true sizes (the tests' `fake_layouts`), smooth as
photographs are, so that they compress about as well. Files stay in the operating system's cache;
"first" is with an empty cache of what is made from .mat files.

    python benchmarks/loading.py
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "data"))
from fake_layouts import fake_nyud, fake_pascal

from pamm.data import (  # fmt: skip
    DataConfig,
    Draw,
    Synthetic,
    build_dataset,
    eval_dataset,
    train_dataset,
    write_folder_layout,
)

NYUD_SIZE, PASCAL_SIZES = (448, 576), ((375, 500), (500, 375), (333, 500))


def copies(root: Path, images: int) -> dict[str, DataConfig]:
    """Title of the row -> a data set on disk with so many training images."""
    fake_nyud(root / "new", train=images, val=1, size=NYUD_SIZE, detail=16)
    fake_nyud(root / "old", train=images, val=1, size=(425, 560), old=True, detail=16)
    fake_pascal(root / "pascal", train=images, val=1, sizes=PASCAL_SIZES, detail=16)
    rooms = {s: Synthetic(s, size=(128, 160), count=images) for s in ("train", "val")}
    write_folder_layout(rooms, root / "folder")
    nyud = {"name": "nyud", "size": NYUD_SIZE, "scale": (0.5, 2.0)}
    return {
        "nyud, 448x576": DataConfig(root=str(root / "new"), **nyud),
        "nyud, MTI-Net's files, 425x560": DataConfig(root=str(root / "old"), **nyud),
        "pascal_context, 375x500": DataConfig(
            name="pascal_context", root=str(root / "pascal"), size=(512, 512), scale=(0.5, 2.0)
        ),
        "folder, 128x160": DataConfig(
            name="folder", root=str(root / "folder"), size=(128, 160), scale=(0.5, 2.0)
        ),
    }


def rate(images: int, load: Callable[[int], object], rounds: int) -> float:
    """Images a second, the best of some rounds."""
    best = 0.0
    for round_ in range(rounds):
        start = time.perf_counter()
        for index in range(images):
            load(index + round_ * images)
        best = max(best, images / (time.perf_counter() - start))
    return best


def measure(config: DataConfig, images: int, rounds: int) -> list[float]:
    """First reading, reading, with the evaluation's and with the training's transform."""
    raw, evaluated, trained = (
        build_dataset(config, "train"),
        eval_dataset(config, "train"),
        train_dataset(config),
    )
    return [
        rate(images, lambda i: raw[i % images], 1),
        rate(images, lambda i: raw[i % images], rounds),
        rate(images, lambda i: evaluated[i % images], rounds),
        rate(images, lambda i: trained[Draw(0, i // images, i % images)], rounds),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PAMM_CACHE"] = str(Path(folder) / "cache")
        print("| data set | first | read | for evaluation | for training |")
        print("|---|---|---|---|---|")
        for title, config in copies(Path(folder), options.images).items():
            rates = measure(config, options.images, options.rounds)
            print(f"| {title} | {' | '.join(f'{value:.1f}' for value in rates)} |", flush=True)


if __name__ == "__main__":
    main()
