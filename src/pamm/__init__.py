"""PAMM: many dense predictions of one image from one network.

>>> import pamm
>>> model = pamm.load("runs/demo")  # doctest: +SKIP
>>> maps = pamm.predict(model, "photo.jpg")  # doctest: +SKIP

The names below are loaded when they are first used, so that importing the package costs nothing
and never loads the training code.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pamm.checkpoint import load
    from pamm.errors import PammError
    from pamm.model import PAMM, PAMMConfig
    from pamm.model import PAMMConfig as ModelConfig
    from pamm.prediction import predict

__version__ = "0.1.0"

_HOMES = {
    "PAMM": ("pamm.model", "PAMM"),
    "PAMMConfig": ("pamm.model", "PAMMConfig"),
    "ModelConfig": ("pamm.model", "PAMMConfig"),  # of before there were other models
    "PammError": ("pamm.errors", "PammError"),
    "load": ("pamm.checkpoint", "load"),
    "predict": ("pamm.prediction", "predict"),
}
__all__ = ["PAMM", "ModelConfig", "PAMMConfig", "PammError", "load", "predict"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pamm' has no attribute {name!r}")
    home, own = _HOMES[name]
    return getattr(import_module(home), own)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
