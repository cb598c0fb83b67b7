"""Image to logits: the network, part by part in the order of the paper's figure 2."""

from pamm.model.pamm.network import PAMM, ModelConfig

__all__ = ["PAMM", "ModelConfig"]
