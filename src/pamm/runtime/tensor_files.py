"""Files of tensors: written whole or not at all, read without running code, checked against what
is wanted; an error says why in the system's own words, which the libraries below swallow.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save, save_file
from torch import Tensor

from pamm.errors import PammError
from pamm.runtime.files import reason, replacing


def write_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write a state dict as safetensors.

    Raises:
        OSError: the file cannot be written, for example as the disk is full.
    """
    tensors = {key: tensor.detach().contiguous() for key, tensor in weights.items()}
    with replacing(path) as temporary:
        if not _is_text(temporary):
            temporary.write_bytes(save(tensors))
            return
        try:
            save_file(tensors, temporary)
        except SafetensorError as error:  # which has the number of the system's error in its text
            if number := re.search(r"os error (\d+)|code: (\d+)", str(error)):
                code = int(number[1] or number[2])
                raise OSError(code, os.strerror(code)) from None
            raise


def write_training(state: dict, path: Path) -> None:
    """Write what a resumed training needs.

    Raises:
        OSError: the file cannot be written, for example as the disk is full.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        noting: Any = _Noting(file)
        try:
            torch.save(state, noting)
        except RuntimeError:  # PyTorch's, of a position in the file: the cause is lost on it
            raise noting.error or RuntimeError(f"{str(path)!r} was not written whole") from None


class _Noting:
    """A file that remembers why it could not be written to."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return int(self._file.write(content))
        except OSError as error:
            self.error = self.error or error
            raise

    def flush(self) -> None:
        self._file.flush()


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        PammError: it is missing, unreadable or damaged.
    """
    try:
        with path.open("rb") as file:  # safetensors calls every file missing that it cannot open
            return load_file(path) if _is_text(path) else load(file.read())
    except FileNotFoundError:
        raise PammError(f"{str(path.parent)!r} has no {path.name}") from None
    except OSError as error:
        raise PammError(f"{str(path)!r} cannot be read: {reason(error)}") from None
    except Exception as error:  # safetensors has an exception of its own for every damage
        raise PammError(f"{str(path)!r} is not a whole safetensors file: {error}") from None


def _is_text(path: Path) -> bool:
    """Whether safetensors takes a path: not one of bytes that are no UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in str(path))


def check_tensors(given: Mapping[str, Any], wanted: Mapping[str, Tensor], path: Path) -> None:
    """Raise unless the names, shapes and kinds of numbers of a file's tensors are those wanted."""
    wrong = sorted(
        str(key)
        for key in wanted.keys() | given.keys()
        if key not in wanted or key not in given or not alike(given[key], wanted[key])
    )
    if wrong:
        raise PammError(
            f"{str(path)!r} holds the weights of another model: {len(wrong)} of {len(wanted)} "
            f"tensors are missing, unknown or of another shape, such as {wrong[0]!r}"
        )


def alike(given: Any, wanted: Tensor) -> bool:
    """Whether a value read from a file can stand for a tensor; a float of another size can."""
    return (
        type(given) is Tensor
        and given.layout == torch.strided
        and given.device.type == "cpu"
        and given.shape == wanted.shape
        and given.is_floating_point() == wanted.is_floating_point()
        and not given.is_complex()
        and not given.is_quantized
    )


def read_training(path: Path) -> dict[str, Any]:
    """What `write_training` got: tensors, numbers and strings; no code is run.

    Raises:
        PammError: it is missing or damaged.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise PammError(
            f"{str(path.parent)!r} has no {path.name}, so this training cannot be resumed"
        ) from None
    except OSError as error:
        raise PammError(f"{str(path)!r} cannot be read: {reason(error)}") from None
    with file:
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception:  # pickle's, the archive's and PyTorch's, with advice that is none here
            raise damaged_training(path, "it is not a whole file of tensors") from None
    if not isinstance(state, dict):
        raise damaged_training(path, "it holds no training state")
    return state


def damaged_training(path: Path, why: str) -> PammError:
    """The error of a training.pt that no training can go on from."""
    return PammError(
        f"{str(path)!r} is damaged: {why}. Delete the folder {str(path.parent)!r} to go on from an "
        "older checkpoint, or from the start; the model in it can be evaluated still"
    )
