"""Which image comes when: each once an epoch, data sets by their weights, from any place on."""

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamm.data.loading import StreamSampler
from pamm.data.order import Draw, Epochs, Mixed, shares

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=4)


@given(total=st.integers(4, 500), weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=4))
def test_shares_add_up_and_are_near_the_weights(total, weights):
    found = shares(total, weights)
    assert sum(found) == total
    assert min(found) >= 1
    exact = [total * w / sum(weights) for w in weights]
    if min(exact) >= 1:
        assert all(abs(f - e) <= len(weights) for f, e in zip(found, exact, strict=True))


@given(lengths=LENGTHS, seed=st.integers(0, 2**33), data=st.data())
def test_a_place_is_drawn_the_same_whatever_was_drawn_before(lengths, seed, data):
    weights = data.draw(st.lists(st.floats(0.1, 10), min_size=len(lengths), max_size=len(lengths)))
    whole = Mixed(lengths, weights, seed)
    stream = [whole(place) for place in range(3 * sum(lengths))]
    for place in data.draw(st.lists(st.integers(0, len(stream) - 1), min_size=1, max_size=5)):
        assert Mixed(lengths, weights, seed)(place) == stream[place]
        assert whole(place) == stream[place]


def test_each_data_set_goes_through_its_own_images():
    """Twice as often the second: in the places of 10 images it comes 7 times (rounded)."""
    lengths, places = [6, 4], 400
    order = Mixed(lengths, [1, 2], seed=5)
    draws = [order(place) for place in range(places)]
    of = [[d for d in draws if d.index < 6], [d for d in draws if d.index >= 6]]
    assert [len(part) for part in of] == [120, 280]
    for part, length in zip(of, lengths, strict=True):
        for epoch in range(len(part) // length):
            own = part[epoch * length : (epoch + 1) * length]
            assert {d.epoch for d in own} == {epoch}
            assert len({d.index for d in own}) == length
    orders = [[d.index for d in of[0][i : i + 6]] for i in (0, 6, 12)]
    assert len({tuple(o) for o in orders}) > 1


def test_without_a_preference_each_image_comes_as_often_as_any():
    order = Mixed([30, 10, 2], [30, 10, 2], seed=0)
    counts = Counter(order(place).index for place in range(42 * 5))
    assert set(counts.values()) == {5}
    members = [order(place).index < 30 for place in range(42)]
    assert members != sorted(members, reverse=True)  # in turn, not one after the other


def test_one_data_set_alone_is_as_by_itself_but_for_the_order():
    order = Mixed([7], [3.0], seed=2)
    for epoch in range(3):
        draws = [order(7 * epoch + i) for i in range(7)]
        assert sorted(d.index for d in draws) == list(range(7))
        assert {d.epoch for d in draws} == {epoch}


def test_processes_share_the_steps_of_a_mixture():
    order = Mixed([5, 9], [1, 1], seed=1)
    one = islice(StreamSampler(order, 6), 9)
    parts = [
        islice(StreamSampler(Mixed([5, 9], [1, 1], seed=1), 2, rank=r, world=3), 9)
        for r in range(3)
    ]
    for batch, *shares_of in zip(one, *parts, strict=True):
        assert batch == [draw for part in shares_of for draw in part]


def test_epochs_by_hand():
    order = Epochs(3, seed=4)
    assert sorted(order(place).index for place in (3, 4, 5)) == [0, 1, 2]
    assert order(4) == Draw(4, 1, order(4).index)
    with pytest.raises(ZeroDivisionError):
        Epochs(0, seed=0)(0)
