"""Procedural indoor rooms with exact labels.

``render_room(seed, index, height, width, variety)`` draws scene ``index`` of the series ``seed``.
The scene depends on these two numbers and on what it is drawn from only; height and width merely
choose how finely and with what frame it is seen.
"""

from pamm.data.rooms.items import CLASSES, PARTS
from pamm.data.rooms.room import LABELS, VERSION, Room, render_room
from pamm.data.rooms.variety import VARIETIES

__all__ = ["CLASSES", "LABELS", "PARTS", "VARIETIES", "VERSION", "Room", "render_room"]
