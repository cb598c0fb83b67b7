"""Reading every kind of image file a user has, refusing the rest in one line, writing whole."""

import contextlib
import re
import subprocess
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from fake_network import write_huge_png
from pamm.errors import PammError
from pamm.pictures import images
from pamm.pictures.images import (
    FORMATS,
    SUFFIXES,
    list_images,
    read_image,
    read_pixels,
    read_size,
    rgb_array,
    strips,
    write_npy,
    write_png,
    writing_npz,
)

RED, BLUE = (200, 30, 10), (10, 30, 200)


@pytest.fixture
def picture() -> np.ndarray:
    """(3, 4, 3): the left half red, the right half blue, one bright corner at the top left."""
    pixels = np.zeros((3, 4, 3), dtype=np.uint8)
    pixels[:, :2], pixels[:, 2:] = RED, BLUE
    pixels[0, 0] = 255
    return pixels


def saved(tmp_path: Path, image: Image.Image, name: str = "image.png", **options) -> Path:
    path = tmp_path / name
    image.save(path, **options)
    return path


def test_rgb_comes_back_as_it_was(tmp_path: Path, picture: np.ndarray) -> None:
    read = read_image(saved(tmp_path, Image.fromarray(picture)))
    assert read.dtype == np.uint8
    assert np.array_equal(read, picture)
    assert np.array_equal(read_image(str(tmp_path / "image.png")), picture)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    white = Image.new("L", (5, 3), 255)
    if mode in ("I;16", "I", "F"):
        values = {"I;16": np.uint16(65535), "I": np.int32(65535), "F": np.float32(1)}[mode]
        white = Image.fromarray(np.full((3, 5), values))
    elif mode == "LA":
        white = white.convert("LA")
    else:
        white = white.convert("RGB").convert(mode)
    assert white.mode == mode
    suffix = "png" if mode in ("1", "L", "P", "LA", "RGBA", "I;16") else "tif"
    read = read_image(saved(tmp_path, white, f"white.{suffix}"))
    assert read.shape == (3, 5, 3)
    assert (read == 255).all()


def test_grey(tmp_path: Path) -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    read = read_image(saved(tmp_path, Image.fromarray(grey)))
    assert np.array_equal(read, np.repeat(grey[..., None], 3, axis=-1))


def test_16_bit_grey_is_scaled(tmp_path: Path) -> None:
    values = np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16)
    read = read_image(saved(tmp_path, Image.fromarray(values)))
    assert read[0, :, 0].tolist() == [0, 1, 128, 255]


def test_a_dark_16_bit_image_stays_dark(tmp_path: Path) -> None:
    read = read_image(saved(tmp_path, Image.fromarray(np.full((2, 2), 200, dtype=np.uint16))))
    assert read.max() == 1


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_floating_point(tmp_path: Path, scale: float) -> None:
    values = np.array([[0.0, 0.4, 1.0]], dtype=np.float32) * np.float32(scale)
    read = read_image(saved(tmp_path, Image.fromarray(values), "float.tif"))
    assert read[0, :, 0].tolist() == [0, 102, 255]


def test_transparent_parts_show_white(tmp_path: Path, picture: np.ndarray) -> None:
    alpha = np.full((3, 4, 1), 255, dtype=np.uint8)
    alpha[:, 3], alpha[:, 2] = 0, 128
    read = read_image(saved(tmp_path, Image.fromarray(np.concatenate([picture, alpha], axis=-1))))
    assert np.array_equal(read[:, :2], picture[:, :2])
    assert (read[:, 3] == 255).all()
    assert (read[0, 2] > BLUE).all()
    assert (read[0, 2] < 255).all()


def test_a_transparent_palette_entry_shows_white(tmp_path: Path, picture: np.ndarray) -> None:
    indexed = Image.fromarray(picture).quantize(3)
    right = indexed.getpixel((3, 0))
    read = read_image(saved(tmp_path, indexed, transparency=right))
    assert (read[:, 2:] == 255).all()
    assert np.array_equal(read[1, 0], RED)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, picture: np.ndarray, orientation: int) -> None:
    big = picture.repeat(16, axis=0).repeat(16, axis=1)
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = Image.fromarray(big)
    if undo is not None:  # what a camera held this way stores
        stored = stored.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    read = read_image(saved(tmp_path, stored, "turned.jpg", exif=exif, quality=95))
    assert read.shape == big.shape
    assert np.abs(read.astype(int) - big).mean() < 4
    assert read_size(tmp_path / "turned.jpg") == big.shape[:2]
    with Image.open(tmp_path / "turned.jpg") as opened:
        assert np.array_equal(rgb_array(opened), read)


def test_an_animation_gives_its_first_picture(tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (4, 3), colour) for colour in ("white", "black"))
    path = saved(tmp_path, first, "film.gif", save_all=True, append_images=[second])
    assert (read_image(path) == 255).all()


def one_line_about(path: Path) -> str:
    with pytest.raises(PammError) as caught:
        read_image(path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


def test_what_is_no_image_gets_one_line(tmp_path: Path, picture: np.ndarray) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("not a picture\nat all\n")
    assert "not an image" in one_line_about(text)
    empty = tmp_path / "empty.png"
    empty.touch()
    assert "empty (0 bytes)" in one_line_about(empty)
    assert "no such file" in one_line_about(tmp_path / "nothing.png")
    assert "is a folder" in one_line_about(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tif", "webp", "ppm"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_truncated_files_get_one_line(tmp_path: Path, suffix: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), f"cut.{suffix}")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    one_line_about(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tif", "webp"])
def test_scrambled_files_never_raise_anything_else(tmp_path: Path, suffix: str) -> None:
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), f"scrambled.{suffix}")
    whole = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    for _ in range(60):
        broken = whole.copy()
        places = generator.integers(0, len(whole), 8)
        broken[places] = generator.integers(0, 256, 8)
        path.write_bytes(broken.tobytes())
        with contextlib.suppress(PammError):
            assert read_image(path).ndim == 3


def test_far_too_large_images_get_one_line(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, Image.fromarray(picture))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)  # twice as many are an error
    assert "more than 134 million pixels" in one_line_about(path)


def test_folders_are_searched_by_name_and_suffix(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "notes.txt", ".hidden.png", "c.tiff"):
        (tmp_path / name).touch()
    (tmp_path / "deeper.png").mkdir()
    odd = tmp_path / "notes.txt"
    found = list_images([odd, tmp_path, str(tmp_path / "a.jpg"), tmp_path / "missing.png"])
    assert [p.name for p in found] == ["notes.txt", "a.jpg", "b.PNG", "c.tiff", "missing.png"]


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(PammError, match="holds no image file"):
        list_images([tmp_path])


def test_writing_makes_folders_and_leaves_nothing_else(tmp_path: Path) -> None:
    pixels = np.full((2, 3, 3), 7, dtype=np.uint8)
    write_png(tmp_path / "deep" / "a.png", pixels)
    write_npy(tmp_path / "deep" / "a.npy", pixels)
    write_npy(tmp_path / "deep" / "a.npy", pixels + 1)
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["a.npy", "a.png"]
    assert np.array_equal(read_image(tmp_path / "deep" / "a.png"), pixels)
    assert np.array_equal(np.load(tmp_path / "deep" / "a.npy"), pixels + 1)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npy"
    write_npy(path, np.arange(3))

    def fail(place, array) -> None:
        Path(place).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(images.np, "save", fail)
    with pytest.raises(PammError, match=r"cannot write .* No space left"):
        write_npy(path, np.arange(9))
    monkeypatch.undo()
    assert np.array_equal(np.load(path), np.arange(3))
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"]


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(PammError, match="cannot write"):
        write_png(tmp_path / "out" / "a.png", np.zeros((1, 1, 3), dtype=np.uint8))


def test_reading_in_threads_leaves_the_filters_of_warnings_alone(tmp_path):
    for i in range(8):
        Image.fromarray(np.zeros((200, 200, 3), np.uint8)).save(tmp_path / f"{i}.png")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: read_image(tmp_path / f"{i % 8}.png"), range(64)))
    assert warnings.filters == before


def test_pixels_are_what_is_stored(tmp_path):
    levels = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    Image.fromarray(levels).save(tmp_path / "16.png")
    np.testing.assert_array_equal(read_pixels(tmp_path / "16.png"), levels)
    indexed = Image.fromarray((levels // 5000).astype(np.uint8))
    indexed.putpalette(list(range(255, -1, -1)) * 3)
    indexed.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_pixels(tmp_path / "palette.png"), levels // 5000)
    with pytest.raises(PammError, match="no such file"):
        read_pixels(tmp_path / "missing.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "16.png").read_bytes()[:60])
    with pytest.raises(PammError, match="damaged"):
        read_pixels(tmp_path / "cut.png")


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_format_is_opened_by_its_content(
    tmp_path: Path, picture: np.ndarray, suffix: str
) -> None:
    """Under any name; but TGA, which has no mark of its own, under its own only."""
    path = tmp_path / f"image{suffix}"
    image = Image.fromarray(picture.repeat(16, axis=0).repeat(16, axis=1))
    if suffix in (".pbm", ".pgm"):
        image = image.convert("1" if suffix == ".pbm" else "L")
    kind = next(name for name, suffixes in FORMATS.items() if suffix in suffixes)
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    image.save(path, format=kind)
    read = read_image(path)
    assert read.shape == (48, 64, 3)
    assert read_size(path) == (48, 64)
    other = path.rename(tmp_path / "image.dat")
    if suffix == ".tga":
        assert "not an image in a format" in one_line_about(other)
    else:
        assert np.array_equal(read_image(other), read)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is a PostScript program"),
        (b"\xc5\xd0\xd3\xc6" + bytes(60), "is a PostScript program"),
        (b"%PDF-1.7\n", "is a PDF document"),
        (b"8BPS\0\1" + bytes(40), "is a Photoshop document"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "is a HEIC photograph"),
        (b"\0\0\1\0\1\0" + bytes(40), "not an image in a format that can be read"),
    ],
)
@pytest.mark.parametrize("name", ["x.jpg", "x.eps", "x.png"])
def test_other_formats_are_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, reason: str, name: str
) -> None:
    """Some of Pillow's readers start programs, by the name that comes first on the PATH."""

    def started(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", started)
    (tmp_path / name).write_bytes(content)
    assert reason in one_line_about(tmp_path / name)
    with pytest.raises(PammError, match=reason):
        read_pixels(tmp_path / name)


def test_pillow_opens_images_in_one_place() -> None:
    """So that the list of formats and the limit of pixels hold everywhere."""
    package = Path(images.__file__).parents[1]
    found = [
        p.relative_to(package).as_posix()
        for p in package.rglob("*.py")
        if re.search(r"\b(Image\.open|imread)\(", p.read_text("utf-8"))
    ]
    assert found == ["pictures/images.py"]


@pytest.mark.parametrize("read", [read_image, read_pixels, read_size])
@pytest.mark.parametrize("size", [(12000, 12000), (20000, 20000)])
def test_pixels_are_counted_before_any_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read, size
) -> None:
    """Of images and of labels, below Pillow's own limit and above it."""
    path = tmp_path / "huge.png"
    write_huge_png(path, *size)
    assert path.stat().st_size < 60_000
    monkeypatch.setattr(Image.Image, "load", None)  # would decode
    with pytest.raises(PammError, match="more than 134 million pixels"):
        read(path)


def test_strips_are_the_whole(picture: np.ndarray) -> None:
    assert [(r.start, r.stop) for r in strips(5, 10, pixels=20)] == [(0, 2), (2, 4), (4, 5)]
    assert [(r.start, r.stop) for r in strips(2, 10, pixels=1)] == [(0, 1), (1, 2)]


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "I;16", "F"])
def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    numbers = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    if mode == "RGBA":
        image = Image.fromarray(numbers)
    elif mode in ("I;16", "F"):
        wide = numbers[..., 0] * {"I;16": np.uint16(200), "F": np.float32(0.003)}[mode]
        image = Image.fromarray(wide)
    else:
        image = Image.fromarray(numbers[..., :3]).convert(mode)
    whole = rgb_array(image)
    monkeypatch.setattr(images, "strips", lambda *size: strips(*size, pixels=100))
    assert np.array_equal(rgb_array(image), whole)


def test_a_compressed_file_of_arrays_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.npz"
    with writing_npz(path) as add:
        add("x", np.arange(12).reshape(3, 4))
        add("y", np.zeros((1000, 1000), np.float16))
        assert not path.exists()
    with np.load(path) as arrays:
        assert np.array_equal(arrays["x"], np.arange(12).reshape(3, 4))
        assert arrays["y"].dtype == np.float16
    assert path.stat().st_size < 20_000

    def broken() -> None:
        with writing_npz(path) as add:
            add("x", np.zeros(3))
            raise OSError(28, "No space left on device")

    with pytest.raises(PammError, match="cannot write .* No space left"):
        broken()
    assert [p.name for p in path.parent.iterdir()] == ["a.npz"]
    with np.load(path) as arrays:
        assert set(arrays) == {"x", "y"}


def test_an_orientation_that_is_none_is_left_alone(tmp_path: Path, picture: np.ndarray) -> None:
    for value in (0, 9, 77):
        exif = Image.Exif()
        exif[0x0112] = value
        path = saved(tmp_path, Image.fromarray(picture), exif=exif)
        assert np.array_equal(read_image(path), picture)
