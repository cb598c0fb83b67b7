"""A network together with what its outputs mean: what is saved, loaded, scored and predicts."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from pamm.model import Model
from pamm.runtime.select import select_tasks
from pamm.tasks import Task, default_task

Size = tuple[int, int]
"""Height and width."""


class Predictor(nn.Module):
    """A network and the tasks that it predicts.

    Args:
        network: maps (B, 3, H, W), RGB in 0..1, to {task: logits (B, C, H, W)}.
        tasks: what its outputs mean: all of them, or some in an order of one's own. None: the
            default tasks of the names and channels in `network.config.tasks`, if it has them.
        image_size: of the largest images that it was trained on, or that it is meant for.
        crop_size: of the crops that it was trained on.

    Raises:
        TypeError: the network is a Predictor itself.
    """

    def __init__(
        self,
        network: nn.Module,
        tasks: Mapping[str, Task] | None = None,
        *,
        image_size: Size | None = None,
        crop_size: Size | None = None,
    ) -> None:
        super().__init__()
        if isinstance(network, Predictor):
            raise TypeError("network: got a Predictor, want the network in it: its .network")
        self.network = network
        if tasks is None:
            channels = getattr(getattr(network, "config", None), "tasks", {})
            tasks = {name: default_task(name, count) for name, count in channels.items()}
        self.tasks = dict(tasks)
        self.image_size, self.crop_size = image_size, crop_size

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """The network's logits of the tasks, in their order; see `Model.forward`."""
        logits = self.network(image)
        return {name: logits[name] for name in self.tasks}

    def subset(self, tasks: str | Sequence[str]) -> "Predictor":
        """A predictor of some of the tasks, or one.

        It has a smaller network, with copies of the weights; or the same network, all of whose
        tasks are computed and some shown, where they look at each other.

        Raises:
            PammError: an unknown task, or none.
        """
        named, network = select_tasks(self.tasks, tasks or ()), self.network
        if isinstance(network, Model) and network.tasks_are_independent:
            network = network.subset(list(named))
        chosen = {name: task for name, task in self.tasks.items() if name in named}
        sizes = {"image_size": self.image_size, "crop_size": self.crop_size}
        return Predictor(network, chosen, **sizes).train(self.training)
