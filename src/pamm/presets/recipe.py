"""What a preset is, and the recipe that a data set's presets are made of: one for each model."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from pamm.runtime.rgb import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from pamm.config import Experiment

NOT_MEASURED = "not measured"
Fields = Mapping[str, Any]
"""Fields of a configuration that are not as their defaults."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """An experiment with what is known about it."""

    summary: str
    hardware: str
    time: str
    expected: str
    make: Callable[[], "Experiment"]

    @cached_property
    def experiment(self) -> "Experiment":
        """What to train, on what, and how."""
        return self.make()


def papers_vit(name: str) -> Fields:
    """A pretrained ViT as the paper has it.

    Its images are normalised as in the published code, whatever the ViT was trained with.
    """
    return {"backbone": name, "pretrained": True, "mean": IMAGENET_MEAN, "std": IMAGENET_STD}


@dataclass(frozen=True, kw_only=True)
class OfModel:
    """A model in a recipe: its own fields, and what was measured of it."""

    fields: Fields = field(default_factory=dict)
    note: str = ""
    """What to add to the recipe's summary."""
    time: str = NOT_MEASURED
    expected: str = NOT_MEASURED


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Data, backbone, optimiser and training, alike for all models that are to be compared.

    The model predicts all tasks of the data set; their channels come from it.
    """

    summary: str
    hardware: str
    backbone: Fields
    """Of `ModelConfig`: what all models have."""
    data: Fields
    optim: Fields
    train: Fields = field(default_factory=dict)
    models: Mapping[str, OfModel]
    """By the name in `MODELS`; "pamm" is the one that has the recipe's own name."""

    @staticmethod
    def name_of(model: str, name: str) -> str:
        """The name of a model's preset: `<name>` for PAMM, `<name>-<model>` for the others."""
        return name if model == "pamm" else f"{name}-{model}"

    def presets(self, name: str) -> Iterator[tuple[str, Preset]]:
        """(name, preset) of each model."""
        for model, of in self.models.items():
            yield (
                self.name_of(model, name),
                Preset(
                    summary=self.summary + of.note,
                    hardware=self.hardware,
                    time=of.time,
                    expected=of.expected,
                    make=partial(self.experiment, model),
                ),
            )

    def experiment(self, model: str) -> "Experiment":
        """The experiment with this model."""
        from pamm.config import Experiment
        from pamm.data import DATASETS, DataConfig
        from pamm.model import model_type
        from pamm.training.optim import OptimConfig
        from pamm.training.train_config import TrainConfig

        data = DataConfig(**self.data)
        declared = DATASETS[data.name].TASKS
        tasks = {name: task.channels for name, task in declared.items()}
        own = self.models[model].fields
        return Experiment(
            model=model_type(model).Config(tasks=tasks, **self.backbone, **own),
            data=data,
            optim=OptimConfig(**self.optim),
            train=TrainConfig(**self.train),
        )
