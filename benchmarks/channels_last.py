"""Seconds of a training step on a convolutional backbone, with the image's channels last and first.

    python benchmarks/channels_last.py [--backbone tf_efficientnet_lite0] [--rounds 9] [--threads 2]

Eight images of 96x128, six tasks, in turn; the package has the channels last on a CPU. Printed: the
lower quartile of each, and the ratio.
"""

import argparse
from collections.abc import Callable

import torch

from pamm.bench.timing import timed
from pamm.data.rooms import LABELS
from pamm.model import MODELS, Model
from pamm.model.backbone import Backbone
from pamm.runtime.memory import keep_freed_memory

TASKS = {name: label.task.channels for name, label in LABELS.items()}


def channels_first(self: Backbone, image: torch.Tensor) -> list[torch.Tensor]:
    """What `Backbone._hierarchical` would be without."""
    return self.net.forward_intermediates(
        image, indices=self.taps, norm=self.normed, intermediates_only=True
    )


def step(model: Model, image: torch.Tensor, forward: Callable) -> None:
    """Forward and backward."""
    kept, Backbone._hierarchical = Backbone._hierarchical, forward  # type: ignore[method-assign]
    try:
        sum(x.square().mean() for x in model(image).values()).backward()
    finally:
        Backbone._hierarchical = kept  # type: ignore[method-assign]


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    image, last = torch.rand(8, 3, 96, 128), Backbone._hierarchical
    for name, fields in (("pamm", {"d_state": 8}), ("baseline", {})):
        for stride, width in ((8, 32), (4, 24)):
            config = MODELS[name].Config(
                tasks=TASKS, backbone=arguments.backbone, stride=stride, d_model=width,
                drop_path=0.0, **fields,
            )  # fmt: skip
            model = MODELS[name](config).train()
            times: dict[str, list[float]] = {"first": [], "last": []}
            for i in range(arguments.rounds + 2):
                for kind, forward in (("first", channels_first), ("last", last)):
                    seconds, _ = timed(lambda f=forward, m=model: step(m, image, f))
                    if i > 1:
                        times[kind].append(seconds)
            first, now = (sorted(t)[len(t) // 4] for t in times.values())
            print(
                f"{name}, stride {stride}: {first:.3f} s first, {now:.3f} s last, "
                f"{first / now:.2f} times as fast"
            )


if __name__ == "__main__":
    main()
