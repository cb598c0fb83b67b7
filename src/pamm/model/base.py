"""What a model is: one image in, a dense prediction per task out.

A model is two steps, `encode` and `decode`. Most methods of the field are a decoder over the maps
of a backbone and write the second one only; those that work inside the encoder override the first.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import (
    Callable,
    ItemsView,
    Iterator,
    KeysView,
    Mapping,
    Sequence,
    ValuesView,
)
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pamm.errors import PammError, check_name
from pamm.model.backbone import TAPS, Backbone
from pamm.model.layers.normalisation import (
    check_image,
    normalised,
    note_range,
    number,
    pad_to_multiple,
)
from pamm.runtime.ranges import Channels, Decay, Range, Share, check_fields
from pamm.runtime.rgb import IMAGENET_MEAN, IMAGENET_STD, Colour
from pamm.runtime.select import select_tasks

Deviation = Annotated[float, Range(0, 1000, open_low=True)]


@dataclass
class Outputs:
    """What a model says of a batch; to its users a mapping {task: logits}."""

    logits: dict[str, Tensor]
    """{task: (B, channels, H, W)}, in the order of the model's tasks."""
    auxiliary: tuple[dict[str, Tensor], ...] = ()
    """In training: earlier predictions of the same tasks and shapes, which are trained as well."""
    penalty: Tensor | None = None
    """In training: a scalar that the model wants small, such as a load-balancing loss."""

    def __getitem__(self, task: str) -> Tensor:
        return self.logits[task]

    def __iter__(self) -> Iterator[str]:
        return iter(self.logits)

    def __len__(self) -> int:
        return len(self.logits)

    def keys(self) -> KeysView[str]:
        """The names of the tasks."""
        return self.logits.keys()

    def values(self) -> ValuesView[Tensor]:
        """The logits."""
        return self.logits.values()

    def items(self) -> ItemsView[str, Tensor]:
        """(task, logits)."""
        return self.logits.items()

    def map(self, change: Callable[[Tensor], Tensor]) -> "Outputs":
        """The same with every map of logits changed."""

        def changed(logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {task: change(x) for task, x in logits.items()}

        return Outputs(changed(self.logits), tuple(map(changed, self.auxiliary)), self.penalty)


# For torch.export and FSDP, which look for the tensors in what a network returns.
torch.export.register_dataclass(Outputs, serialized_type_name="pamm.Outputs")


@dataclass(frozen=True)
class ModelConfig:
    """What all models have; that of each adds its name and its own choices.

    Raises PammError where a value is out of range.
    """

    name: ClassVar[str]
    """Which model it is of, in `MODELS` and in JSON."""

    tasks: dict[str, Channels]
    """Task name -> output channels."""
    backbone: str = "vit_base_patch16_384.augreg_in21k_ft_in1k"
    """A timm model that has forward_intermediates."""
    pretrained: bool | str = False
    """Backbone weights: False for none, True for timm's from the hub, package:NAME for those in an
    installed package (see `pamm backbones`), or the path of a file."""
    stride: Annotated[int, Range(1, 1024)] | None = None
    """Pixels per position of the decoder's maps; None: a ViT's patch size, 16 for other
    backbones."""
    drop_path: Decay = 0.15
    """Stochastic depth rate of the backbone in training."""
    mean: tuple[Share, Share, Share] | None = None
    """Subtracted from R, G and B in 0..1; None: what the backbone was pretrained with."""
    std: tuple[Deviation, Deviation, Deviation] | None = None
    """R, G and B are then divided by it; None: what the backbone was pretrained with."""

    @classmethod
    def variant(cls, fields: Mapping[str, Any]) -> type["ModelConfig"]:
        """The config class of the model that the fields of a JSON file name.

        Raises:
            PammError: they name none, or an unknown one.
        """
        from pamm.model import MODELS, model_type

        if "name" not in fields:
            raise PammError(f"the field 'name' is missing, want one of {', '.join(MODELS)}")
        return model_type(fields["name"]).Config

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.tasks:
            raise PammError("tasks: got none, want at least one {name: channels}")
        for name in self.tasks:
            check_name("tasks: task", name)


class Model(nn.Module, ABC):
    """One image, one dense prediction per task.

    Args:
        config: of the model's own class, `Config`.
        stages: how many of the backbone's stage maps the decoder is given, the last ones.

    Raises:
        TypeError: the config is of another model.
    """

    Config: ClassVar[type[ModelConfig]]
    tasks_are_independent: ClassVar[bool] = False
    """Whether no task's prediction depends on which others there are; else there is no `subset`."""

    config: ModelConfig
    """As given, with the mean and deviation that hold for the backbone."""

    def __init__(self, config: ModelConfig, *, stages: int = TAPS) -> None:
        super().__init__()
        if not isinstance(config, self.Config):
            got = type(config).__name__
            raise TypeError(f"config: got {got}, want {self.Config.__name__}; see build_model")
        self.backbone = Backbone(
            config.backbone,
            pretrained=config.pretrained,
            stages=stages,
            drop_path=config.drop_path,
        )
        trained = self.backbone.net.pretrained_cfg
        self.mean: Colour = config.mean or tuple(trained.get("mean") or IMAGENET_MEAN)
        self.std: Colour = config.std or tuple(trained.get("std") or IMAGENET_STD)
        self.config = replace(config, mean=self.mean, std=self.std)
        #: An image is padded until its sides are multiples of this.
        self.multiple = math.lcm(self.backbone.multiple, config.stride or 1)
        self.recomputes = self.has_seen_an_image = False

    def encode(self, image: Tensor) -> list[Tensor]:
        """A normalised, padded image (B, 3, H, W) -> the backbone's stage maps, as they are."""
        return self.backbone(image)

    @abstractmethod
    def decode(self, maps: list[Tensor], size: tuple[int, int]) -> Outputs:
        """What `encode` gave -> predictions of the size (H, W) of the padded image."""

    @abstractmethod
    def heads(self) -> nn.ModuleDict:
        """{task: the layer that makes its logits}; it has a `bias`."""

    @abstractmethod
    def parts(self) -> dict[str, nn.Module]:
        """{name: module} in the order of the data path, for descriptions.

        A module inside another one counts as a part of its own, if it is named too.
        """

    def decoder_blocks(self) -> list[nn.Module]:
        """The modules of the decoder that hold most of its weights, one running after the other.

        They are the units that a sharded training gathers. None may be inside another one.
        """
        return []

    def no_weight_decay(self) -> set[str]:
        """The parameters that are no weights of linear maps: biases, norms, embeddings."""
        declared: Sequence[str] = getattr(self.backbone.net, "no_weight_decay", tuple)()
        embeddings = {f"backbone.net.{name}" for name in declared}
        return {n for n, p in self.named_parameters() if p.ndim <= 1 or n in embeddings}

    def forward(self, image: Tensor) -> Outputs:
        """The predictions of all tasks, as logits.

        Args:
            image: (B, 3, H, W) floating point, RGB in 0..1; any H and W. It is brought to the
                type of the weights and normalised here. Of the first one that the network sees,
                other values than 0..1 are noted on standard error.

        Returns:
            A mapping {task: (B, channels, H, W)}, in the order of `config.tasks`.

        Raises:
            TypeError, ValueError: the image is not (B, 3, H, W) floating point, or empty.
            PammError: called by torch.jit.trace.
        """
        check_image(image)
        if not (self.has_seen_an_image or image.is_meta or torch.compiler.is_compiling()):
            note_range(image)
            self.has_seen_an_image = True
        height, width = (number(side) for side in image.shape[-2:])
        image = image.to(next(self.parameters()).dtype)
        padded = pad_to_multiple(normalised(image, self.mean, self.std), self.multiple)
        found = self.decode(self.encode(padded), (padded.shape[-2], padded.shape[-1]))
        return found.map(lambda logits: logits[..., :height, :width])

    def recompute_activations(self) -> None:
        """In training, keep only what goes into each block, where the model offers that.

        The rest is computed again for the gradient: a third more work and a fraction of the memory.
        The results are the same, as random numbers are repeated too.
        """
        self.recomputes = True
        self.backbone.recompute()

    def run(self, block: nn.Module, *arguments: Tensor) -> Any:
        """`block(*arguments)`, its activations recomputed if `recompute_activations` says so."""
        if self.recomputes and self.training:
            return checkpoint(block, *arguments, use_reentrant=False)
        return block(*arguments)

    def blocks(self) -> list[nn.Module]:
        """The modules that hold most weights, one running after the other."""
        return [*self.backbone.blocks(), *self.decoder_blocks()]

    @torch.no_grad()
    def start_outputs_at(self, values: Mapping[str, float]) -> None:
        """Set the bias of the heads, e.g. {"depth": the data's mean depth}, before training."""
        for name, value in values.items():
            bias = self.heads()[name].bias
            assert isinstance(bias, Tensor)
            bias.fill_(value)

    def subset(self, tasks: str | Sequence[str]) -> Self:
        """A model of some of the tasks, or one, with copies of their weights, in their order here,
        where it is and in the type that it has.

        In evaluation mode its outputs equal the whole model's, since tasks share only what is kept.

        Raises:
            PammError: a task that this model does not have, or none at all; or a model whose tasks
                look at each other, as the rest would predict something else.
        """
        named = select_tasks(self.config.tasks, tasks or ())
        chosen = [name for name in self.config.tasks if name in named]
        if not self.tasks_are_independent and len(chosen) < len(self.config.tasks):
            raise PammError(
                f"the tasks of {type(self).__name__} look at each other: without the others, "
                f"{', '.join(chosen)} would be predicted differently; keep all of "
                f"{', '.join(self.config.tasks)}"
            )
        keep = [i for i, name in enumerate(self.config.tasks) if name in chosen]
        channels = {name: self.config.tasks[name] for name in chosen}
        like = next(self.parameters())
        part = type(self)(replace(self.config, tasks=channels, pretrained=False))
        part.to(like.device, like.dtype)
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
        return part.train(self.training)
