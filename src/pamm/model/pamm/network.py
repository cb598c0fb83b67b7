"""PAMM: stage maps -> task conv -> PAME -> stage fusion -> heads (the paper's figure 2)."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from pamm.errors import PammError, unknown
from pamm.model.backbone import TAPS
from pamm.model.base import Model, ModelConfig, Outputs
from pamm.model.layers.one_grid import OneGrid
from pamm.model.pamm.experts import ParameterExperts, Router
from pamm.model.pamm.heads import Heads
from pamm.model.pamm.pame import PAME
from pamm.model.pamm.stage_fusion import StageFusion
from pamm.model.pamm.task_conv import TaskConv
from pamm.model.scan_order import ORDERS
from pamm.runtime.ranges import Range, Width


@dataclass(frozen=True)
class PAMMConfig(ModelConfig):
    """What PAMM is made of. The defaults are the paper's for NYUD-v2 with ViT-B.

    Raises PammError where a value is out of range.
    """

    name: ClassVar[str] = "pamm"
    d_model: Width = 768
    """Channels per task."""
    d_state: Annotated[int, Range(1, 4096)] = 16
    """States N of the scan."""
    expand: Annotated[int, Range(1, 64)] = 2
    """Scanned channels per task, in units of d_model."""
    num_experts: Annotated[int, Range(1, 4096)] = 15
    """Parameter experts shared by all tasks (eq. 14)."""
    top_k: Annotated[int, Range(1, 4096)] = 9
    """Experts that stay active per image and task (table V)."""
    expert_rank: Width = 4
    """Rank of one expert."""
    scan: str = "hilbert"
    """Visiting order: hilbert, zorder or serpentine (table VI)."""
    directions: int = 4
    """Rotations of the order that are scanned: 1, 2 or 4 (table VIII)."""
    stages: Annotated[int, Range(1, TAPS)] = 4
    """Backbone stages used, the last ones: 1 to 4 (table VII)."""
    task_conv: bool = True
    """Task convolution (table II)."""
    pame: bool = True
    """PAME (table II); without it and the task convolution the network is that of `baseline`."""
    experts_b: bool = True
    """Parameter experts for B (table III)."""
    experts_c: bool = True
    """Parameter experts for C (table III)."""
    prior_b: bool = True
    """Parameter priors for B (table IV)."""
    prior_c: bool = True
    """Parameter priors for C (table IV)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top_k > self.num_experts:
            raise PammError(f"top_k: got {self.top_k}, want 1 to num_experts = {self.num_experts}")
        if self.scan not in ORDERS:
            raise PammError(unknown("scan order", self.scan, ORDERS))
        if self.directions not in (1, 2, 4):
            raise PammError(f"directions: got {self.directions}, want 1, 2 or 4")


class PAMM(Model):
    """Parameter Aware Mamba Model.

    The maps of all T tasks travel as one tensor (B, T*d_model, h, w), a task being a group of
    channels (`pamm.model.layers.per_task`); the stages are a list.
    """

    Config: ClassVar[type[ModelConfig]] = PAMMConfig
    tasks_are_independent: ClassVar[bool] = True
    config: PAMMConfig

    def __init__(self, config: PAMMConfig) -> None:
        super().__init__(config, stages=config.stages)
        tasks, stages, d_model = len(config.tasks), range(config.stages), config.d_model
        self.grid = OneGrid(self.backbone, width=d_model, stride=config.stride)
        self.task_conv = nn.ModuleList(
            TaskConv(
                tasks=tasks,
                inputs=self.grid.channels,
                d_model=d_model,
                enabled=config.task_conv,
            )
            for _ in stages
        )
        self.pame = nn.ModuleList(
            PAME(
                tasks=tasks,
                d_model=d_model,
                d_state=config.d_state,
                expand=config.expand,
                num_experts=config.num_experts,
                top_k=config.top_k,
                expert_rank=config.expert_rank,
                experts_b=config.experts_b,
                experts_c=config.experts_c,
                prior_b=config.prior_b,
                prior_c=config.prior_c,
                scan=config.scan,
                directions=config.directions,
            )
            for _ in stages
            if config.pame
        )
        self.stage_fusion = StageFusion(tasks=tasks, d_model=d_model, stages=config.stages)
        self.task_heads = Heads(channels=config.tasks, d_model=d_model)

    def decode(self, maps: list[Tensor], size: tuple[int, int]) -> Outputs:
        """Stage maps -> predictions; the penalty is the routers' load-balancing loss."""
        maps = self.grid(maps, size)
        maps = [conv(stage) for conv, stage in zip(self.task_conv, maps, strict=True)]
        balance: list[Tensor] = []
        if self.pame:
            refined = [self.run(pame, m) for pame, m in zip(self.pame, maps, strict=True)]
            maps = [stage for stage, _ in refined]
            balance = [loss for _, losses in refined for loss in losses]
        logits = self.task_heads(self.stage_fusion(maps), size)
        return Outputs(logits, penalty=torch.stack(balance).mean() if balance else None)

    def heads(self) -> nn.ModuleDict:
        """{task: its last 1x1 convolution}."""
        return self.task_heads.logits

    def parts(self) -> dict[str, nn.Module]:
        """Along figure 2; the experts and routers are inside the PAMEs."""
        experts = [m for m in self.pame.modules() if isinstance(m, ParameterExperts)]
        return {
            "backbone": self.backbone,
            "one grid": self.grid,
            "task conv": self.task_conv,
            "PAME": self.pame,
            "parameter experts": nn.ModuleList(experts),
            "routers": nn.ModuleList(self.routers().values()),
            "stage fusion": self.stage_fusion,
            "heads": self.task_heads,
        }

    def decoder_blocks(self) -> list[nn.Module]:
        """The task convolutions and the PAMEs."""
        return [*self.task_conv, *self.pame]

    def no_weight_decay(self) -> set[str]:
        """Also the A_log and the priors."""
        spared = ("A_log", "prior_b", "prior_c")
        own = {name for name, _ in self.named_parameters() if name.rpartition(".")[2] in spared}
        return super().no_weight_decay() | own

    def routers(self) -> dict[str, Router]:
        """{module name: router} of all stages; `router.weights` are those of the last forward."""
        return {name: m for name, m in self.named_modules() if isinstance(m, Router)}
