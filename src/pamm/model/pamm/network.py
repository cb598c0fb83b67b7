"""The network: image -> backbone -> task conv -> PAME -> stage fusion -> decoder (figure 2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from pamm.errors import PammError, check_name, unknown
from pamm.model.backbone import TAPS, Backbone
from pamm.model.pamm.experts import Router
from pamm.model.pamm.heads import Decoder
from pamm.model.pamm.pame import PAME
from pamm.model.pamm.stage_fusion import StageFusion
from pamm.model.pamm.task_conv import TaskConv
from pamm.model.scan_order import ORDERS
from pamm.runtime.ranges import Channels, Decay, Range, Width, check_fields


@dataclass(frozen=True)
class ModelConfig:
    """What the network is made of. The defaults are the paper's for NYUD-v2 with ViT-B.

    Raises PammError where a value is out of range.
    """

    tasks: dict[str, Channels]
    """Task name -> output channels."""
    backbone: str = "vit_base_patch16_384.augreg_in21k_ft_in1k"
    """A timm model that has forward_intermediates."""
    pretrained: bool | str = False
    """Backbone weights: False for none, True for timm's from the hub, or the path of a file."""
    stride: Annotated[int, Range(1, 1024)] | None = None
    """Pixels per position of the stage maps; None: a ViT's patch size, 16 for other backbones."""
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
    """PAME (table II); without it and the task convolution the model is the Baseline."""
    experts_b: bool = True
    """Parameter experts for B (table III)."""
    experts_c: bool = True
    """Parameter experts for C (table III)."""
    prior_b: bool = True
    """Parameter priors for B (table IV)."""
    prior_c: bool = True
    """Parameter priors for C (table IV)."""
    drop_path: Decay = 0.15
    """Stochastic depth rate of the backbone in training."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.tasks:
            raise PammError("tasks: got none, want at least one {name: channels}")
        for name in self.tasks:
            check_name("tasks: task", name)
        if self.top_k > self.num_experts:
            raise PammError(f"top_k: got {self.top_k}, want 1 to num_experts = {self.num_experts}")
        if self.scan not in ORDERS:
            raise PammError(unknown("scan order", self.scan, ORDERS))
        if self.directions not in (1, 2, 4):
            raise PammError(f"directions: got {self.directions}, want 1, 2 or 4")


class PAMM(nn.Module):
    """Parameter Aware Mamba Model: one image, one dense prediction per task.

    The maps of all T tasks travel as one tensor (B, T*d_model, h, w), a task being a group of
    channels (`pamm.model.layers.per_task`); the stages are a list.
    """

    tasks_are_independent: ClassVar[bool] = True
    """Whether no task's prediction depends on which others there are; else there is no `subset`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        #: {name: pamm.tasks.Task} that explain the outputs; set by whoever trained or loaded this.
        self.tasks: dict[str, Any] = {}
        #: (height, width) of the largest images it was trained on, and of the crops, likewise.
        self.image_size: tuple[int, int] | None = None
        self.crop_size: tuple[int, int] | None = None
        self._recompute = False
        tasks, stages, d_model = len(config.tasks), range(config.stages), config.d_model
        self.backbone = Backbone(
            config.backbone,
            pretrained=config.pretrained,
            stages=config.stages,
            width=d_model,
            stride=config.stride,
            drop_path=config.drop_path,
        )
        self.task_conv = nn.ModuleList(
            TaskConv(
                tasks=tasks,
                inputs=self.backbone.channels,
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
            if config.pame
            else nn.Identity()
            for _ in stages
        )
        self.stage_fusion = StageFusion(tasks=tasks, d_model=d_model, stages=config.stages)
        self.decoder = Decoder(channels=config.tasks, d_model=d_model)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """The predictions of all tasks, as logits.

        Args:
            image: (B, 3, H, W) float, normalised with the ImageNet mean and std; any H and W.

        Returns:
            {task: (B, channels, H, W)}, in the order of `config.tasks`.

        Raises:
            TypeError, ValueError: the image is not (B, 3, H, W) floating point, or empty.
            PammError: called by torch.jit.trace.
        """
        if torch.jit.is_tracing():
            raise PammError(
                "torch.jit.trace would fix the size of the image and the order of the scan in "
                "silence: use torch.export.export"
            )
        if not isinstance(image, Tensor):
            raise TypeError(f"image: got {type(image).__name__}, want a tensor (B, 3, H, W)")
        fits = image.dim() == 4 and image.shape[1] == 3 and image.is_floating_point()
        if not fits or 0 in image.shape:
            raise ValueError(
                f"image: got {tuple(image.shape)} {image.dtype}, want (B, 3, H, W) floating point"
            )
        height, width = (number(side) for side in image.shape[-2:])
        padded = pad_to_multiple(image, self.backbone.multiple)
        stages = self.backbone(padded)
        maps = [conv(stage) for conv, stage in zip(self.task_conv, stages, strict=True)]
        maps = [self._refined(pame, m) for pame, m in zip(self.pame, maps, strict=True)]
        fused = self.stage_fusion(maps)
        return {
            task: logits[..., :height, :width]
            for task, logits in self.decoder(fused, tuple(padded.shape[-2:])).items()
        }

    def recompute_activations(self) -> None:
        """In training, keep only what goes into each PAME and block of the backbone.

        The rest is computed again for the gradient: a third more work and a fraction of the memory.
        The results are the same, as random numbers are repeated too.
        """
        self._recompute = True
        self.backbone.recompute()

    def blocks(self) -> list[nn.Module]:
        """The modules that hold most weights and run one after the other."""
        return [*self.backbone.blocks(), *self.task_conv, *self.pame]

    def _refined(self, pame: nn.Module, maps: Tensor) -> Tensor:
        if self._recompute and self.training:
            return checkpoint(pame, maps, use_reentrant=False)
        return pame(maps)

    def routers(self) -> dict[str, Router]:
        """{module name: router} of all stages; `router.weights` are those of the last forward."""
        return {name: m for name, m in self.named_modules() if isinstance(m, Router)}

    def balance_loss(self) -> Tensor:
        """Load-balancing loss of the last forward pass, mean over the routers (0 without any)."""
        losses = [router.balance_loss() for router in self.routers().values()]
        return torch.stack(losses).mean() if losses else torch.zeros(())

    @torch.no_grad()
    def start_outputs_at(self, values: Mapping[str, float]) -> None:
        """Set the bias of the heads, e.g. {"depth": the data's mean depth}, before training."""
        for name, value in values.items():
            bias = self.decoder.heads[name].bias
            assert isinstance(bias, Tensor)
            bias.fill_(value)

    def subset(self, tasks: str | Sequence[str]) -> "PAMM":
        """A model of some of the tasks, or one, with copies of their weights, in their order here.

        In evaluation mode its outputs equal the whole model's, since tasks share only what is kept.

        Raises:
            PammError: a task that this model does not have, or none at all; or a model whose tasks
                look at each other, as the rest would predict something else.
        """
        tasks = [tasks] if isinstance(tasks, str) else list(tasks)
        if not tasks:
            raise PammError(f"tasks: got none, want one or more of {', '.join(self.config.tasks)}")
        for name in tasks:
            if name not in self.config.tasks:
                raise PammError(unknown("task", name, self.config.tasks))
        if not self.tasks_are_independent and not set(self.config.tasks) <= set(tasks):
            raise PammError(
                f"the tasks of {type(self).__name__} look at each other: without the others, "
                f"{', '.join(tasks)} would be predicted differently; keep all of "
                f"{', '.join(self.config.tasks)}"
            )
        keep = [i for i, name in enumerate(self.config.tasks) if name in tasks]
        channels = {name: c for name, c in self.config.tasks.items() if name in tasks}
        part = type(self)(replace(self.config, tasks=channels, pretrained=False))
        whole, total = self.state_dict(), len(self.config.tasks)
        part.load_state_dict(
            {
                # What shrinks with the number of tasks is stacked by task along the first axis.
                key: whole[key]
                if whole[key].shape == tensor.shape
                else whole[key].unflatten(0, (total, -1))[keep].flatten(0, 1)
                for key, tensor in part.state_dict().items()
            }
        )
        part.image_size, part.crop_size = self.image_size, self.crop_size
        part.tasks = {name: task for name, task in self.tasks.items() if name in channels}
        return part.train(self.training)


def number(size: int) -> int:
    """A side of the image as a number, where the compiler has put a symbol in its place.

    The orders of the scan are of one size: for another one the network is compiled again.
    """
    return len(range(size)) if torch.compiler.is_dynamo_compiling() else size


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Zeros (the mean colour) to the right and below, until both sides are multiples."""
    height, width = image.shape[-2:]
    down, right = -height % multiple, -width % multiple
    return F.pad(image, (0, right, 0, down)) if down or right else image
