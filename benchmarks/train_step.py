"""Seconds per training step of the demo's model, with and without keeping freed memory.

    python benchmarks/train_step.py [--rounds 3] [--steps 8]

The two variants run in turn, each in a process of its own, since the setting lasts as long as the
process. Printed: the median step of every round, and the ratio of the medians of all.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time


def measure(keep: bool, steps: int) -> list[float]:
    """Seconds of each step after two warm-up steps, in this process."""
    from dataclasses import replace

    import torch

    from pamm.data import Synthetic
    from pamm.model import build_model
    from pamm.presets import preset
    from pamm.runtime.memory import keep_freed_memory

    if keep:
        keep_freed_memory()
    experiment = preset("synthetic-tiny").experiment
    config = replace(experiment.model, pretrained=False)
    model, (height, width) = build_model(config), experiment.data.size
    batch = experiment.train.batch_size
    tasks = Synthetic.TASKS
    image = torch.rand(batch, 3, height, width)
    targets = {
        name: torch.ones(batch, *task.target_lead, height, width, dtype=task.target_dtype)
        for name, task in tasks.items()
    }
    optimizer = torch.optim.Adam(model.parameters())
    seconds = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        logits = model(image)
        loss = torch.stack([task.loss(logits[name], targets[name]) for name, task in tasks.items()])
        loss.sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    return seconds[2:]


def main() -> None:
    """Run the comparison, or one side of it (--side, used by the comparison itself)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--side", choices=["keep", "return"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(measure(arguments.side == "keep", arguments.steps)))
        return
    times: dict[str, list[float]] = {"return": [], "keep": []}
    for number in range(arguments.rounds):
        for side, seconds in times.items():
            command = [sys.executable, __file__, "--side", side, "--steps", str(arguments.steps)]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            seconds += found
            print(f"round {number + 1} {side:7} {statistics.median(found):.3f} s/step", flush=True)
    medians = {side: statistics.median(seconds) for side, seconds in times.items()}
    print(f"returned to the system / kept: {medians['return'] / medians['keep']:.2f}")


if __name__ == "__main__":
    main()
