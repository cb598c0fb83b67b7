"""Runs beside each other and beside the paper: the table with Delta_g, as text, data and plot."""

from pamm.compare.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
