"""A timm model as the source of four stage maps (paper section IV-A, figure 2a).

Any timm model with `forward_intermediates` that takes images of any size serves by its name
(docs/backbones.md). A plain ViT gives four evenly spaced blocks on its own grid; a hierarchical
model (Swin, ConvNeXt, ResNet) gives its last four stages, each on its own.
"""

import math
from contextlib import suppress
from itertools import chain, product
from typing import Any, Self

import timm
import torch
from timm.models import group_parameters
from torch import Tensor, nn
from torch.func import functional_call

from pamm.errors import PammError, unknown
from pamm.model.layers.linear import replace_linear_layers
from pamm.model.weights import NO_CLASSIFIER, LoadedWeights, load_weights, parts_of
from pamm.runtime.hub import one_try
from pamm.runtime.notes import note
from pamm.runtime.text import first_line

TAPS = 4
SIZES_TRIED = ((1, 2), (5, 3))
"""Heights and widths, in units of what they must be multiples of."""
LARGEST_MULTIPLE = 512
_TRIED: dict[tuple[str, tuple[int, ...]], tuple[int, bool]] = {}
"""What was found of backbones in this process, by name and taps: see `Backbone._tried`."""


class Backbone(nn.Module):
    """Image (B, 3, H, W) -> the last `stages` of four stage maps, as they are.

    Map i is (B, channels[i], H / strides[i], W / strides[i]).

    Args:
        name: a timm model name, with or without a pretrained tag.
        pretrained: False for random weights, True for timm's from the hub, `package:NAME` for those
            in an installed package (`pamm.model.weights`), or the path of a local file
            (.safetensors, .pth, or the .npz of the original ViT release). What was taken of them
            and what was not is told on standard error.
        stages: how many of the four stage maps to give, the last ones.
        drop_path: stochastic depth rate in training.

    Raises:
        PammError: unknown model, one that lacks the stages or the drop path or cannot take images
            of any size, or unusable weights.
    """

    def __init__(
        self,
        name: str,
        *,
        pretrained: bool | str = False,
        stages: int = TAPS,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        #: Any, as timm's models have more methods than nn.Module says.
        self.net: Any
        self.net, loaded = create_timm_model(name, pretrained=pretrained, drop_path=drop_path)
        replace_linear_layers(self.net)
        info = list(getattr(self.net, "feature_info", None) or [])
        if len(info) < stages:
            advice = ""
            if info:
                with torch.device("meta"):  # would it serve with fewer? It says so, if not
                    Backbone(name, stages=len(info))
                advice = f": set --model.stages {len(info)}"
            raise PammError(f"backbone {name!r} has {len(info)} stages, want {stages}{advice}")
        reductions = [int(i["reduction"]) for i in info]
        self.plain = len(set(reductions)) == 1
        count = min(len(info), TAPS)
        if self.plain:
            taps = [len(info) * (i + 1) // count - 1 for i in range(count)]
        else:
            taps = list(range(len(info) - count, len(info)))
        self.taps = taps[-stages:]
        if hasattr(self.net, "prune_intermediate_layers"):
            self.net.prune_intermediate_layers(self.taps, prune_norm=False, prune_head=True)
        self.channels = [int(info[i]["num_chs"]) for i in self.taps]
        self.strides = [reductions[i] for i in self.taps]
        tried = (name, tuple(self.taps))
        if tried not in _TRIED:
            _TRIED[tried] = self._tried(name, max(reductions))
        #: An image's sides must be multiples of this.
        self.multiple, self.normed = _TRIED[tried]
        self.frozen = False
        #: What is not from random numbers; None where all is.
        self.weights = loaded.within(self.net.state_dict()) if loaded else None
        if self.weights:
            note(f"backbone {name}: {self.weights.text()}")

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W), sides multiples of `multiple` -> the stage maps, coarsest last."""
        return self._plain(image) if self.plain else self._hierarchical(image)

    def layers(self) -> dict[str, int]:
        """{name of a parameter of the timm model: its layer}, 0 for the first, in timm's grouping.

        Raises:
            PammError: timm has none for this model.
        """
        if not hasattr(self.net, "group_matcher"):
            raise PammError(
                f"backbone {type(self.net).__name__} names no layers: leave --optim.layer-decay 1"
            )
        groups = group_parameters(self.net, self.net.group_matcher(coarse=False), reverse=True)
        return {f"net.{name}": layer for name, layer in groups.items()}

    def blocks(self) -> list[nn.Module]:
        """The members of the timm model's lists of modules, such as a ViT's blocks."""
        lists = (m for m in self.net.children() if isinstance(m, (nn.Sequential, nn.ModuleList)))
        return [m for modules in lists for m in modules if not isinstance(m, nn.ModuleList)]

    def freeze(self) -> None:
        """Leave everything as it is from now on: weights, and the statistics of batch norms.

        Nothing is kept for a gradient, and in training there is no drop path either.
        """
        self.frozen = True
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """As of any module; a frozen backbone stays in evaluation mode."""
        return super().train(mode and not self.frozen)

    def recompute(self) -> None:
        """Keep the inputs of the blocks only, and compute the rest again for the gradient.

        Batch norms would count a batch twice; models that have some keep everything, as do those
        for which timm does not offer it. Of a frozen one nothing is kept anyway.
        """
        if self.frozen or any(isinstance(m, nn.BatchNorm2d) for m in self.net.modules()):
            return
        with suppress(AttributeError, AssertionError):  # what timm's models say instead of no
            self.net.set_grad_checkpointing(True)

    def _plain(self, image: Tensor) -> list[Tensor]:
        """Only the last map goes through the final norm; class and register tokens are dropped."""
        final, maps = self.net.forward_intermediates(image, indices=self.taps, norm=False)
        if final.dim() == 3:
            prefix = getattr(self.net, "num_prefix_tokens", 0)
            final = final[:, prefix:].transpose(1, 2).reshape(maps[-1].shape)
        return [*maps[:-1], final]

    def _hierarchical(self, image: Tensor) -> list[Tensor]:
        if image.device.type == "cpu":  # where convolutions run faster with the channels innermost
            image = image.contiguous(memory_format=torch.channels_last)
        return self.net.forward_intermediates(
            image, indices=self.taps, norm=self.normed, intermediates_only=True
        )

    def _tried(self, name: str, multiple: int) -> tuple[int, bool]:
        """What the sides of images must be multiples of, and whether the norm serves all stages.

        Tried on tensors without memory. Multiples of the largest stride, or of more where the model
        has windows or valid convolutions: of timm's own size at most. Some models have no norm for
        intermediate maps, and say so by an assertion.
        """
        own = math.lcm(multiple, *self.net.pretrained_cfg.get("input_size", (3, 1, 1))[1:])
        sides = {multiple, 2 * multiple, 4 * multiple, own if own <= LARGEST_MULTIPLE else multiple}
        problem = ""
        state = {k: v.to("meta") for k, v in chain(self.named_parameters(), self.named_buffers())}
        for side, self.normed in product(sorted(sides), (True, False)):
            try:
                for height, width in SIZES_TRIED:
                    image = torch.empty(2, 3, height * side, width * side, device="meta")
                    functional_call(self, state, image)
                return side, self.normed
            except Exception as error:  # each model of timm fails in a way of its own
                problem = first_line(error) if side == multiple else problem
        raise PammError(
            f"backbone {name!r} does not take images of any size ({problem}); docs/backbones.md "
            "lists those that do"
        )


def create_timm_model(
    name: str, *, pretrained: bool | str, drop_path: float
) -> tuple[Any, LoadedWeights | None]:
    """The timm model without its head, ready for any image size, and what came into it."""
    check_timm_name(name)
    options: dict[str, Any] = {"drop_path_rate": drop_path} if drop_path else {}
    try:
        if pretrained is True:
            return _from_hub(name, options)
        net = _create_for_any_size(name, {**options, "num_classes": 0})
    except TypeError as error:
        if "drop_path_rate" not in str(error):
            raise
        raise PammError(f"backbone {name!r} has no drop path: set --model.drop-path 0") from error
    return net, load_weights(net, name, pretrained) if pretrained else None


def check_timm_name(name: str) -> None:
    """Raise unless timm has a model of this name, and weights of its tag, if it has one."""
    if not timm.is_model(name.split(".")[0]):
        known = timm.list_models()
        close = [m for m in known if m.startswith(name.split("_")[0])][:8] or known[:8]
        raise PammError(unknown("backbone", name, close) + " ... (timm.list_models() has them all)")
    if "." in name and name not in (tags := timm.list_pretrained(name.split(".")[0] + ".*")):
        raise PammError(unknown("backbone", name, tags))


def _from_hub(name: str, options: dict[str, Any]) -> tuple[Any, LoadedWeights]:
    """With timm's own weights; those of a whole classifier, as timm then wants every tensor."""
    with one_try() as problem:
        try:
            net = _create_for_any_size(name, {**options, "pretrained": True})
        except (RuntimeError, OSError) as error:
            raise PammError(
                f"backbone {name!r}: the hub gave no weights ({problem or first_line(error)}); "
                "`pamm backbones` says which come by pip; or give a file of them as "
                "--model.pretrained FILE, or start without: --model.pretrained False"
            ) from error
    whole = frozenset(net.state_dict())
    net.reset_classifier(0)
    left = parts_of(whole - set(net.state_dict()))
    config = net.pretrained_cfg
    source = f"the hub ({config.get('hf_hub_id') or config.get('url')}; {config.get('license')})"
    return net, LoadedWeights(
        source=source,
        tensors=frozenset(net.state_dict()),
        left_out=((left, NO_CLASSIFIER),) if left else (),
    )


def _create_for_any_size(name: str, options: dict[str, Any]) -> Any:
    """Families of timm name differently what makes them accept any image size; some always do."""
    for option, value in (("dynamic_img_size", True), ("strict_img_size", False)):
        try:
            return timm.create_model(name, **{**options, option: value})
        except TypeError as error:
            if option not in str(error):
                raise
    return timm.create_model(name, **options)
