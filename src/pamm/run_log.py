"""What a training run leaves to read: a progress line, metrics.jsonl and TensorBoard curves."""

import json
import math
import platform
import subprocess
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from pamm.files import write_text
from pamm.progress import ProgressLine
from pamm.strict_json import to_json

RECORDS = "metrics.jsonl"
PACKAGES = ("pamm-vision", "torch", "torchvision", "timm", "lightning-fabric", "numpy", "scipy")


class RunLog:
    """The records of one run, written by one process.

    Args:
        run: the run directory.
        start, steps: steps already done, and in all; records of later steps than `start`, which an
            interrupted run may have left, are dropped, for they are about to be made again.
        every: steps between two training records.
    """

    def __init__(self, run: Path, *, start: int, steps: int, every: int) -> None:
        run.mkdir(parents=True, exist_ok=True)
        self._path, self._every = run / RECORDS, every
        kept = [r for r in read_records(self._path) if r["step"] <= start]
        write_text(self._path, "".join(json.dumps(r) + "\n" for r in kept))
        self._writer = SummaryWriter(str(run / "tensorboard"), purge_step=start + 1)
        self._line = ProgressLine(steps, label="training", done=start)
        #: Step -> total loss of the validations so far.
        self.validations = {
            r["step"]: math.inf if r["total/loss"] is None else float(r["total/loss"])
            for r in kept
            if r["split"] == "val"
        }
        self._began = time.monotonic()

    def train(self, step: int, losses: Mapping[str, float], *, rate: float) -> None:
        """After a step: the progress line, and every so often a record."""
        self._line.update(step, " ".join(f"{name} {value:.3f}" for name, value in losses.items()))
        if step % self._every == 0:
            values = {f"{name}/loss": value for name, value in losses.items()}
            self._record(step, "train", {**values, "learning_rate": rate})

    def validation(self, step: int, scores: Mapping[str, Mapping[str, float]]) -> None:
        """After a validation: a record of all scores, among them the loss of "total"."""
        self.validations[step] = scores["total"]["loss"]
        flat = {f"{task}/{key}": v for task, s in scores.items() for key, v in s.items()}
        self._record(step, "val", flat)

    def close(self) -> None:
        """Flush everything."""
        self._line.close()
        self._writer.close()

    def _record(self, step: int, split: str, values: dict[str, float]) -> None:
        seconds = round(time.monotonic() - self._began, 3)
        record = {"step": step, "split": split, "seconds": seconds, **values}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(to_json(record)) + "\n")
        for name, value in values.items():
            self._writer.add_scalar(f"{split}/{name}", value, step)


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics.jsonl; a last line that was cut off in writing is left out."""
    records = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def environment() -> dict[str, Any]:
    """What the run was made with: Python, packages, machine, the commit of the source if known."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
        "git_commit": git_commit(Path(__file__).parent),
    }


def git_commit(folder: Path) -> str | None:
    """The commit of a checkout, with "+changes" where files differ from it; None outside of one."""

    def git(*command: str) -> str:
        run = subprocess.run(
            ["git", "-C", str(folder), *command], capture_output=True, text=True, check=True
        )
        return run.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", str(folder))
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None
