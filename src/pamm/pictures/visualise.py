"""Pictures of predictions and labels: labelled panels that put all tasks side by side."""

import contextlib
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pamm.pictures.images import strips
from pamm.tasks import Task

Picture = NDArray[np.uint8]
Arrays = Mapping[str, NDArray[Any]]
Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER, INK, FAINT = (238, 239, 243), (28, 30, 38), (110, 114, 125)
TEXT_SIZE = 15
GAP = 12
COLUMNS = 4  # of an overview without ground truth
TILE = 320  # pixels of the longer side of its pictures


@dataclass
class Cell:
    """One place of a grid: a picture under its title, either of which may be missing."""

    picture: Picture | None = None
    title: str = ""


@dataclass
class Legend:
    """What the colours of one task mean."""

    title: str
    entries: dict[str, Colour] = field(default_factory=dict)


def overview(
    image: Picture,
    predictions: Arrays,
    tasks: Mapping[str, Task],
    targets: Arrays | None = None,
    *,
    tile: int = TILE,
) -> Picture:
    """All predictions of one image on one panel, with the ground truth below where it is given.

    Args:
        image: uint8 (H, W, 3), of any size; drawn with its longer side `tile` pixels long.
        predictions: {task: array as `Task.to_array` returns}.
        tasks: what the arrays mean; each name in `predictions` must be in it.
        targets: {task: array} of the true labels, for some or all of the tasks.
        tile: length in pixels of the longer side of each picture, at least 16.

    Returns:
        uint8 (height, width, 3).
    """
    names = list(predictions)
    targets = targets or {}
    # Both rows share the labels' range of values, so that equal colours are equal values.
    ranges = {n: tasks[n].value_range(predictions[n]) for n in names}
    ranges |= {n: tasks[n].value_range(targets[n]) or ranges[n] for n in names if n in targets}

    def cell(name: str, array: NDArray[Any], note: str = "") -> Cell:
        task = tasks[name]
        return Cell(task.colourise(array, ranges[name]), task.caption(ranges[name]) + note)

    drawn = [Cell(image, "image"), *(cell(n, predictions[n]) for n in names)]
    shown = [(n, a) for arrays in (predictions, targets) for n, a in arrays.items() if n in names]
    legends = _legends(shown, tasks)
    if not targets:
        return panel(drawn, legends, tile=tile)
    true = [cell(n, targets[n], ": truth") if n in targets else Cell() for n in names]
    return draw_grid([drawn, [Cell(), *true]], tile=tile, legends=legends)


def panel(cells: Sequence[Cell], legends: Sequence[Legend] = (), *, tile: int = TILE) -> Picture:
    """Pictures in rows of `COLUMNS`, legends below: what `overview` draws without ground truth."""
    rows = [cells[i : i + COLUMNS] for i in range(0, len(cells), COLUMNS)]
    return draw_grid(rows, tile=tile, legends=legends)


def drawn_in_strips(
    task: Task, array: NDArray[Any], value_range: tuple[float, float] | None
) -> Picture:
    """`Task.colourise`, whose intermediate results would fill gigabytes for a large image.

    Args:
        task: what the array means.
        array: as `Task.to_array` returns; floating point may be of 16 bits.
        value_range: as `colourise` takes it.
    """
    picture = np.empty((*array.shape[:2], 3), dtype=np.uint8)
    for rows in strips(*array.shape[:2]):
        part = array[rows]
        part = part.astype(np.float32) if part.dtype == np.float16 else part
        picture[rows] = task.colourise(part, value_range)
    return picture


def blended(image: Picture, picture: Picture) -> Picture:
    """An image with a picture of the same size over it, half of each."""
    both = np.empty_like(image)
    for rows in strips(*image.shape[:2]):
        both[rows] = (image[rows].astype(np.uint16) + picture[rows] + 1) // 2
    return both


def thumbnail(picture: Picture, tile: int = TILE) -> Picture:
    """What `draw_grid` needs of a picture: itself, or a smaller one if it is large."""
    return np.asarray(fit(picture, tile)) if max(picture.shape[:2]) > tile else picture


def picture_of_legend(legend: Legend, *, width: int = 480) -> Picture:
    """The names and colours of a legend, as a picture about so many pixels wide."""
    nothing = np.full((1, width, 3), PAPER, np.uint8)
    return draw_grid([[Cell(nothing)]], tile=width, legends=[legend])


def contact_sheet(
    samples: Sequence[tuple[Picture, Arrays]],
    tasks: Mapping[str, Task],
    *,
    titles: Sequence[str] = (),
    tile: int = 192,
) -> Picture:
    """Several images, a row each: the image and its array for every task.

    Args:
        samples: (uint8 (H, W, 3), {task: array as `Task.to_array` returns}) per row; sizes may
            differ, and a task that a sample lacks leaves a gap.
        tasks: the columns, in this order.
        titles: of the rows, such as the images' names; none or one a row.
        tile: length in pixels of the longer side of each picture, at least 16.

    Returns:
        uint8 (height, width, 3).

    Raises:
        ValueError: no samples, or as many titles as neither none nor one a row.
    """
    if len(titles) not in (0, len(samples)):
        raise ValueError(f"contact_sheet got {len(titles)} titles for {len(samples)} samples")
    rows = []
    for i, (image, arrays) in enumerate(samples):
        cells = [
            Cell(task.colourise(arrays[name])) if name in arrays else Cell()
            for name, task in tasks.items()
        ]
        rows.append([Cell(image, titles[i] if titles else ""), *cells])
    headings = ["image", *(task.caption() for task in tasks.values())]
    shown = [(n, a) for _, arrays in samples for n, a in arrays.items() if n in tasks]
    return draw_grid(rows, tile=tile, headings=headings, legends=_legends(shown, tasks))


def draw_grid(
    rows: Sequence[Sequence[Cell]],
    *,
    tile: int,
    headings: Sequence[str] = (),
    legends: Sequence[Legend] = (),
) -> Picture:
    """Rows of titled pictures, headings over the columns, legends below: uint8 (H, W, 3).

    Each picture is enlarged or shrunk until its longer side is `tile` pixels. A row is as high as
    its highest picture, a column as wide as its widest picture or text.

    Raises:
        ValueError: no rows, or a tile below 16 pixels.
    """
    if not rows:
        raise ValueError("draw_grid got no rows; give at least one")
    if tile < 16:
        raise ValueError(f"tile is {tile} pixels, want at least 16")
    fitted = [[fit(cell.picture, tile) for cell in row] for row in rows]
    columns = max(len(headings), *map(len, rows))
    line = _line_height()

    widths = [1] * columns
    for row, pictures in zip(rows, fitted, strict=True):
        for i, (cell, picture) in enumerate(zip(row, pictures, strict=True)):
            widths[i] = max(widths[i], picture.width, _text_width(cell.title))
    for i, heading in enumerate(headings):
        widths[i] = max(widths[i], _text_width(heading))
    lefts = np.cumsum([GAP, *(w + GAP for w in widths)]).tolist()
    row_heights = [
        (line if any(cell.title for cell in row) else 0) + max(p.height for p in pictures) + GAP
        for row, pictures in zip(rows, fitted, strict=True)
    ]
    width = lefts[-1]
    lines = [placed for legend in legends for placed in _flow(legend, width)]
    height = GAP + (line if headings else 0) + sum(row_heights) + line * len(lines)

    sheet = Image.new("RGB", (width, height + (GAP if lines else 0)), PAPER)
    pen = ImageDraw.Draw(sheet)
    top = GAP
    if headings:
        for left, heading in zip(lefts, headings, strict=False):
            _write(pen, (left, top), heading)
        top += line
    for row, pictures, row_height in zip(rows, fitted, row_heights, strict=True):
        below = line if any(cell.title for cell in row) else 0
        for left, cell, picture in zip(lefts, row, pictures, strict=False):
            _write(pen, (left, top), cell.title)
            sheet.paste(picture, (left, top + below))
        top += row_height
    for placed in lines:
        for left, text, colour in placed:
            _write(pen, (left, top), text, colour)
        top += line
    return np.asarray(sheet)


def fit(picture: Picture | None, tile: int) -> Image.Image:
    """The picture with its longer side `tile` pixels long; no picture takes no place.

    Small ones grow in square blocks, so that the pixels and the borders of classes stay visible.
    """
    if picture is None:
        return Image.new("RGB", (0, 0))
    image = Image.fromarray(np.ascontiguousarray(picture))
    scale = tile / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    if scale > 1:  # by a whole factor first, so that all blocks are equal
        factor = math.ceil(scale)
        blocks = (image.width * factor, image.height * factor)
        image = image.resize(blocks, Image.Resampling.NEAREST)
    return image.resize(size, Image.Resampling.BOX)


def _legends(shown: Iterable[tuple[str, NDArray[Any]]], tasks: Mapping[str, Task]) -> list[Legend]:
    """One legend a task whose colours have names, with the names that any of the arrays shows."""
    seen: dict[str, dict[str, Colour]] = {}
    for name, array in shown:
        seen.setdefault(name, {}).update(tasks[name].legend(array))
    return [Legend(tasks[n].caption(), dict(sorted(e.items()))) for n, e in seen.items() if e]


def _flow(legend: Legend, width: int) -> list[list[tuple[int, str, Colour | None]]]:
    """The legend in lines of at most `width` pixels: (left, text, colour of the swatch) each."""
    indent = GAP + _text_width(legend.title + ":") + GAP
    if indent > width / 2:  # narrow: the title gets a line of its own
        indent = GAP
        lines: list[list[tuple[int, str, Colour | None]]] = [[(GAP, legend.title + ":", None)], []]
    else:
        lines = [[(GAP, legend.title + ":", None)]]
    left = indent
    for text, colour in legend.entries.items():
        needed = _swatch() + _text_width(text)
        if left > indent and left + needed + GAP > width:
            lines.append([])
            left = indent
        lines[-1].append((left, text, colour))
        left += needed + GAP
    return lines


def _write(
    pen: ImageDraw.ImageDraw, place: tuple[int, int], text: str, swatch: Colour | None = None
) -> None:
    """Text at (left, top) of a line, after a square of colour if one is given."""
    left, top = place
    if swatch is not None:
        side = TEXT_SIZE - 2
        corner = (left, top + 3)
        box = (*corner, corner[0] + side, corner[1] + side)
        pen.rectangle(box, fill=swatch, outline=FAINT)
        left += _swatch()
    text, font = _drawable(text)
    pen.text((left, top), text, fill=INK, font=font)


def _swatch() -> int:
    return TEXT_SIZE + 4


def _line_height() -> int:
    return TEXT_SIZE + 8


def _text_width(text: str) -> int:
    text, font = _drawable(text)
    return int(np.ceil(font.getlength(text)))


@lru_cache(1024)
def _drawable(text: str) -> tuple[str, Font]:
    """A text as it can be drawn, with the first font that has all of its characters.

    Where none has, what is missing is written without its accents, or as its number.
    """
    best, fewest = _pillow_font()[0], len(text) + 1
    for fonts in (_pillow_font, _matplotlib_font, _system_fonts):
        for font in fonts():
            lacking = sum(not _has(font, character) for character in text)
            if not lacking:
                return text, font
            if lacking < fewest:
                best, fewest = font, lacking
    return "".join(c if _has(best, c) else _spelt(c, best) for c in text), best


def _spelt(character: str, font: Font) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", character) if c.isalnum())
    if plain and all(_has(font, c) for c in plain):
        return plain
    return character.encode("unicode_escape").decode("ascii")


def _has(font: Font, character: str) -> bool:
    """Whether a font has a picture of a character, other than the box for all that it lacks."""
    if character == " " or not character.isprintable():
        return character == " "
    try:
        return bytes(font.getmask(character)) != _box(font)
    except (OSError, UnicodeError):
        return False


@lru_cache
def _box(font: Font) -> bytes:
    return bytes(font.getmask("\U0010fffe"))  # never a character


@lru_cache
def _pillow_font() -> tuple[Font]:
    """It has English letters only."""
    return (ImageFont.load_default(size=TEXT_SIZE),)


@lru_cache
def _matplotlib_font() -> tuple[Font, ...]:
    """It has Europe's letters."""
    from matplotlib import get_data_path

    path = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return (ImageFont.truetype(str(path), TEXT_SIZE),) if path.exists() else ()


@lru_cache
def _system_fonts() -> tuple[Font, ...]:
    """Those that are installed, plain ones first."""
    from matplotlib.font_manager import findSystemFonts

    fonts = []
    for path in sorted(findSystemFonts(), key=lambda p: (bool(_STYLED.search(Path(p).name)), p)):
        with contextlib.suppress(OSError):  # not in this size, or damaged
            fonts.append(ImageFont.truetype(path, TEXT_SIZE))
    return tuple(fonts)


_STYLED = re.compile("bold|italic|oblique|mono|light|thin", re.IGNORECASE)
