"""What a training run leaves to read: a progress line, metrics.jsonl and TensorBoard curves."""

import json
import math
import os
import platform
import secrets
import socket
import subprocess
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from pamm.errors import PammError
from pamm.runtime.files import append_line, reason, write_text
from pamm.runtime.progress import ProgressLine
from pamm.runtime.strict_json import parse_json, to_json

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
        self._curves = Curves(run / "tensorboard", start=start)
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
        """End the progress line, and let go of the file of the curves."""
        self._line.close()
        self._curves.close()

    def _record(self, step: int, split: str, values: dict[str, float]) -> None:
        seconds = round(time.monotonic() - self._began, 3)
        record = {"step": step, "split": split, "seconds": seconds, **values}
        append_line(self._path, json.dumps(to_json(record)))
        self._curves.add(step, {f"{split}/{name}": value for name, value in values.items()})


class Curves:
    """Numbers over steps in a file for TensorBoard.

    PyTorch's writer is another thread, whose failures, such as a full disk, come late and with a
    traceback; this one writes at once.

    Args:
        folder: gets a file of its own.
        start: steps done; TensorBoard forgets what earlier files in the folder say of later ones.
    """

    def __init__(self, folder: Path, *, start: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        unique = f"{time.time():010.0f}.{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
        self._file = (folder / f"events.out.tfevents.{unique}").open("wb")
        self._write(Event(file_version="brain.Event:2"))
        self._write(Event(step=start + 1, session_log=SessionLog(status=SessionLog.START)))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """The values of curves, by name, at a step."""
        points = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(Event(step=step, summary=Summary(value=points)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        RecordWriter(self._file).write(event.SerializeToString())
        self._file.flush()


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics.jsonl; a last line that was cut off in writing is left out.

    Raises:
        PammError: another line is damaged, or the file cannot be read.
    """
    try:
        # At a power cut the end of a file may be zeros, or not be there.
        lines = path.read_bytes().rstrip(b"\0\r\n").split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PammError(f"{str(path)!r} cannot be read: {reason(error)}") from None
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = parse_json(line.decode("utf-8"), f"line {number}")
            if not is_record(record):
                raise PammError(f"line {number} is not a record of a training")
        except ValueError as error:  # a PammError, or the decoder's
            if number == len(lines):
                break
            raise PammError(
                f"{str(path)!r} is damaged: {error}; delete this line to go on without it"
            ) from None
        records.append(record)
    return records


def is_record(value: Any) -> bool:
    """Whether a line of a metrics.jsonl holds what a resumed run asks of it."""
    if not (isinstance(value, dict) and type(value.get("step")) is int):
        return False
    loss = value.get("total/loss", "missing")
    if value.get("split") == "val":
        return loss is None or type(loss) in (int, float)
    return value.get("split") == "train"


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
