"""Image to logits: the models, by name.

Each is a file or folder of its own on `base.Model`; PAMM's folder follows the paper's figure 2.
"""

from pamm.errors import PammError, unknown
from pamm.model.base import Model, ModelConfig, Outputs
from pamm.model.baseline import Baseline, BaselineConfig
from pamm.model.padnet import PADNet, PADNetConfig
from pamm.model.pamm import PAMM, PAMMConfig

__all__ = [
    "MODELS",
    "PAMM",
    "Baseline",
    "BaselineConfig",
    "Model",
    "ModelConfig",
    "Outputs",
    "PADNet",
    "PADNetConfig",
    "PAMMConfig",
    "build_model",
    "model_type",
]

MODELS: dict[str, type[Model]] = {
    "pamm": PAMM,
    "baseline": Baseline,
    "padnet": PADNet,
}


def model_type(name: str) -> type[Model]:
    """The model of this name.

    Raises:
        PammError: an unknown name; the message lists the known ones.
    """
    if not isinstance(name, str):
        raise PammError(f"name: got {name!r}, want one of {', '.join(MODELS)}")
    if name not in MODELS:
        raise PammError(unknown("model", name, MODELS))
    return MODELS[name]


def build_model(config: ModelConfig) -> Model:
    """The model that a config is of, with new weights but for the backbone's, if pretrained.

    Raises:
        TypeError: it is not the config of a model.
    """
    for model in MODELS.values():
        if model.Config is type(config):
            return model(config)
    known = ", ".join(model.Config.__name__ for model in MODELS.values())
    raise TypeError(f"config: got {type(config).__name__}, want one of {known}")
