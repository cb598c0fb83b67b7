"""Models on disk: a folder with `model.safetensors` and a `config.json` that explains it.

A run directory holds such folders under the names `last-<step>` and `best-<step>`; `last` ones also
have `training.pt`, such as the optimiser's state, which only a resumed training reads. A folder
appears under its name when it is whole and on the disk, and only then are older ones of its kind
deleted.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pamm import format_1
from pamm.box import BOX, MODELS, box_folder, names_box
from pamm.errors import PammError
from pamm.model import Model, ModelConfig, build_model
from pamm.predictor import Predictor
from pamm.runtime.device import torch_device
from pamm.runtime.files import reason, remove_folder, replacing_folder, write_text
from pamm.runtime.hub import one_try
from pamm.runtime.notes import note
from pamm.runtime.packed_tensors import Bits, pack, unpack
from pamm.runtime.ranges import Side, check_values
from pamm.runtime.run_folder import folders, newest
from pamm.runtime.strict_json import from_json, read_json, to_json
from pamm.runtime.tensor_files import check_tensors, read_weights, write_training, write_weights
from pamm.tasks import Task, task_from_dict
from pamm.tasks.match import label_difference

WEIGHTS, CONFIG, TRAINING = "model.safetensors", "config.json", "training.pt"
FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Description:
    """What the config.json of a model folder says."""

    format: int
    """Of the folder: 2, or 1 of older ones."""
    model: ModelConfig
    """Without a source of backbone weights: these come from the folder, too."""
    tasks: dict[str, Task]
    """What the outputs mean, of all tasks of the model or some; empty where the model that was
    saved had none attached."""
    image_size: tuple[int, int] | None
    crop_size: tuple[int, int] | None
    """None in older ones."""
    data: Any
    """The configuration of its data set, in JSON."""
    step: int


def load(
    source: str | Path = BOX,
    *,
    tasks: str | Sequence[str] | None = None,
    checkpoint: str = "last",
    device: str | torch.device = "cpu",
) -> Predictor:
    """A trained network in evaluation mode, with its tasks and the sizes of its images.

    It maps images (B, 3, H, W), RGB in 0..1, to {task: logits}, and is what `pamm.predict` takes.

    Args:
        source: a run directory; a folder with model.safetensors and config.json; the id
            "owner/name" of a repository on the Hugging Face hub that holds these two files; or
            "box" or "box:NAME", a model that comes with the package.
        tasks: a subset of its tasks, or one; None = all. Of a model whose tasks look at each other
            all are computed all the same.
        checkpoint: which one of a run directory: "last" or "best".
        device: where to put it; "auto" is a GPU where there is one.

    Raises:
        PammError: nothing there, a broken or foreign file, an unknown task, no such device.
    """
    place = torch_device(device)
    folder = find(source, checkpoint=checkpoint)
    saved = read_description(folder)
    network = build_model(saved.model)
    load_weights(network, folder, saved.format)
    if saved.format != FORMAT:
        note(
            f"{str(folder)!r} has format {saved.format}, of an older version: it is read as it was "
            f"meant, and saved in format {FORMAT}"
        )
    model = Predictor(
        network, saved.tasks or None, image_size=saved.image_size, crop_size=saved.crop_size
    )
    if tasks is not None:
        model = model.subset(tasks)
    return model.to(place).eval()


def read_size(value: Any, where: str) -> tuple[int, int] | None:
    """A (height, width) of a JSON file, or None for null.

    Raises:
        PammError: it is something else.
    """
    if value is None:
        return None
    size = from_json(tuple[int, int], value, where=where)
    check_values({where: tuple[Side, Side]}, {where: size}, str)
    return size


def find(source: str | Path, *, checkpoint: str = "last") -> Path:
    """The folder that holds the model of a run directory, model folder, hub id or "box"."""
    if checkpoint not in ("last", "best"):
        raise PammError(f"checkpoint: got {checkpoint!r}, want 'last' or 'best'")
    if not isinstance(source, str | Path) or source == "":
        raise PammError(f"{source!r} names no run; give its folder ('.' is this one)")
    if names_box(source):
        return box_folder(source)
    path = Path(source)
    if found := model_in(path, checkpoint=checkpoint):
        return found
    if path.is_dir():
        raise PammError(
            f"{str(path)!r} holds no model: want {WEIGHTS}, or a {checkpoint}-<step> folder that "
            "`pamm train` wrote"
        )
    if re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)) and not path.exists():
        return _from_hub(str(source))
    raise PammError(
        f"no run or model at {str(source)!r}; give a folder that `pamm train` wrote, or a model "
        f"that comes with pamm: {', '.join([BOX, *(f'{BOX}:{name}' for name in MODELS)])}"
    )


def model_in(path: Path, *, checkpoint: str = "last") -> Path | None:
    """The folder of the model that a run directory or model folder holds, or None.

    Raises:
        PammError: it cannot be read.
    """
    if _is_there(path / WEIGHTS):
        return path
    return newest(path, checkpoint) if path.is_dir() else None


def save(
    run: Path,
    kind: str,
    step: int,
    model: Predictor,
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
        model: the config and weights of its network and its tasks are written.
        data: the configuration of the data set it was trained on, a dataclass; for evaluation.
        training: what a resumed training needs; tensors, numbers and strings only.
        keep: how many of this kind to keep, this one and those of the highest steps.
    """
    network: Any = model.network
    config = {
        "format": FORMAT,
        "model": to_json(network.config),
        "task_order": list(network.config.tasks),
        "tasks": {name: task.to_dict() for name, task in model.tasks.items()},
        "image_size": model.image_size,
        "crop_size": model.crop_size,
        "data": to_json(data),
        "step": step,
    }
    final = run / f"{kind}-{step:06d}"
    with replacing_folder(final) as folder:
        write_weights(model.network.state_dict(), folder / WEIGHTS)
        write_text(folder / CONFIG, json.dumps(config, indent=1) + "\n")
        if training is not None:
            write_training(training, folder / TRAINING)
    others = [folder for folder in folders(run, kind) if folder != final]
    for old in others[: len(others) - (keep - 1)]:
        remove_folder(old)
    return final


def pack_model(
    source: str | Path,
    out: str | Path,
    *,
    bits: Bits = 8,
    max_side: int | None = None,
    checkpoint: str = "last",
) -> Path:
    """Write a model folder whose weights take fewer bits, to be shipped.

    It is loaded, scored and predicted with like any other; see `pack` for what changes.

    Args:
        source: as of `load`.
        out: the folder to write; it must not be there yet.
        bits: 8 or 16 for each weight of a matrix.
        max_side: what images with a longer side are shrunk to in prediction if nothing is said;
            None = the longest side of the training images.
        checkpoint: which one of a run directory.

    Raises:
        PammError: no such model, or the folder is there already.
    """
    folder, final = find(source, checkpoint=checkpoint), Path(out)
    if final.exists():
        raise PammError(f"{str(final)!r} is there already; choose another --out")
    description = read_description(folder)
    if description.format != FORMAT:
        raise PammError(f"{str(folder)!r} has format {description.format}: save it again first")
    with replacing_folder(final) as temporary:
        write_weights(pack(unpack(read_weights(folder / WEIGHTS)), bits), temporary / WEIGHTS)
        config = json.loads((folder / CONFIG).read_text("utf-8"))
        if max_side is not None:
            size = description.image_size or (1, 1)
            config["image_size"] = [max(1, round(n * max_side / max(size))) for n in size]
        write_text(temporary / CONFIG, json.dumps(config, indent=1) + "\n")
    return final


def read_description(folder: Path) -> Description:
    """What the config.json of a checkpoint folder says.

    Raises:
        PammError: it is missing or not JSON, of another format, or does not fit together.
    """
    path = folder / CONFIG
    saved, file = read_json(path), repr(str(path))
    if not isinstance(saved, dict) or not {"model", "tasks"} <= set(saved):
        raise PammError(f"{file} does not describe a PAMM model")
    for part in ("model", "tasks"):
        if not isinstance(saved[part], dict):
            raise PammError(f"{file}: {part}: want an object, {{...}}")
    found = from_json(int, saved.get("format"), where=f"{file}: format")
    if found not in (1, FORMAT):
        raise PammError(
            f"{file} has format {found}, this version of pamm reads 1 and {FORMAT}: update pamm, "
            "or save the model again"
        )
    if found == 1:
        saved["model"] = format_1.new_config(saved["model"])
    model = from_json(ModelConfig, {**saved["model"], "pretrained": False}, where=f"{file}: model")
    description = Description(
        format=found,
        model=replace(model, tasks=in_order(model.tasks, saved, file)),
        tasks={
            name: task_from_dict(task, where=f"{file}: tasks.{name}")
            for name, task in saved["tasks"].items()
        },
        image_size=read_size(saved.get("image_size"), where=f"{file}: image_size"),
        crop_size=read_size(saved.get("crop_size"), where=f"{file}: crop_size"),
        data=saved.get("data"),
        step=from_json(int, saved.get("step", 0), where=f"{file}: step"),
    )
    channels = {name: task.channels for name, task in description.tasks.items()}
    if not channels.items() <= description.model.tasks.items():
        raise PammError(
            f"{file} contradicts itself: the model's tasks are {description.model.tasks}, those "
            f"described are {channels}"
        )
    for name, task in description.tasks.items():
        if task.name != name:
            raise PammError(f"{file}: tasks.{name}.name: got {task.name!r}, want {name!r}")
    return description


def in_order(tasks: Mapping[str, int], saved: Mapping[str, Any], file: str) -> dict[str, int]:
    """The tasks of a model in the order of its weights, which are stacked by task.

    A config.json says it in a list, as programs may sort the keys of its objects; an older one
    does not.

    Raises:
        PammError: the list does not name these tasks; or there is none, and the two objects that
            name them are not in one order.
    """
    listed = saved.get("task_order", list(tasks))
    order = from_json(tuple[str, ...], listed, where=f"{file}: task_order")
    if sorted(order) != sorted(tasks):
        raise PammError(
            f"{file} contradicts itself: task_order is {', '.join(order)}, the model's tasks are "
            f"{', '.join(tasks)}"
        )
    described = list(saved["tasks"])
    if "task_order" not in saved and set(described) == set(order) and described != list(order):
        raise PammError(
            f"{file} contradicts itself: the weights are stacked in the order of model.tasks, "
            f"{', '.join(order)}, but the tasks described are in another one, "
            f"{', '.join(described)}: put them back in the order in which they were saved"
        )
    return {name: tasks[name] for name in order}


def check_labels(trained: Mapping[str, Task], data: Mapping[str, Task], *, where: str) -> None:
    """Raise unless a data set labels the tasks of a trained model as they were in its training.

    Args:
        trained: the tasks of the model.
        data: these tasks as the data set declares them now.
        where: begins the message, such as "'runs/demo' was trained".
    """
    for name, old in trained.items():
        if (difference := label_difference(old, data[name])) is None:
            continue
        was, now = difference
        raise PammError(
            f"task {name!r}: {where} with {was}, the data set has {now}; use the data set as it was"
        )


def load_weights(model: Model, folder: Path, format: int = FORMAT) -> None:
    """Read the weights of a checkpoint folder, of a format, into a model of its configuration.

    Raises:
        PammError: the file is missing, damaged, or of another model.
    """
    path = folder / WEIGHTS
    tensors = unpack(read_weights(path))
    if format == 1:
        tensors = format_1.new_names(tensors)
    check_tensors(tensors, model.state_dict(), path)
    model.load_state_dict(tensors)


def _from_hub(repository: str) -> Path:
    from huggingface_hub import snapshot_download

    with one_try() as problem:
        try:
            return Path(snapshot_download(repository, allow_patterns=[WEIGHTS, CONFIG]))
        except Exception as error:  # offline, unknown repository, no access: the text says which
            why = problem or str(error).strip().splitlines()[0]
            raise PammError(
                f"no folder {repository!r} here, and the hub gave no such model ({why})"
            ) from None


def _is_there(path: Path) -> bool:
    """Whether a file is there; that it may not be looked at is no answer."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last one of a zero byte
        return False
    except OSError as error:
        raise PammError(f"{str(path)!r} cannot be read: {reason(error)}") from None
    return True
