"""The Baseline of tables I and II: PAMM without task convolutions and PAMEs."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor, nn

from pamm.model.backbone import TAPS
from pamm.model.base import Model, ModelConfig, Outputs
from pamm.model.layers.one_grid import OneGrid
from pamm.model.pamm.heads import Heads
from pamm.model.pamm.stage_fusion import StageFusion
from pamm.model.pamm.task_conv import TaskConv
from pamm.runtime.ranges import Range, Width


@dataclass(frozen=True)
class BaselineConfig(ModelConfig):
    """What the Baseline is made of. The defaults are the paper's for NYUD-v2 with ViT-B."""

    name: ClassVar[str] = "baseline"
    d_model: Width = 768
    """Channels per task."""
    stages: Annotated[int, Range(1, TAPS)] = 4
    """Backbone stages used, the last ones."""


class Baseline(Model):
    """Per stage a convolution that all tasks share; per task the fusion of the stages, and a head.

    Maps of T tasks are one tensor (B, T*d_model, h, w), as in `PAMM`.
    """

    Config: ClassVar[type[ModelConfig]] = BaselineConfig
    tasks_are_independent: ClassVar[bool] = True
    config: BaselineConfig

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config, stages=config.stages)
        tasks, d_model = len(config.tasks), config.d_model
        self.grid = OneGrid(self.backbone, width=d_model, stride=config.stride)
        self.task_conv = nn.ModuleList(
            TaskConv(tasks=tasks, inputs=self.grid.channels, d_model=d_model, enabled=False)
            for _ in range(config.stages)
        )
        self.stage_fusion = StageFusion(tasks=tasks, d_model=d_model, stages=config.stages)
        self.task_heads = Heads(channels=config.tasks, d_model=d_model)

    def decode(self, maps: list[Tensor], size: tuple[int, int]) -> Outputs:
        """Stage maps -> predictions."""
        maps = self.grid(maps, size)
        maps = [conv(stage) for conv, stage in zip(self.task_conv, maps, strict=True)]
        return Outputs(self.task_heads(self.stage_fusion(maps), size))

    def heads(self) -> nn.ModuleDict:
        """{task: its last 1x1 convolution}."""
        return self.task_heads.logits

    def parts(self) -> dict[str, nn.Module]:
        """Along the data path."""
        return {
            "backbone": self.backbone,
            "one grid": self.grid,
            "shared conv": self.task_conv,
            "stage fusion": self.stage_fusion,
            "heads": self.task_heads,
        }

    def decoder_blocks(self) -> list[nn.Module]:
        """The shared convolutions."""
        return list(self.task_conv)
