"""From photographs of any size to arrays and files, with a stand-in for the network."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from pamm import prediction
from pamm.data.transforms import normalise
from pamm.errors import PammError
from pamm.images import read_image
from pamm.prediction import predict, predict_files
from pamm.tasks import Depth, Semseg, Task, default_task

CHANNELS = {
    "semseg": 5,
    "human_parts": 7,
    "saliency": 2,
    "normals": 3,
    "boundary": 1,
    "depth": 1,
}


class Fake(nn.Module):
    """A 1x1 convolution per task; notes what it saw. Any size, like the real one."""

    def __init__(self, channels: dict[str, int] = CHANNELS) -> None:
        super().__init__()
        self.config = SimpleNamespace(tasks=channels)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.heads = nn.ModuleDict({n: nn.Conv2d(3, c, 1) for n, c in channels.items()})
        self.seen: list[tuple[int, ...]] = []
        self.modes: list[bool] = []

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        self.seen.append(tuple(image.shape))
        self.modes.append(self.training or torch.is_grad_enabled())
        return {name: head(image) for name, head in self.heads.items()}


@pytest.fixture
def model() -> Fake:
    return Fake()


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth, so that shrinking and enlarging keep it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def check(arrays: dict[str, np.ndarray], height: int, width: int) -> None:
    for name in ("semseg", "human_parts"):
        assert arrays[name].shape == (height, width)
        assert arrays[name].dtype == np.uint8
        assert arrays[name].max() < CHANNELS[name]
    for name in ("saliency", "boundary"):
        assert arrays[name].shape == (height, width)
        assert arrays[name].dtype == np.float32
        assert arrays[name].min() >= 0
        assert arrays[name].max() <= 1
    assert arrays["depth"].shape == (height, width)
    assert arrays["depth"].dtype == np.float32
    assert arrays["depth"].min() >= 0
    assert arrays["normals"].shape == (height, width, 3)
    assert arrays["normals"].dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(arrays["normals"], axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("size", [(37, 61), (1, 1), (3, 200), (64, 48)])
def test_any_size_gives_arrays_of_that_size(model: Fake, size: tuple[int, int]) -> None:
    arrays = predict(model, photo(*size))
    assert list(arrays) == list(CHANNELS)
    check(arrays, *size)
    assert model.seen == [(1, 3, *size)]


def test_the_arrays_are_the_decoded_logits_of_the_normalised_image(model: Fake) -> None:
    picture = photo(9, 11)
    arrays = predict(model, picture)
    logits = model(normalise(torch.from_numpy(picture.copy()).permute(2, 0, 1))[None])
    for name, channels in CHANNELS.items():
        task = default_task(name, channels)
        expected = task.to_array(task.decode(logits[name].detach())[0])
        np.testing.assert_array_equal(arrays[name], expected)


def test_half_precision_is_a_little_less_exact(model: Fake) -> None:
    image = photo(20, 31)
    exact = predict(model, image)["depth"]
    rounded = predict(model, image, precision="bf16-mixed")["depth"]
    assert rounded.dtype == exact.dtype == np.float32
    assert 0 < np.abs(rounded - exact).max() < 0.05 * exact.max()


def test_large_images_are_shrunk_for_the_network_only(model: Fake) -> None:
    arrays = predict(model, photo(300, 200), max_side=64)
    assert model.seen == [(1, 3, 64, 43)]
    check(arrays, 300, 200)
    exact = predict(model, photo(300, 200), max_side=300)
    assert model.seen[1] == (1, 3, 300, 200)
    assert np.abs(arrays["saliency"] - exact["saliency"]).max() < 0.1
    assert np.abs(arrays["depth"] - exact["depth"]).mean() < 0.05
    assert (arrays["semseg"] == exact["semseg"]).mean() > 0.97


@pytest.mark.parametrize("strip", [1, 100, 10**9])
def test_enlarging_in_strips_equals_interpolation(
    monkeypatch: pytest.MonkeyPatch, strip: int
) -> None:
    monkeypatch.setattr(prediction, "_STRIP", strip)
    logits = torch.randn(1, 3, 7, 5, generator=torch.Generator().manual_seed(0))
    strips = list(prediction._enlarged(logits, (50, 33)))
    assert len(strips) == {1: 50, 100: 17, 10**9: 1}[strip]
    expected = F.interpolate(logits, (50, 33), mode="bilinear", align_corners=False)
    torch.testing.assert_close(torch.cat(strips, dim=2), expected, atol=1e-5, rtol=0)


def test_a_large_photo_is_predicted_at_its_size() -> None:
    model = Fake({"semseg": 5, "normals": 3})
    arrays = predict(model, photo(2000, 3000), max_side=256)
    assert arrays["semseg"].shape == (2000, 3000)
    assert arrays["normals"].shape == (2000, 3000, 3)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_restored_and_no_gradient_is_kept(model: Fake, training: bool) -> None:
    model.train(training)
    predict(model, photo(5, 6))
    assert model.modes == [False]
    assert model.training == training


def test_the_mode_is_restored_after_an_error(model: Fake) -> None:
    class Broken(Fake):
        def forward(self, image: Tensor) -> dict[str, Tensor]:
            raise RuntimeError("no")

    broken = Broken().train()
    with pytest.raises(RuntimeError, match="no"):
        predict(broken, photo(5, 6))
    assert broken.training


def test_a_full_gpu_is_one_line_with_advice(model: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(image: Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory\n...")

    monkeypatch.setattr(model, "forward", full)
    with pytest.raises(PammError, match="smaller max_side"):
        predict(model, photo(5, 6))


def test_all_kinds_of_image_give_the_same(model: Fake, tmp_path: Path) -> None:
    picture = photo(8, 6)
    Image.fromarray(picture).save(tmp_path / "a.png")
    expected = predict(model, picture)["depth"]
    for same in (
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        Image.fromarray(picture),
        torch.from_numpy(picture.copy()).permute(2, 0, 1),
    ):
        np.testing.assert_array_equal(predict(model, same)["depth"], expected)
    grey = predict(model, picture[..., 0])["depth"]
    np.testing.assert_array_equal(
        grey, predict(model, picture[..., :1].repeat(3, axis=-1))["depth"]
    )


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (np.zeros((4, 5, 3)), TypeError, "float64, must be uint8"),
        (torch.zeros(3, 4, 5), TypeError, "float32, must be uint8"),
        (np.zeros((4, 5, 4), np.uint8), ValueError, r"must be \(H, W, 3\)"),
        (np.zeros((0, 5, 3), np.uint8), ValueError, "not empty"),
        (torch.zeros(4, 5, 3, dtype=torch.uint8), ValueError, r"must be \(3, H, W\)"),
        (None, TypeError, "NoneType, must be a path"),
        ("missing.png", PammError, "no such file"),
    ],
)
def test_other_images_are_refused(model: Fake, image, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        predict(model, image)


def test_the_models_own_tasks_come_first(model: Fake) -> None:
    model.tasks = {"depth": Depth(name="depth")}
    assert list(predict(model, photo(4, 4))) == ["depth"]
    model.tasks = {}
    assert list(predict(model, photo(4, 4))) == list(CHANNELS)


def test_tasks_can_be_chosen_by_name_or_given(model: Fake) -> None:
    assert list(predict(model, photo(4, 4), tasks=["depth", "semseg"])) == ["depth", "semseg"]
    assert list(predict(model, photo(4, 4), tasks="depth")) == ["depth"]
    given: dict[str, Task] = {"semseg": Semseg(channels=5)}
    assert list(predict(model, photo(4, 4), tasks=given)) == ["semseg"]
    with pytest.raises(PammError, match="did you mean 'depth'"):
        predict(model, photo(4, 4), tasks=["dept"])
    with pytest.raises(PammError, match="no tasks"):
        predict(model, photo(4, 4), tasks=[])
    with pytest.raises(PammError, match="max_side is 0"):
        predict(model, photo(4, 4), max_side=0)


def test_files_get_a_picture_an_array_and_an_overview(model: Fake, tmp_path: Path) -> None:
    Image.fromarray(photo(37, 61)).save(tmp_path / "small.png")
    lines: list[str] = []
    failed = predict_files(model, [tmp_path / "small.png"], tmp_path / "out", report=lines.append)
    assert failed == 0
    folder = tmp_path / "out" / "small"
    names = [f"{task}.{kind}" for task in CHANNELS for kind in ("npy", "png")]
    assert sorted(p.name for p in folder.iterdir()) == sorted([*names, "overview.png"])
    arrays = {task: np.load(folder / f"{task}.npy") for task in CHANNELS}
    check(arrays, 37, 61)
    np.testing.assert_array_equal(arrays["depth"], predict(model, photo(37, 61))["depth"])
    assert read_image(folder / "depth.png").shape == (37, 61, 3)
    assert read_image(folder / "overview.png").shape[1] > 600
    assert len(lines) == 1
    assert lines[0].startswith("[1/1] ")
    assert "(61x37)" in lines[0]
    assert str(folder) in lines[0]


def test_images_of_one_stem_do_not_overwrite_each_other(model: Fake, tmp_path: Path) -> None:
    paths = []
    for seed, name in enumerate(["a/x.png", "b/x.png", "b/x.bmp", "b/x-2.png", "b/X.png"]):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(photo(5, 6, seed)).save(path)
        paths.append(path)
    lines: list[str] = []
    assert predict_files(model, [*paths, paths[0]], tmp_path / "out", report=lines.append) == 0
    folders = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert folders == ["X-4", "x", "x-2", "x-2-2", "x-3"]
    for seed, name in enumerate(["x", "x-2", "x-3", "x-2-2", "X-4"]):
        written = np.load(tmp_path / "out" / name / "depth.npy")
        np.testing.assert_array_equal(written, predict(model, photo(5, 6, seed))["depth"])
    assert len(lines) == 5


def test_bad_files_cost_a_line_each_and_the_others_are_done(model: Fake, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    Image.fromarray(photo(64, 64)).save(tmp_path / "good.png")
    whole = (tmp_path / "good.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "nothing").mkdir()
    names = ["text.jpg", "nothing", "cut.png", "missing.png", "good.png"]
    lines: list[str] = []
    paths = [tmp_path / name for name in names]
    assert predict_files(model, paths, tmp_path / "out", report=lines.append) == 4
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["good"]
    assert len(lines) == 5
    assert all("\n" not in line for line in lines)
    for name in names:
        assert sum(name in line for line in lines) == 1
    assert sum("failed" in line for line in lines) == 4


def test_mistakes_that_hit_all_images_are_raised_at_once(model: Fake, tmp_path: Path) -> None:
    with pytest.raises(PammError, match="unknown task"):
        predict_files(model, [], tmp_path, tasks=["dept"])
    with pytest.raises(PammError, match="max_side"):
        predict_files(model, [], tmp_path, max_side=-1)


def test_the_default_size_is_that_of_the_training(model: Fake) -> None:
    """What the network sees of a large photograph has the longer side of its training images."""
    predict(model, photo(1100, 20))
    model.image_size = (48, 64)
    predict(model, photo(300, 200))
    predict(model, photo(20, 30))
    assert model.seen == [(1, 3, 1024, 19), (1, 3, 64, 43), (1, 3, 20, 30)]
