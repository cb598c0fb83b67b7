"""What the rooms of a series are drawn from: plain, varied, and what is held out of the varied.

A held-out series is the varied one with one thing that training never has: other materials, other
furniture, other light.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from pamm.data.rooms.camera import Camera, draw_any_camera, draw_camera
from pamm.data.rooms.fittings import make_box, make_floor_lamp
from pamm.data.rooms.furniture import FURNITURE, Maker
from pamm.data.rooms.furniture_variants import HELD_OUT, MORE
from pamm.data.rooms.items import Item
from pamm.data.rooms.lights import (
    Lamps,
    Light,
    Size,
    any_lights,
    ceiling_and_another,
    coloured_lights_from_below,
)
from pamm.data.rooms.materials import Generator, Palette
from pamm.data.rooms.people import make_any_person, make_person

Between = tuple[float, float]
Makers = Mapping[str, tuple[Maker, ...]]

STANDARD: Makers = {
    **{name: (maker,) for name, maker in FURNITURE.items()},
    "lamp": (make_floor_lamp,),
    "box": (make_box,),
}


@dataclass(frozen=True, kw_only=True)
class Variety:
    """What one series of rooms is drawn from. The defaults are the plain rooms."""

    version: int = 1
    """Raised whenever its rooms change and the plain ones do not."""

    width: Between = (3.0, 5.5)
    depth: Between = (3.2, 6.0)
    height: Between = (2.35, 2.9)
    camera: Callable[[Generator, Size], Camera] = draw_camera
    patterns: tuple[str, ...] = ()
    """Patterns that stand in for those that a thing asks for."""
    pattern_share: float = 0.0
    """How often they do."""
    glossy: float = 0.0
    """How often a surface mirrors lights."""
    makers: Makers = field(default_factory=lambda: STANDARD)
    """By class; of several one is drawn each time."""
    lights: Callable[[Generator, Size, Lamps], tuple[Light, ...]] = ceiling_and_another
    ambient: Between = (0.18, 0.34)
    exposure: Between = (0.85, 1.2)
    noise: Between = (0.004, 0.018)
    people: tuple[float, ...] = (0.15, 0.5, 0.35)
    """The probabilities of nobody, one, two and so on."""
    person: Callable[[Generator, Palette], Item] = make_person
    things: float = 0.0
    """How often something without a class stands on a top; three times as many stand about."""
    portrait: float = 0.0
    """How often somebody is right in front of the camera, which looks at their face or chest."""
    close_up: float = 0.0
    """How often the camera comes near to one of the things; of the rooms that are kept it is more
    often, as such a view is refused less often."""
    largest: float = 0.55
    """The largest share of an image that the things of one class may have."""
    nearest: float = 0.45
    """Metres from the camera to the nearest surface, at least."""

    def palette(self, g: Generator) -> Palette:
        """The colours and materials of one room."""
        return Palette.draw(g, others=self.patterns, share=self.pattern_share, glossy=self.glossy)

    def make(self, label: str, g: Generator, palette: Palette) -> Item:
        """A thing of a class, of any build that the series has."""
        makers = self.makers[label]
        maker = makers[0] if len(makers) == 1 else makers[int(g.integers(len(makers)))]
        return maker(g, palette)


PLAIN = Variety()
VARIED = Variety(
    version=2,
    width=(2.4, 8.0),
    depth=(2.8, 9.0),
    height=(2.2, 3.4),
    camera=draw_any_camera,
    patterns=("bricks", "hexagons", "clouds", "weave", "waves", "terrazzo"),
    pattern_share=0.35,
    glossy=0.3,
    makers={
        name: (*makers, *makers, *MORE.get(name, ()), *MORE.get(name, ()))
        for name, makers in STANDARD.items()
    },
    lights=any_lights,
    ambient=(0.06, 0.45),
    exposure=(0.7, 1.5),
    noise=(0.0, 0.01),
    people=(0.25, 0.35, 0.25, 0.15),
    person=make_any_person,
    things=0.5,
    portrait=0.22,
    close_up=0.1,
    largest=0.75,
    nearest=0.3,
)
VARIETIES: dict[str, Variety] = {
    "plain": PLAIN,
    "varied": VARIED,
    "materials": replace(
        VARIED, patterns=("herringbone", "marble", "spots"), pattern_share=0.85, glossy=0.0
    ),
    "furniture": replace(VARIED, makers={**STANDARD, **HELD_OUT}),
    "light": replace(VARIED, lights=coloured_lights_from_below, ambient=(0.02, 0.06)),
}
"""By name; what comes after "varied" is held out of it."""
