"""Filling a timm model from a file or from a package; nothing may be missing."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import timm
from torch import Tensor, nn

from pamm.errors import PammError
from pamm.model.weights.loaded import NO_CLASSIFIER, LoadedWeights, parts_of
from pamm.model.weights.packages import PREFIX, packaged, read_package
from pamm.runtime.text import first_line

NPZ_HEADS = {"head", "pre_logits"}
"""The parts of the original ViT's release that are not of a backbone."""
WEIGHT_FILES = (".safetensors", ".pth", ".pt", ".bin", ".npz")


def load_weights(net: nn.Module, name: str, source: str) -> LoadedWeights:
    """Fill a timm model; what it has no place for, such as a classifier, is left out.

    Args:
        net: the model, without its classifier.
        name: what it is called in timm.
        source: `package:NAME`, or the path of a file.

    Raises:
        PammError: no such package or file, or not the weights of this model.
    """
    if source.startswith(PREFIX):
        return _load_package(net, name, source.removeprefix(PREFIX))
    return _load_file(net, name, Path(source))


def _load_package(net: nn.Module, name: str, package: str) -> LoadedWeights:
    weights = packaged(package)
    if name.split(".")[0] != weights.backbone:
        raise PammError(
            f"pretrained: package {package!r} holds weights of {weights.backbone!r}, the backbone "
            f"is {name!r}: set --model.backbone {weights.backbone}, or other weights, or "
            "--model.pretrained False"
        )
    told = f"package {package} {weights.version} ({weights.source}; {weights.licence})"
    return _fill(net, name, read_package(package), told)


def _load_file(net: nn.Module, name: str, path: Path) -> LoadedWeights:
    if not path.is_file():
        raise PammError(
            f"pretrained: no file {str(path)!r}; want True, False, a weight file or {PREFIX}NAME "
            "(see `pamm backbones`)"
        )
    if path.suffix not in WEIGHT_FILES:
        raise PammError(f"pretrained: {path.name!r} is not one of {', '.join(WEIGHT_FILES)}")
    file = repr(str(path))
    try:
        if path.suffix == ".npz":
            read: Any = net.load_pretrained
            read(str(path))  # timm looks for each array that the model wants
            with np.load(path) as arrays:
                heads = {name.split("/")[0] for name in arrays} & NPZ_HEADS
            left = ((", ".join(sorted(heads)), NO_CLASSIFIER),) if heads else ()
            return LoadedWeights(source=file, tensors=frozenset(net.state_dict()), left_out=left)
        state = timm.models.load_state_dict(str(path))
        # Each family of timm knows the older names and sizes of its own weights.
        adapt = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
        return _fill(net, name, adapt(state, net) if adapt else state, file)
    except PammError:
        raise
    except Exception as error:  # unpickling, safetensors and the adapters fail each in their way
        raise PammError(
            f"pretrained: {file} holds no weights of {name!r} ({first_line(error)})"
        ) from error


def _fill(net: nn.Module, name: str, state: Mapping[str, Tensor], told: str) -> LoadedWeights:
    missing, unknown = net.load_state_dict(state, strict=False)
    if missing:
        raise PammError(
            f"pretrained: {told} holds no weights of {name!r}: {len(missing)} of "
            f"{len(net.state_dict())} tensors are missing, such as {missing[0]!r}"
            + ("; it is a whole model: --train.init starts from one" if is_whole(state) else "")
        )
    why = ((parts_of(unknown), NO_CLASSIFIER),) if unknown else ()
    return LoadedWeights(source=told, tensors=frozenset(net.state_dict()), left_out=why)


def is_whole(state: Mapping[str, Tensor]) -> bool:
    """Whether these are the tensors of one of this package's models, backbone and decoder."""
    return any(name.startswith("backbone.net.") for name in state)
