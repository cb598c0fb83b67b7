"""What labels show together; the rooms' normals stand for those of real scenes."""

import itertools

import numpy as np
import pytest
import torch

from pamm.data import Synthetic
from pamm.data.evidence import class_list, classes_of, doubtful_axes, evidence, one_sided
from pamm.tasks import Normals, Saliency, Semseg

NO_VALUES = np.zeros((1, 1))
AS_THEY_ARE = ((0, 1, 2), (1, 1, 1))
LEFT_IS_RIGHT = ((0, 1, 2), (-1, 1, 1))  # looks like another scene
STORED = [
    (order, signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


@pytest.fixture(scope="module")
def normals(rooms: Synthetic) -> list[torch.Tensor]:
    return [rooms[i]["targets"]["normals"] for i in range(len(rooms))]


@pytest.mark.parametrize(("order", "signs"), STORED)
def test_axes_of_another_order_or_sign_are_noticed(normals, order, signs):
    factors = torch.tensor(signs, dtype=torch.float32)[:, None, None]
    stored = [target[list(order)] * factors for target in normals]
    seen = [evidence("file", "train", NO_VALUES, target, Normals()) for target in stored]
    silent = (order, signs) in (AS_THEY_ARE, LEFT_IS_RIGHT)
    assert (doubtful_axes(seen) is None) == silent


def test_normals_without_a_label_say_nothing_of_axes():
    target = Normals().missing(9, 9)
    assert doubtful_axes([evidence("file", "train", NO_VALUES, target, Normals())]) is None
    assert doubtful_axes([]) is None


def test_masks_of_one_side():
    task, masks = Saliency(), torch.tensor([[0, 0], [1, 1], [0, 1], [255, 1], [255, 255]])
    seen = [
        evidence(f"{i}", "train", NO_VALUES, mask.to(torch.uint8)[None, None], task)
        for i, mask in enumerate(masks)
    ]
    assert one_sided(seen) == {"yes": ["0"], "no": ["1", "3"]}


def test_classes_are_counted_without_what_is_not_labelled():
    task = Semseg(channels=3, class_names=("a", "b", "c"))
    targets = torch.tensor([[[0, 2, 2]], [[255, 255, 255]]])
    seen = [evidence("", "train", t.numpy(), t, task) for t in targets]
    assert classes_of(seen, task).tolist() == [1, 0, 2]
    assert [one.labelled for one in seen] == [3, 0]
    assert seen[1].numbers == {255}
    assert class_list([0, 2], task) == "a, c"
    assert class_list(range(20), Semseg(channels=20)) == "0, 1, 2, 3, 4, 5, 6, 7, ..."
