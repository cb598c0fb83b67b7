"""Where the weights of a backbone come from: packages of pip, files, the hub; what was taken."""

from pamm.model.weights.loaded import NO_CLASSIFIER, LoadedWeights, parts_of
from pamm.model.weights.packages import PACKAGES, PackagedWeights
from pamm.model.weights.sources import load_weights

__all__ = [
    "NO_CLASSIFIER",
    "PACKAGES",
    "LoadedWeights",
    "PackagedWeights",
    "load_weights",
    "parts_of",
]
