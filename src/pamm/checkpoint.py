"""Models on disk: a folder with `model.safetensors` and a `config.json` that explains it.

A run directory holds such folders under the names `last-<step>` and `best-<step>`; `last` ones also
have `training.pt`, such as the optimiser's state, which only a resumed training reads. A folder
appears under its name when it is whole, and only then are older ones of its kind deleted.
"""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from pamm.device import torch_device
from pamm.errors import PammError, unknown
from pamm.hub import one_try
from pamm.model import PAMM, ModelConfig
from pamm.strict_json import from_json, read_json, to_json
from pamm.tasks import task_from_dict

WEIGHTS, CONFIG, TRAINING = "model.safetensors", "config.json", "training.pt"
FORMAT = 1
_NAME = re.compile(r"(last|best)-\d+")


def load(
    source: str | Path,
    *,
    tasks: Sequence[str] | None = None,
    checkpoint: str = "last",
    device: str | torch.device = "cpu",
) -> PAMM:
    """A trained model in evaluation mode, with its `tasks` and `image_size` attached.

    Args:
        source: a run directory, a folder with model.safetensors and config.json, or the id
            "owner/name" of a repository on the Hugging Face hub that holds these two files.
        tasks: a subset of its tasks; None = all.
        checkpoint: which one of a run directory: "last" or "best".
        device: where to put it; "auto" is a GPU where there is one.

    Raises:
        PammError: nothing there, a broken or foreign file, an unknown task, no such device.
    """
    place = torch_device(device)
    folder = find(source, checkpoint=checkpoint)
    config = read_config(folder)
    model = PAMM(config)
    load_weights(model, folder)
    saved = read_json(folder / CONFIG)
    for name in saved["tasks"]:
        if name not in config.tasks:
            raise PammError(f"{str(folder / CONFIG)!r}: {unknown('task', name, config.tasks)}")
    model.tasks = {name: task_from_dict(task) for name, task in saved["tasks"].items()}
    if saved.get("image_size"):
        model.image_size = tuple(saved["image_size"])
    if tasks is not None:
        model = model.subset(list(tasks))
    return model.to(place).eval()


def find(source: str | Path, *, checkpoint: str = "last") -> Path:
    """The folder that holds the model of a run directory, model folder or hub id."""
    if checkpoint not in ("last", "best"):
        raise PammError(f"checkpoint: got {checkpoint!r}, want 'last' or 'best'")
    path = Path(source)
    if (path / WEIGHTS).is_file():
        return path
    if path.is_dir():
        found = newest(path, checkpoint)
        if found is None:
            raise PammError(
                f"{str(path)!r} holds no model: want {WEIGHTS}, or a {checkpoint}-<step> folder "
                "that `pamm train` wrote"
            )
        return found
    if re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)) and not path.exists():
        return _from_hub(str(source))
    raise PammError(f"no run or model at {str(source)!r}; give a folder that `pamm train` wrote")


def newest(run: Path, kind: str) -> Path | None:
    """The folder `<kind>-<step>` of a run with the highest step, or None."""
    return next(reversed(folders(run, kind)), None)


def folders(run: Path, kind: str) -> list[Path]:
    """The folders `<kind>-<step>` of a run, by step."""
    return sorted((p for p in run.glob(f"{kind}-*") if _NAME.fullmatch(p.name)), key=step_of)


def step_of(folder: Path) -> int:
    """The number of steps in the name of a folder that `save` wrote."""
    return int(folder.name.rpartition("-")[2])


def save(
    run: Path,
    kind: str,
    step: int,
    model: PAMM,
    *,
    data: Any,
    training: dict | None = None,
    keep: int = 1,
) -> Path:
    """Write `<run>/<kind>-<step>` and delete the older ones of this kind. One process does.

    Args:
        run: the run directory.
        kind: "last" or "best".
        step: steps done.
        model: its config, weights and tasks are written.
        data: the configuration of the data set it was trained on, a dataclass; for evaluation.
        training: what a resumed training needs; tensors, numbers and strings only.
        keep: how many of this kind to keep, this one and those of the highest steps.
    """
    for unfinished in run.glob(f".{kind}-*.tmp"):  # of a process that was killed in here
        shutil.rmtree(unfinished)
    final = run / f"{kind}-{step:06d}"
    temporary, former = run / f".{final.name}.tmp", run / f".{final.name}.former.tmp"
    temporary.mkdir(parents=True)
    tensors = {key: tensor.detach().contiguous() for key, tensor in model.state_dict().items()}
    save_file(tensors, temporary / WEIGHTS)
    config = {
        "format": FORMAT,
        "model": to_json(model.config),
        "tasks": {name: task.to_dict() for name, task in model.tasks.items()},
        "image_size": model.image_size,
        "data": to_json(data),
        "step": step,
    }
    (temporary / CONFIG).write_text(json.dumps(config, indent=1) + "\n", "utf-8")
    if training is not None:
        torch.save(training, temporary / TRAINING)
    if final.exists():
        final.rename(former)
    temporary.rename(final)
    shutil.rmtree(former, ignore_errors=True)
    others = [folder for folder in folders(run, kind) if folder != final]
    for old in others[: len(others) - (keep - 1)]:
        shutil.rmtree(old)
    return final


def read_config(folder: Path) -> ModelConfig:
    """The model of a checkpoint folder; its backbone weights come from the folder too."""
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict) or not {"model", "tasks"} <= set(config):
        raise PammError(f"{str(folder / CONFIG)!r} does not describe a PAMM model")
    if config.get("format") != FORMAT:
        raise PammError(
            f"{str(folder / CONFIG)!r} has format {config.get('format')!r}, this version of pamm "
            f"reads {FORMAT}: update pamm, or save the model again"
        )
    return from_json(ModelConfig, {**config["model"], "pretrained": False}, where="model")


def load_weights(model: PAMM, folder: Path) -> None:
    """Read the weights of a checkpoint folder into a model of the same configuration.

    Raises:
        PammError: the file is missing, damaged, or of another model.
    """
    path = folder / WEIGHTS
    try:
        tensors = load_file(path)
    except FileNotFoundError:
        raise PammError(f"{str(folder)!r} has no {WEIGHTS}") from None
    except Exception as error:  # safetensors has an exception of its own for every damage
        raise PammError(f"{str(path)!r} is not a whole safetensors file: {error}") from None
    wanted = model.state_dict()
    wrong = sorted(
        key
        for key in wanted.keys() | tensors.keys()
        if key not in wanted or key not in tensors or wanted[key].shape != tensors[key].shape
    )
    if wrong:
        raise PammError(
            f"{str(path)!r} holds the weights of another model: {len(wrong)} of {len(wanted)} "
            f"tensors are missing, unknown or of another shape, such as {wrong[0]!r}"
        )
    model.load_state_dict(tensors)


def load_training(folder: Path) -> dict:
    """What `save` got as `training`."""
    path = folder / TRAINING
    if not path.is_file():
        raise PammError(f"{str(folder)!r} has no {TRAINING}, so this training cannot be resumed")
    return torch.load(path, map_location="cpu", weights_only=True)


def _from_hub(repository: str) -> Path:
    from huggingface_hub import snapshot_download

    with one_try() as problem:
        try:
            return Path(snapshot_download(repository, allow_patterns=[WEIGHTS, CONFIG]))
        except Exception as error:  # offline, unknown repository, no access: the text says which
            reason = problem or str(error).strip().splitlines()[0]
            raise PammError(
                f"no folder {repository!r} here, and the hub gave no such model ({reason})"
            ) from None
