"""PAMM: the parts of the paper's figures 2 to 4; `network.py` puts them together."""

from pamm.model.pamm.network import PAMM, PAMMConfig

__all__ = ["PAMM", "PAMMConfig"]
