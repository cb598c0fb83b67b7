"""Which image comes at which place of a training, without end: functions of (seed, place)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

_EPOCH_STREAM, _ITEM_STREAM, _MEMBER_STREAM, _TURN_STREAM = range(4)  # generators that never meet


@dataclass(frozen=True, slots=True)
class Draw:
    """One use of one image: which one, and what its augmentation is made from."""

    seed: int
    epoch: int
    index: int


def draw_generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The generator of one image in one epoch: a pure function of (seed, epoch, index)."""
    sequence = np.random.SeedSequence(seed, spawn_key=(_ITEM_STREAM, epoch, index))
    return np.random.default_rng(sequence)


def epoch_generator(seed: int, epoch: int) -> np.random.Generator:
    """The generator of the order of one epoch: a pure function of (seed, epoch)."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_EPOCH_STREAM, epoch)))


class Order(Protocol):
    """What image is drawn at a place, 0, 1, ... of the stream of a training."""

    def __call__(self, place: int) -> Draw: ...


class Epochs:
    """All images of a data set, then all of them again, each time in another order.

    Args:
        length: number of images, at least 1.
        seed: of the orders and of the augmentations.
    """

    def __init__(self, length: int, seed: int) -> None:
        self.length, self.seed = length, seed
        self._epoch, self._order = -1, [0]

    def __call__(self, place: int) -> Draw:
        epoch, offset = divmod(place, self.length)
        if epoch != self._epoch:
            generator = epoch_generator(self.seed, epoch)
            self._epoch, self._order = epoch, generator.permutation(self.length).tolist()
        return Draw(self.seed, epoch, self._order[offset])


class Mixed:
    """Several data sets in turn, each as often as its weight says.

    Within a round, which has as many places as there are images, each data set has its share of the
    places, in an order of the round's own. Each goes through its own images epoch by epoch: none is
    left out, whatever the weights.

    Args:
        lengths: numbers of images, at least 1 each.
        weights: how often each is drawn, in any unit, above 0.
        seed: of all orders and augmentations.
    """

    def __init__(self, lengths: Sequence[int], weights: Sequence[float], seed: int) -> None:
        self.lengths, self.seed = list(lengths), seed
        self.firsts = [sum(self.lengths[:i]) for i in range(len(self.lengths))]
        self.places = shares(sum(self.lengths), weights)
        self._round = -1
        self._members: list[int] = []
        self._turns: list[int] = []
        self._orders: dict[tuple[int, int], list[int]] = {}

    def __call__(self, place: int) -> Draw:
        number, offset = divmod(place, sum(self.places))
        if number != self._round:
            self._begin(number)
        member = self._members[offset]
        epoch, at = divmod(number * self.places[member] + self._turns[offset], self.lengths[member])
        return Draw(self.seed, epoch, self.firsts[member] + self._order(member, epoch)[at])

    def _begin(self, number: int) -> None:
        members = np.repeat(np.arange(len(self.places)), self.places)
        sequence = np.random.SeedSequence(self.seed, spawn_key=(_TURN_STREAM, number))
        members = np.random.default_rng(sequence).permutation(members)
        turns = np.zeros_like(members)
        for member in range(len(self.places)):
            mine = members == member
            turns[mine] = np.arange(mine.sum())
        self._round = number
        self._members, self._turns = members.tolist(), turns.tolist()

    def _order(self, member: int, epoch: int) -> list[int]:
        """A data set's images in the order of one of its epochs."""
        if (member, epoch) not in self._orders:
            self._orders = {key: o for key, o in self._orders.items() if key[0] != member}
            key = (_MEMBER_STREAM, member, epoch)
            generator = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
            self._orders[member, epoch] = generator.permutation(self.lengths[member]).tolist()
        return self._orders[member, epoch]


def shares(total: int, weights: Sequence[float]) -> list[int]:
    """A number divided by weights into whole numbers, at least 1 each; rests go to the largest.

    >>> shares(10, [1, 1, 2]), shares(3, [1, 1000, 1])
    ([3, 2, 5], [1, 1, 1])
    """
    exact = [total * weight / sum(weights) for weight in weights]
    found = [max(1, int(share)) for share in exact]
    order = sorted(range(len(weights)), key=lambda i: int(exact[i]) - exact[i])
    for i in (i for _ in range(len(weights)) for i in order):
        if sum(found) < total:
            found[i] += 1
        elif sum(found) > total and found[i] > 1 and found[i] == max(found):
            found[i] -= 1
    return found
