"""Panels: all pictures are where they should be, at a readable size, whatever the image's size."""

import numpy as np
import pytest

from pamm.pictures import visualise
from pamm.pictures.images import strips
from pamm.pictures.visualise import (
    Cell,
    _drawable,
    _has,
    blended,
    contact_sheet,
    draw_grid,
    drawn_in_strips,
    fit,
    overview,
    thumbnail,
)
from pamm.tasks import Boundary, Depth, HumanParts, Normals, Saliency, Semseg, Task

TASKS: dict[str, Task] = {
    "semseg": Semseg(channels=3, class_names=("wall", "floor", "bed")),
    "human_parts": HumanParts(),
    "saliency": Saliency(),
    "normals": Normals(),
    "boundary": Boundary(),
    "depth": Depth(),
}


def image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def arrays(height: int, width: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    normals = generator.normal(size=(height, width, 3))
    return {
        "semseg": generator.integers(0, 3, (height, width)).astype(np.uint8),
        "human_parts": generator.integers(0, 7, (height, width)).astype(np.uint8),
        "saliency": generator.random((height, width), dtype=np.float32),
        "normals": (normals / np.linalg.norm(normals, axis=-1, keepdims=True)).astype(np.float32),
        "boundary": generator.random((height, width), dtype=np.float32),
        "depth": generator.uniform(1, 5, (height, width)).astype(np.float32),
    }


def contains(panel: np.ndarray, colour: tuple[int, int, int], at_least: int = 1) -> bool:
    return int((panel == colour).all(axis=-1).sum()) >= at_least


@pytest.mark.parametrize("size", [(1, 1), (37, 61), (128, 160), (900, 30), (20, 700)])
@pytest.mark.parametrize("truth", [False, True])
def test_overviews_of_any_size(size: tuple[int, int], truth: bool) -> None:
    predictions = arrays(*size)
    panel = overview(image(*size), predictions, TASKS, arrays(*size) if truth else None, tile=200)
    assert panel.dtype == np.uint8
    assert panel.shape[2] == 3
    assert panel.shape[0] > 2 * min(size[0] / max(size) * 200, 200)
    assert panel.shape[0] < 700
    assert panel.shape[1] < 2000


def test_a_huge_image_is_shrunk() -> None:
    panel = overview(image(1500, 1000), {"depth": arrays(1500, 1000)["depth"]}, TASKS)
    assert panel.shape[0] < 400


def test_the_same_input_gives_the_same_panel_and_stays_untouched() -> None:
    picture, predictions = image(20, 30), arrays(20, 30)
    before = {name: array.copy() for name, array in predictions.items()}
    first = overview(picture, predictions, TASKS)
    assert np.array_equal(first, overview(picture, predictions, TASKS))
    assert all(np.array_equal(before[name], predictions[name]) for name in before)


def test_any_subset_of_tasks() -> None:
    predictions = arrays(20, 30)
    one = overview(image(20, 30), {"normals": predictions["normals"]}, TASKS, tile=64)
    all_six = overview(image(20, 30), predictions, TASKS, tile=64)
    assert one.size < all_six.size


def test_truth_for_some_tasks_is_a_second_row() -> None:
    predictions, targets = arrays(20, 30), {"semseg": arrays(20, 30)["semseg"]}
    two = {name: predictions[name] for name in ("semseg", "depth")}
    plain = overview(image(20, 30), two, TASKS, tile=100)
    with_truth = overview(image(20, 30), two, TASKS, targets, tile=100)
    assert with_truth.shape[0] > plain.shape[0] + 60


def test_depth_of_both_rows_is_drawn_on_one_scale() -> None:
    """A prediction of the farthest labelled depth is black in full, as in the labels."""
    target = np.linspace(1, 4, 20 * 30, dtype=np.float32).reshape(20, 30)
    task, far = TASKS["depth"], np.full((20, 30), 4, dtype=np.float32)
    black = tuple(task.colourise(far, task.value_range(target))[0, 0].tolist())
    panel = overview(image(20, 30) | 1, {"depth": far}, TASKS, {"depth": target}, tile=90)
    assert contains(panel, black, at_least=90 * 60)


def test_only_classes_in_the_image_are_in_the_legend() -> None:
    array = np.zeros((20, 20), dtype=np.uint8)
    task = TASKS["semseg"]
    white = np.full((20, 20, 3), 255, dtype=np.uint8)
    panel = overview(white, {"semseg": array}, TASKS)
    colours = [tuple(task.colourise(np.array([[c]]))[0, 0].tolist()) for c in range(3)]
    assert contains(panel, colours[0], at_least=320 * 320 + 50)  # its tile and its swatch
    assert not contains(panel, colours[1])
    assert not contains(panel, colours[2])


def test_contact_sheet_has_a_row_a_sample() -> None:
    samples = [(image(20, 30), arrays(20, 30)), (image(40, 20), arrays(40, 20))]
    both = contact_sheet(samples, TASKS, titles=["first", "second"], tile=64)
    one = contact_sheet(samples[:1], TASKS, titles=["first"], tile=64)
    assert both.shape[1] == one.shape[1]
    assert both.shape[0] >= one.shape[0] + 64


def test_contact_sheet_leaves_gaps_for_missing_labels() -> None:
    samples = [(image(20, 30), {"depth": arrays(20, 30)["depth"]}), (image(20, 30), {})]
    assert contact_sheet(samples, TASKS).ndim == 3


def test_contact_sheet_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="1 titles for 2 samples"):
        contact_sheet([(image(2, 2), {})] * 2, TASKS, titles=["one"])
    with pytest.raises(ValueError, match="no rows"):
        contact_sheet([], TASKS)
    with pytest.raises(ValueError, match="at least 16"):
        draw_grid([[Cell(image(2, 2))]], tile=4)


def test_fit_keeps_the_aspect_and_the_colours_of_small_pictures() -> None:
    small = image(3, 5)
    fitted = np.asarray(fit(small, 100))
    assert fitted.shape == (60, 100, 3)
    assert np.array_equal(fitted[10::20, 10::20], small)
    assert np.asarray(fit(image(1000, 2), 50)).shape == (50, 1, 3)


def test_pictures_in_strips_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visualise, "strips", lambda *size: strips(*size, pixels=70))
    for name, array in arrays(20, 30).items():
        whole = TASKS[name].colourise(array, (1.0, 5.0))
        assert np.array_equal(drawn_in_strips(TASKS[name], array, (1.0, 5.0)), whole)
        half = array.astype(np.float16) if array.dtype == np.float32 else array
        near = drawn_in_strips(TASKS[name], half, (1.0, 5.0)).astype(int)
        assert np.abs(near - whole).max() <= 2
    a, b = image(20, 30), image(20, 30)[::-1]
    assert np.abs(blended(a, b) - (a / 2 + b / 2)).max() <= 0.5


def test_a_thumbnail_is_drawn_like_the_picture() -> None:
    for size in ((500, 400), (20, 30)):
        picture = image(*size)
        assert np.array_equal(fit(thumbnail(picture, 64), 64), fit(picture, 64))


@pytest.mark.parametrize("name", ["wall", "é", "größe", "дорога", "道路", "🛣", "a\nb", "\udcff"])
def test_any_name_is_drawn_without_boxes(name: str) -> None:
    """With a font that has its characters, or spelt with others."""
    text, font = _drawable(name)
    assert text
    assert all(_has(font, character) for character in text)
    if all(_has(font, character) for character in name):
        assert text == name
    if not name.isprintable():
        return  # names of classes are
    task = Semseg(channels=1, class_names=(name,))
    contact_sheet([(image(8, 8), {"semseg": np.zeros((8, 8), np.uint8)})], {"semseg": task})


def test_names_that_no_font_has_are_spelt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pamm.pictures.visualise._matplotlib_font", lambda: ())
    monkeypatch.setattr("pamm.pictures.visualise._system_fonts", lambda: ())
    spelt = {name: _drawable.__wrapped__(name)[0] for name in ("é", "Straße", "道路")}
    assert spelt == {"é": "e", "Straße": "Stra\\xdfe", "道路": "\\u9053\\u8def"}


def test_letters_of_europe_need_no_fonts_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pamm.pictures.visualise._system_fonts", lambda: 1 / 0)
    assert _drawable.__wrapped__("Fußgänger é дорога")[0] == "Fußgänger é дорога"
