"""Images per second of `pamm predict` with one and two processes, and the memory of a large one.

    python benchmarks/predict.py RUN [--images 48] [--size 480 640] [--out benchmarks/predict.md]

The images are rendered rooms, written as JPEG. Rates are of the whole command but for its start:
what the same command needs for two images is taken off.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from pamm.data.rooms import render_room


def measured(run: str, images: list[Path], out: Path, *options: str) -> tuple[float, float]:
    """How long `pamm predict` takes in seconds, and the most memory of a process of it in GB."""
    command = [sys.executable, "-m", "pamm", "predict", run, *map(str, images), "--out", str(out)]
    start = time.monotonic()
    with open(os.devnull, "w") as nowhere:
        process = subprocess.Popen([*command, *options], stdout=nowhere, stderr=nowhere)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return time.monotonic() - start, usage.ru_maxrss / 2**20


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--size", type=int, nargs=2, default=(480, 640))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    os.environ.pop("PAMM_CACHE", None)
    with tempfile.TemporaryDirectory() as folder:
        images = []
        for i in range(arguments.images):
            images.append(Path(folder) / f"{i:03d}.jpg")
            Image.fromarray(render_room(99, i, *arguments.size, "varied").image).save(images[-1])
        kinds = {"one process": ("--devices", "1"), "two processes": ("--devices", "2")}
        rates: dict[str, list[float]] = {name: [] for name in kinds}
        for i in range(arguments.rounds):
            for name, options in kinds.items():
                out = Path(folder) / f"out-{i}-{len(options)}-{name}"
                start, _ = measured(arguments.run, images[:2], out / "start", *options)
                whole, _ = measured(arguments.run, images, out / "whole", *options)
                rates[name].append((len(images) - 2) / (whole - start))
        one, two = (sorted(rates[name])[arguments.rounds // 2] for name in kinds)
        height, width = arguments.size
        print(
            f"{len(images)} images of {width}x{height}, {platform.processor() or 'CPU'}, "
            f"{os.cpu_count()} cores, the files of the default `--save`\n"
        )
        print("| | images a second |\n|---|---|")
        for name, found in rates.items():
            print(f"| {name} | {', '.join(f'{rate:.2f}' for rate in found)} |")
        print(f"| ratio | {two / one:.2f} |\n")
        large = Path(folder) / "large.jpg"
        Image.open(images[0]).resize((4000, 3000)).save(large)
        print("| 4000x3000 | seconds | peak memory |\n|---|---|---|")
        for options in ((), ("--max-side", "4000"), ("--max-side", "4000", "--tile", "8000")):
            place = Path(folder) / "-".join(["large", *options])
            took, peak = measured(arguments.run, [large], place, *options)
            print(f"| {' '.join(options) or 'as trained'} | {took:.1f} | {peak:.2f} GB |")


if __name__ == "__main__":
    main()
