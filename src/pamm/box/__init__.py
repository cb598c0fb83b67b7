"""The trained models that come with the package, each in a folder of its name, here.

A folder is one that `pamm pack` wrote, with a model card beside the weights.
"""

from pathlib import Path

from pamm.errors import PammError, unknown

BOX = "box"
"""The name of the model that is taken where none is given; `box:NAME` is another one."""
MODELS = ("rooms", "rooms-small")
"""The first one is `box`; the presets that they were trained with have the same names."""


def names_box(source: str | Path) -> bool:
    """Whether a model's name is of one that comes with the package."""
    return str(source) == BOX or str(source).startswith(BOX + ":")


def box_folder(source: str | Path) -> Path:
    """The folder of a model that comes with the package.

    Args:
        source: "box" or "box:NAME".

    Raises:
        PammError: an unknown name.
    """
    name = MODELS[0] if str(source) == BOX else str(source).partition(":")[2]
    if name not in MODELS:
        raise PammError(unknown("model in the box", name, MODELS))
    return Path(__file__).parent / name


def is_in_box(folder: Path) -> bool:
    """Whether a model's folder is one of the package's, which nothing is to be written into."""
    return folder.absolute().parent == Path(__file__).absolute().parent
