"""What a training is told beside the model, the data and the optimiser."""

from dataclasses import dataclass
from typing import Literal

from pamm.errors import PammError
from pamm.runtime.precision import Precision
from pamm.runtime.ranges import BatchSize, Count, Decay, Processes, Seed, Weight, check_fields


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long, in what batches and with what precision; the defaults are the paper's."""

    steps: Count = 40_000
    """Optimiser steps."""
    batch_size: BatchSize = 6
    """Images per step, over all processes and accumulated parts."""
    accumulate: BatchSize = 1
    """Parts that the batch of a process is computed in, one after the other, to save memory; each
    has its own batch statistics and number of labelled pixels."""
    precision: Precision = "32-true"
    """Precision of the arithmetic; the weights stay in float32."""
    devices: Processes = 1
    """Processes on this machine, one GPU each where there are GPUs; torchrun has its own."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """How several processes hold the network: each all of it (ddp), or each a share of the weights,
    gradients and optimiser state (fsdp), for a model that does not fit otherwise. The result is the
    same."""
    seed: Seed = 0
    """Seed of the initial weights, the order of the images, augmentation, drop path and noise."""
    init: str | None = None
    """Start from the weights of a model: a run directory, a model folder, the owner/name of one on
    the Hugging Face hub, or box or box:NAME for one that comes with pamm. All that fits by name and
    shape is taken, task by task and class by class where these differ; the rest is new, and a table
    says which."""
    auxiliary: Weight = 1.0
    """Weight of the losses of auxiliary predictions; for models that make some, such as PAD-Net."""
    penalty: Weight = 0.0
    """Weight of the model's penalty, for models that have one: of PAMM the load-balancing loss of
    its routers. 0 = off, as in the paper presets."""
    ema: Decay = 0.0
    """Decay of an average of the weights over the steps, such as 0.999; it is what is validated,
    saved as the model and called the best. 0 = off: the weights themselves."""
    gradient_checkpointing: bool = False
    """Compute the blocks of the network twice to save memory; the result is the same.
    Backbones with batch norms keep theirs."""
    compile: bool = False
    """Compile the network with torch.compile, which takes minutes before the first step."""
    log_every: Count = 50
    """Steps between two training records."""
    validate_every: Count = 5_000
    """Steps between two validations; there is always one at the end."""
    checkpoint_every: Count = 1_000
    """Steps between two checkpoints to resume from; there is always one before a validation."""
    keep: Count = 1
    """How many of these checkpoints to keep, the newest; and the best model."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.strategy == "fsdp" and self.ema:
            raise PammError("ema: the average needs whole weights: leave it 0 with strategy fsdp")
        if self.strategy == "fsdp" and self.precision == "16-mixed":
            raise PammError("precision: 16-mixed does not go with strategy fsdp: use bf16-mixed")
        self.images_at_once(self.devices)

    def images_at_once(self, processes: int) -> int:
        """Images in one part of the batch of one of so many processes.

        Raises:
            PammError: the batch does not divide.
        """
        images, rest = divmod(self.batch_size, self.accumulate * processes)
        if rest:
            raise PammError(
                f"batch_size: {self.batch_size} images do not divide into {processes} processes x "
                f"{self.accumulate} accumulated parts; give a multiple of "
                f"{self.accumulate * processes}"
            )
        return images
