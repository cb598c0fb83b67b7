"""Videos in, videos or frames out."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from fake_network import CHANNELS, Fake, photo
from pamm.errors import PammError
from pamm.predict_files import SaveOptions, predict_files
from pamm.predict_files.video import is_video, opened, predict_video
from pamm.prediction import Look, as_predictor

WIDTH, HEIGHT, FRAMES = 64, 48, 7

# The library leaves the pipes to ffmpeg to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def _collect() -> Iterator[None]:
    """What is left is collected within the test."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven frames, each of one grey level."""
    path = tmp_path_factory.mktemp("videos") / "clip.mp4"
    writer = imageio_ffmpeg.write_frames(str(path), (WIDTH, HEIGHT), fps=10, macro_block_size=2)
    writer.send(None)
    for i in range(FRAMES):
        writer.send(np.full((HEIGHT, WIDTH, 3), 30 * i + 20, np.uint8).tobytes())
    writer.close()
    return path


def frames(path: Path) -> tuple[dict, np.ndarray]:
    reader = imageio_ffmpeg.read_frames(str(path))
    about = next(reader)
    width, height = about["size"]
    return about, np.stack([np.frombuffer(f, np.uint8).reshape(height, width, 3) for f in reader])


def test_videos_of_every_task(clip, tmp_path):
    lines: list[str] = []
    save = SaveOptions(kinds=("png", "overlay"))
    assert predict_files(Fake(), [clip], tmp_path, save=save, report=lines.append) == 0
    assert lines[0].endswith(f"({FRAMES} frames)")
    files = sorted(p.name for p in (tmp_path / "clip").iterdir())
    assert files == sorted(f"{t}{e}" for t in CHANNELS for e in (".mp4", ".overlay.mp4"))
    about, pictures = frames(tmp_path / "clip" / "saliency.mp4")
    assert pictures.shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert about["fps"] == 10
    _, seen = frames(clip)
    model = Fake()
    weight, bias = (np.asarray(p.detach()) for p in model.heads["saliency"].parameters())
    for picture, frame in zip(pictures, seen, strict=True):
        logits = (weight[:, :, 0, 0] * (frame[0, 0] / 255)).sum(1) + bias
        yes = 255 / (1 + np.exp(logits[0] - logits[1]))
        assert abs(float(picture.mean()) - yes) < 6  # what the compression leaves


def test_a_video_gets_pictures_only_unless_more_is_wanted(clip, tmp_path):
    predict_files(Fake(), [clip], tmp_path, report=str)
    assert sorted(p.name for p in (tmp_path / "clip").iterdir()) == sorted(
        f"{task}.mp4" for task in CHANNELS
    )


def test_a_colour_means_the_same_in_all_frames(clip, tmp_path):
    """The depth of each frame is one number, which would be stretched to one colour by itself."""
    save = SaveOptions(kinds=("png",))
    predict_files(Fake(), [clip], tmp_path, tasks=["depth"], save=save, report=str)
    _, pictures = frames(tmp_path / "clip" / "depth.mp4")
    assert np.ptp(pictures.mean(axis=(1, 2, 3))) > 20


def test_frames_like_images(clip, tmp_path):
    save = SaveOptions(kinds=("npy", "png"), frames=True)
    predict_files(Fake(), [clip], tmp_path, tasks=["depth"], save=save, report=str)
    folders = sorted(p.name for p in (tmp_path / "clip").iterdir())
    assert folders == [f"frame-{i:06d}" for i in range(1, FRAMES + 1)]
    files = {p.name for p in (tmp_path / "clip" / folders[0]).iterdir()}
    assert files == {"depth.npy", "depth.png"}
    depths = [float(np.load(tmp_path / "clip" / f / "depth.npy").mean()) for f in folders]
    assert len(set(depths)) == FRAMES


def test_arrays_of_frames_beside_videos(clip, tmp_path):
    save = SaveOptions(kinds=("npz", "png"))
    predict_files(Fake(), [clip], tmp_path, tasks=["depth"], save=save, report=str)
    found = {p.name for p in (tmp_path / "clip").iterdir()}
    assert found == {"depth.mp4", *(f"frame-{i:06d}" for i in range(1, FRAMES + 1))}
    assert {p.name for p in (tmp_path / "clip" / "frame-000001").iterdir()} == {"arrays.npz"}


def test_what_is_no_video_costs_a_line(tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"this is no video" * 20)
    Image.fromarray(photo(8, 8)).save(tmp_path / "good.png")
    lines: list[str] = []
    paths = [tmp_path / "bad.mp4", tmp_path / "gone.mov", tmp_path / "good.png"]
    assert predict_files(Fake(), paths, tmp_path / "out", report=lines.append) == 2
    assert "bad.mp4' is no video that can be read" in lines[0]
    assert "gone.mov': there is no such file" in lines[1]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["good"]


def test_what_reads_videos_is_not_there(clip, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(PammError, match="not installed: pip install imageio-ffmpeg"):
        predict_video(as_predictor(Fake(), None), clip, tmp_path / "x", Look(), SaveOptions())


def test_an_interrupted_video_leaves_nothing(clip, tmp_path, monkeypatch):
    count = 0

    def some(*arguments: object) -> object:
        nonlocal count
        count += 1
        if count == 3:
            raise MemoryError
        return real(*arguments)

    from pamm.predict_files import video

    real = video.image_logits
    monkeypatch.setattr(video, "image_logits", some)
    lines: list[str] = []
    assert predict_files(Fake(), [clip], tmp_path, report=lines.append) == 1
    assert list((tmp_path / "clip").iterdir()) == []


def test_names_of_videos():
    assert is_video(Path("a.MP4"))
    assert not is_video(Path("mp4"))
    assert not is_video(Path("a.png"))
    assert callable(opened)
