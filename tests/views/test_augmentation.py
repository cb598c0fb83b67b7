"""Several views of an image: exact where there is one, right averages where there are more."""

import math

import pytest
import torch
from torch import Tensor, nn

from pamm.errors import PammError
from pamm.model import PAMM, PAMMConfig
from pamm.tasks import Boundary, Depth, Normals, Saliency, Semseg, Task
from pamm.views.augmentation import TestTimeAugmentation, augmented_logits, resize

TASKS: dict[str, Task] = {
    "semseg": Semseg(channels=3),
    "saliency": Saliency(),
    "normals": Normals(),
    "boundary": Boundary(),
    "depth": Depth(),
}


class Mirrors(nn.Module):
    """What it says of a mirrored image is what it says of the image, mirrored."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        red, green, blue = image.split(1, dim=1)
        slope = red.roll(1, -1) - red.roll(-1, -1)  # to the left: changes sign in a mirror
        return {
            "semseg": image,
            "saliency": torch.cat([red, green * blue], dim=1),
            "normals": torch.cat([slope, green, blue], dim=1),
            "boundary": slope.abs(),
            "depth": red + 3,
        }


class Says(nn.Module):
    """Answers each call with the next of given logits, the same at every pixel."""

    def __init__(self, task: str, *answers: tuple[float, ...]) -> None:
        super().__init__()
        self.task, self.answers = task, iter(answers)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        answer = torch.tensor(next(self.answers)).view(1, -1, 1, 1)
        return {self.task: answer.expand(len(image), -1, *image.shape[-2:])}


def images(height: int = 12, width: int = 18) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(4))


def said(task: str, views: TestTimeAugmentation, *answers: tuple[float, ...]) -> list[float]:
    """The decoded mean at one pixel."""
    model, tasks = Says(task, *answers), {task: TASKS[task]}
    logits = augmented_logits(model, images(8, 8), tasks, views)[task]
    assert next(model.answers, None) is None, "fewer views than expected"
    return TASKS[task].decode(logits)[0, ..., 3, 4].reshape(-1).tolist()


def test_one_view_is_bit_equal_to_the_network():
    tasks = {name: task.channels for name, task in TASKS.items()}
    config = PAMMConfig(tasks=tasks, backbone="test_vit", d_model=16, d_state=2)
    model, image = PAMM(config).eval(), images(20, 27)
    with torch.no_grad():
        plain = model(image)
        viewed = augmented_logits(
            model, image, TASKS, TestTimeAugmentation(scales=(1,), flip=False)
        )
    for name in TASKS:
        assert torch.equal(viewed[name], plain[name])


def test_a_mirror_shows_an_equivariant_network_nothing_new():
    model, image = Mirrors(), images()
    plain, mirrored = (
        model(image),
        augmented_logits(model, image, TASKS, TestTimeAugmentation(flip=True)),
    )
    for name, task in TASKS.items():
        torch.testing.assert_close(task.decode(mirrored[name]), task.decode(plain[name]))


@pytest.mark.parametrize("scales", [(0.5, 1.0, 1.5), (0.73,), (2.0,)])
def test_scaling_a_uniform_image_changes_depth_alone(scales):
    """The network sees a uniform image at any size alike; only depth is then another one."""
    image = torch.tensor([0.3, -0.2, 0.9]).view(1, 3, 1, 1).expand(1, 3, 30, 40)
    model = Mirrors()
    plain = model(image)
    viewed = augmented_logits(model, image, TASKS, TestTimeAugmentation(scales=scales, flip=True))
    for name, task in TASKS.items():
        expected = task.decode(plain[name])
        if name == "depth":
            factors = [math.sqrt(round(30 * s) * round(40 * s) / 1200) for s in scales]
            expected = expected * sum(factors) / len(factors)
        torch.testing.assert_close(task.decode(viewed[name]), expected)


def test_averages_by_hand():
    three, both = TestTimeAugmentation(scales=(0.5, 1, 2)), TestTimeAugmentation(flip=True)
    # Metres: what is drawn twice as large looks half as far away.
    assert said("depth", three, (4.0,), (2.5,), (1.5,)) == pytest.approx([7.5 / 3])
    assert said("depth", three, (4.0,), (-9.0,), (1.5,)) == pytest.approx([5 / 3])  # at least 0 m
    # Probabilities, not logits: 0.9 and 0.2.
    logits = [(math.log(p / (1 - p)),) for p in (0.9, 0.2)]
    assert said("boundary", both, *logits) == pytest.approx([0.55])
    assert said("saliency", both, (0.0, logits[0][0]), (0.0, logits[1][0])) == pytest.approx([0.55])
    # Classes: two of three views are sure of the second; a mean of logits would be 20 : 16.
    assert said("semseg", three, (20.0, 0.0, 0.0), (0.0, 8.0, 0.0), (0.0, 8.0, 0.0)) == [1]
    # Unit vectors: lengths do not count, and x of the mirrored view changes its sign.
    r = math.sqrt(0.5)
    assert said("normals", both, (9.0, 0.0, 0.0), (0.0, 2.0, 0.0)) == pytest.approx([r, r, 0])
    assert said("normals", both, (9.0, 0.0, 0.0), (-2.0, 0.0, 0.0)) == pytest.approx([1, 0, 0])


def test_the_sizes_that_the_network_sees():
    seen = []

    class Watches(Says):
        def forward(self, image: Tensor) -> dict[str, Tensor]:
            seen.append((*image.shape[-2:], image[0, 0, 0, 0].item()))
            return super().forward(image)

    image = torch.arange(40.0).expand(1, 3, 30, 40)
    model = Watches("depth", *[(1.0,)] * 4)
    logits = augmented_logits(
        model, image, {"depth": Depth()}, TestTimeAugmentation(scales=(1, 1.5), flip=True)
    )
    assert [s[:2] for s in seen] == [(30, 40), (30, 40), (45, 60), (45, 60)]
    assert [s[2] for s in seen] == [0.0, 39.0, 0.0, 39.0]
    assert logits["depth"].shape == (1, 1, 30, 40)


def test_resizing_takes_the_mean_of_what_a_pixel_covers():
    small = resize(torch.arange(16.0).view(1, 1, 4, 4), (1, 1))
    assert small.item() == pytest.approx(7.5)


@pytest.mark.parametrize("scales", [(), (1, 1), (0,), (-1.0,), (float("nan"),), (float("inf"),)])
def test_scales_that_make_no_sense(scales):
    with pytest.raises(PammError, match="scales: got"):
        TestTimeAugmentation(scales=scales)
