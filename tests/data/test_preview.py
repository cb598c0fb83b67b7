from pathlib import Path

import pytest
from PIL import Image

from pamm.data import EvalTransform, Synthetic, preview
from pamm.errors import PammError


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_a_sheet_has_a_row_an_image_and_a_column_a_task(rooms: Synthetic, tmp_path: Path) -> None:
    two = size_of(preview(rooms, 2, tmp_path / "two.png"))
    three = size_of(preview(rooms, 3, tmp_path / "new" / "three.png"))
    assert three[1] > two[1] > 2 * 144  # tiles of 192x144
    few = Synthetic(size=(24, 32), count=2, root=rooms.cache.root, tasks=["depth"])
    assert two[0] > 7 * 192 > size_of(preview(few, 9, tmp_path / "few.png"))[0] > 2 * 192


def test_a_transform_does_not_show(rooms: Synthetic, tmp_path: Path) -> None:
    raw = preview(rooms, 1, tmp_path / "raw.png").read_bytes()
    transform = EvalTransform(rooms.tasks)
    changed = Synthetic(size=(24, 32), count=7, root=rooms.cache.root, transform=transform)
    assert preview(changed, 1, tmp_path / "changed.png").read_bytes() == raw


@pytest.mark.parametrize(
    ("count", "name", "hint"),
    [(0, "a.png", "at least 1"), (1, "a.txt", "ending"), (1, "file/a.png", "cannot write")],
)
def test_mistakes_are_named(rooms: Synthetic, tmp_path: Path, count, name, hint) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PammError, match=hint):
        preview(rooms, count, tmp_path / name)
