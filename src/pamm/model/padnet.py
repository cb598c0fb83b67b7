"""PAD-Net (Xu et al., CVPR 2018): first predictions of all tasks, distilled into the final ones.

The layers and widths are those of the survey of Vandenhende et al. (TPAMI 2021), whose code the
later tables come from.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pamm.model.backbone import TAPS
from pamm.model.base import Model, ModelConfig, Outputs
from pamm.model.layers import per_task
from pamm.model.layers.one_grid import OneGrid
from pamm.runtime.ranges import Range, Width


@dataclass(frozen=True)
class PADNetConfig(ModelConfig):
    """What PAD-Net is made of. The defaults are the survey's."""

    name: ClassVar[str] = "padnet"
    channels: Width = 256
    """Channels per task; a quarter of them inside the bottleneck blocks."""
    stages: Annotated[int, Range(1, TAPS)] = 4
    """Backbone stages used, the last ones."""


class PADNet(Model):
    """The stage maps as one; per task two blocks and a first prediction; distillation; the same
    again for the final prediction.

    Maps of T tasks are one tensor (B, T*channels, h, w), a task being a group of channels.
    """

    Config: ClassVar[type[ModelConfig]] = PADNetConfig
    config: PADNetConfig

    def __init__(self, config: PADNetConfig) -> None:
        super().__init__(config, stages=config.stages)
        tasks, C = len(config.tasks), config.channels
        self.grid = OneGrid(self.backbone, width=C, stride=config.stride)
        self.fuse = nn.Sequential(
            nn.Conv2d(config.stages * self.grid.channels, C, 1, bias=False),
            nn.BatchNorm2d(C),
            nn.ReLU(),
        )
        self.first = nn.Sequential(*(Bottleneck(tasks, C) for _ in range(2)))
        self.first_heads = heads(config)
        self.distillation = Distillation(tasks, C) if tasks > 1 else nn.Identity()
        self.final = nn.Sequential(*(Bottleneck(tasks, C) for _ in range(2)))
        self.final_heads = heads(config)

    def decode(self, maps: list[Tensor], size: tuple[int, int]) -> Outputs:
        """Stage maps -> the final predictions, and in training the first ones."""
        shared = self.fuse(torch.cat(self.grid(maps, size), 1))
        features = self.first(shared.repeat(1, len(self.config.tasks), 1, 1))
        final = self.final(self.run(self.distillation, features))
        first = (predictions(self.first_heads, features, size),) if self.training else ()
        return Outputs(predictions(self.final_heads, final, size), first)

    def heads(self) -> nn.ModuleDict:
        """{task: the layer of its final prediction}."""
        return self.final_heads

    def parts(self) -> dict[str, nn.Module]:
        """Along the data path."""
        return {
            "backbone": self.backbone,
            "one grid": self.grid,
            "fusion of stages": self.fuse,
            "first features": self.first,
            "first heads": self.first_heads,
            "distillation": self.distillation,
            "final features": self.final,
            "final heads": self.final_heads,
        }

    def decoder_blocks(self) -> list[nn.Module]:
        """All between the backbone and the heads."""
        return [self.fuse, *self.first, self.distillation, *self.final]


class Bottleneck(nn.Module):
    """ResNet's bottleneck block, for each task its own: (B, T*C, h, w) -> the same shape."""

    def __init__(self, tasks: int, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 4)
        self.layers = nn.Sequential(
            per_task.Pointwise(tasks, channels, inner, bias=False),
            per_task.batch_norm(tasks, inner),
            nn.ReLU(),
            per_task.conv(tasks, inner, inner, 3, bias=False),
            per_task.batch_norm(tasks, inner),
            nn.ReLU(),
            per_task.Pointwise(tasks, inner, channels, bias=False),
            per_task.batch_norm(tasks, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The block with its residual."""
        return F.relu(x + self.layers(x))


class Distillation(nn.Module):
    """Every task adds what it attends to in each of the others (the paper's module C).

    y_t = x_t + sum over s != t of sigmoid(gate_st * x_s) (value_st * x_s), * being 3x3
    convolutions. Those of a source to its T-1 targets are one convolution, and the sources groups.
    """

    def __init__(self, tasks: int, channels: int) -> None:
        super().__init__()
        self.tasks = tasks
        self.gates = per_task.conv(tasks, channels, (tasks - 1) * channels, 3, bias=False)
        self.values = per_task.conv(tasks, channels, (tasks - 1) * channels, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T*C, h, w) -> the same shape."""
        messages = self.gates(x).sigmoid() * self.values(x)
        messages = per_task.split(messages, self.tasks).unflatten(2, (self.tasks - 1, -1))
        for_task: list[Any] = [[] for _ in range(self.tasks)]
        for source, sent in enumerate(messages.unbind(1)):  # (B, T-1, C, h, w)
            targets = [t for t in range(self.tasks) if t != source]
            for target, message in zip(targets, sent.unbind(1), strict=True):
                for_task[target].append(message)
        return x + torch.cat([torch.stack(given).sum(0) for given in for_task], 1)


def heads(config: PADNetConfig) -> nn.ModuleDict:
    """A 1x1 convolution per task."""
    return nn.ModuleDict({t: nn.Conv2d(config.channels, c, 1) for t, c in config.tasks.items()})


def predictions(layers: nn.ModuleDict, maps: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
    """Maps of all tasks (B, T*C, h, w) -> {task: logits (B, channels, *size)}."""
    of_task = per_task.split(maps, len(layers)).unbind(1)
    return {
        name: F.interpolate(head(x), size=size, mode="bilinear", align_corners=False)
        for (name, head), x in zip(layers.items(), of_task, strict=True)
    }
