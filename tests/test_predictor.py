"""A network and what its outputs mean."""

import pytest
import torch

from fake_network import Fake
from pamm.errors import PammError
from pamm.model import PADNet, PADNetConfig
from pamm.predictor import Predictor
from pamm.tasks import Depth, Semseg

TASKS = {"semseg": Semseg(channels=5), "depth": Depth()}


def test_it_gives_the_logits_of_its_tasks():
    fake, image = Fake(), torch.rand(1, 3, 8, 9)
    assert list(Predictor(fake)(image)) == list(fake.config.tasks)
    some = Predictor(fake, {"depth": Depth(), "semseg": Semseg(channels=5)})
    assert list(some(image)) == ["depth", "semseg"]
    assert torch.equal(some(image)["depth"], fake(image)["depth"])


def test_a_network_that_does_not_say_what_it_predicts_has_no_tasks():
    assert Predictor(torch.nn.Conv2d(3, 1, 1)).tasks == {}


def test_where_tasks_look_at_each_other_all_are_computed_and_some_shown():
    config = PADNetConfig(tasks={"semseg": 5, "depth": 1}, backbone="test_vit", channels=8)
    whole = Predictor(PADNet(config), TASKS, image_size=(48, 64), crop_size=(32, 32)).eval()
    part = whole.subset("depth")
    assert part.network is whole.network
    assert part.tasks == {"depth": TASKS["depth"]}
    assert (part.image_size, part.crop_size) == ((48, 64), (32, 32))
    assert not part.training
    image = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(part(image)["depth"], whole(image)["depth"])


def test_a_predictor_of_a_predictor():
    with pytest.raises(TypeError, match="network: got a Predictor, want the network in it"):
        Predictor(Predictor(Fake({"semseg": 5}), {"semseg": TASKS["semseg"]}))


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([], "tasks: got none, want one or more of semseg, depth"),
        (3, "tasks: got 3, want one or more of semseg, depth"),
        (None, "tasks: got none, want one or more"),
        (["dept"], "did you mean"),
    ],
)
def test_wrong_tasks(tasks, message):
    with pytest.raises(PammError, match=message):
        Predictor(Fake({"semseg": 5, "depth": 1}), TASKS).subset(tasks)
