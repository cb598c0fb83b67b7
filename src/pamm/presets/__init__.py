"""Ready experiments by name: the demo and the paper's two benchmarks, for each model.

Each says the command, the hardware, the time and the score that it was measured with, or that it
was not measured. To know that much loads no PyTorch: an experiment is made when it is asked for.
"""

from pamm.errors import PammError, unknown
from pamm.presets import nyud, pascal_context, rooms, synthetic
from pamm.presets.recipe import Preset, Recipe

__all__ = ["PRESETS", "RECIPES", "Preset", "preset", "preset_of_model"]

RECIPES: dict[str, Recipe] = {
    **synthetic.RECIPES,
    **rooms.RECIPES,
    **nyud.RECIPES,
    **pascal_context.RECIPES,
}
PRESETS: dict[str, Preset] = {
    name: preset for own, recipe in RECIPES.items() for name, preset in recipe.presets(own)
}


def preset_of_model(name: str, model: str) -> str | None:
    """The name of a model's preset in the recipe that a preset is of, if there are both."""
    for own, recipe in RECIPES.items():
        names = {of: recipe.name_of(of, own) for of in recipe.models}
        if name in names.values():
            return names.get(model)
    return None


def preset(name: str) -> Preset:
    """The preset of this name.

    Raises:
        PammError: an unknown name; the message lists the known ones.
    """
    if name not in PRESETS:
        raise PammError(unknown("preset", name, PRESETS))
    return PRESETS[name]
