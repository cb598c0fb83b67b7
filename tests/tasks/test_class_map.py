"""Semseg and human parts: losses against independent sums, decoding, colours, legends."""

import numpy as np
import torch
import torch.nn.functional as F

from pamm.tasks import HumanParts, Semseg
from pamm.tasks.colours import BACKGROUND, INVALID, palette


def test_loss_equals_torchs_mean_cross_entropy_and_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 4, 3, generator=generator, dtype=torch.float64)
    target = torch.randint(5, (2, 4, 3), generator=generator)
    target[0, :2] = 255
    loss = Semseg(channels=5).loss(logits, target)
    torch.testing.assert_close(loss, F.cross_entropy(logits, target, ignore_index=255))

    total, count = 0.0, 0
    for b, y, x in np.ndindex(2, 4, 3):
        if target[b, y, x] != 255:
            z = logits[b, :, y, x].numpy()
            total += np.log(np.exp(z).sum()) - z[target[b, y, x]]
            count += 1
    np.testing.assert_allclose(loss.item(), total / count, rtol=1e-12)


def test_any_integer_type_is_a_target() -> None:
    logits, target = torch.randn(1, 3, 2, 2), torch.tensor([[[0, 1], [2, 255]]])
    task = Semseg(channels=3)
    assert torch.equal(task.loss(logits, target.byte()), task.loss(logits, target))


def test_decode_is_the_most_likely_class() -> None:
    classes = torch.tensor([[[0, 3], [2, 1]]])
    logits = F.one_hot(classes, 4).permute(0, 3, 1, 2).float()
    decoded = Semseg(channels=4).decode(logits)
    assert decoded.dtype == torch.int64
    assert torch.equal(decoded, classes)


def test_arrays_are_small_integers() -> None:
    assert Semseg(channels=40).to_array(torch.tensor([[39, 255]])).dtype == np.uint8
    many = Semseg(channels=1000, ignore_index=-1).to_array(torch.tensor([[999, -1]]))
    assert many.dtype == np.int32
    assert many.tolist() == [[999, -1]]


def test_constant_prediction_is_the_most_frequent_class_at_each_place() -> None:
    targets = [
        torch.tensor([[0, 2, 255]]),
        torch.tensor([[1, 2, 255]]),
        torch.tensor([[1, 255, 1]]),
    ]
    assert Semseg(channels=3).constant_prediction(targets).tolist() == [[1, 2, 1]]


def test_colours_and_legend() -> None:
    names = ("wall", "floor", "bed")
    task = Semseg(channels=3, class_names=names)
    array = np.array([[0, 2], [255, 0]], dtype=np.uint8)
    picture = task.colourise(array)
    colours = palette(3)
    assert picture.tolist() == [
        [colours[0].tolist(), colours[2].tolist()],
        [list(INVALID), colours[0].tolist()],
    ]
    assert task.legend(array) == {"wall": tuple(colours[0]), "bed": tuple(colours[2])}
    assert Semseg(channels=3).legend(array) == {}


def test_background_is_dark_wherever_it_is_in_the_list() -> None:
    parts = HumanParts()
    picture = parts.colourise(np.arange(7, dtype=np.uint8)[None])
    assert picture[0, 0].tolist() == list(BACKGROUND)
    assert picture[0, 1:].tolist() == palette(6).tolist()
    assert len({tuple(c) for c in picture[0].tolist()}) == 7
    second = Semseg(channels=2, class_names=("thing", "background"))
    assert second.colourise(np.array([[1, 0]]))[0].tolist() == [
        list(BACKGROUND),
        palette(1)[0].tolist(),
    ]


def test_a_named_task_is_captioned_by_its_name() -> None:
    assert Semseg(channels=2).caption() == "semantic segmentation"
    assert Semseg(channels=2, name="floor_plan").caption() == "floor plan"
