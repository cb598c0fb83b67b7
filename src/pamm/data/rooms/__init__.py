"""Procedural indoor rooms with exact labels.

``render_room(seed, index, height, width)`` draws scene ``index`` of the series ``seed``. The scene
depends on these two numbers only; height and width merely choose how finely and with what frame it
is seen.
"""

from pamm.data.rooms.items import CLASSES, PARTS
from pamm.data.rooms.room import LABELS, VERSION, Room, render_room

__all__ = ["CLASSES", "LABELS", "PARTS", "VERSION", "Room", "render_room"]
