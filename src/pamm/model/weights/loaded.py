"""What a network took of weights from somewhere else, and what it left, and why."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pamm.runtime.text import counted

NO_CLASSIFIER = "no part of a backbone"
"""Why a classifier is left out."""


@dataclass(frozen=True, kw_only=True)
class LoadedWeights:
    """The tensors of a backbone that are not from random numbers, and those left behind."""

    source: str
    """Where they are from, in words."""
    tensors: frozenset[str]
    """The names of those taken, all that the timm model has."""
    left_out: tuple[tuple[str, str], ...] = ()
    """(names of parts, why) of those that were there and are not used."""

    def within(self, kept: Iterable[str]) -> "LoadedWeights":
        """The same after the timm model was cut down to the tensors `kept`."""
        taken = self.tensors & set(kept)
        behind = parts_of(self.tensors - taken)
        why = ((behind, "after the last stage map"),) if behind else ()
        return replace(self, tensors=taken, left_out=(*self.left_out, *why))

    def text(self) -> str:
        """What was taken and what was not, in a line."""
        left = "; ".join(f"{parts} ({why})" for parts, why in self.left_out)
        return f"{counted(len(self.tensors), 'tensor')} from {self.source}" + (
            f"; left out: {left}" if left else ""
        )


def parts_of(names: Iterable[str]) -> str:
    """The parts of a network that tensors are of, by the first words of their names.

    >>> parts_of(["fc.bias", "fc.weight", "blocks.0.bn.weight", "blocks.6.bn.weight", "mask"])
    'blocks.0, blocks.6, fc, mask'
    """
    words = {tuple(name.split(".")[:2]) for name in names}
    parts = {".".join(w) if w[-1].isdigit() else w[0] for w in words}
    return ", ".join(sorted(parts))
