"""From photographs of any size to arrays and files, with a stand-in for the network."""

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from fake_network import CHANNELS, Fake, check, photo
from pamm import prediction
from pamm.data import DataConfig, eval_dataset, evaluation_batches, train_dataset
from pamm.errors import PammError
from pamm.model import PAMM, PAMMConfig
from pamm.pictures.images import strips
from pamm.prediction import predict
from pamm.predictor import Predictor
from pamm.tasks import Depth, Semseg, Task, default_task
from pamm.views.augmentation import augmented_logits


@pytest.fixture
def model() -> Fake:
    return Fake()


def small_pamm() -> Predictor:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = PAMM(
            PAMMConfig(tasks={"semseg": 5, "depth": 1}, backbone="test_vit", d_model=16, d_state=2)
        )
    return Predictor(model, {"semseg": Semseg(channels=5), "depth": Depth()})


@pytest.mark.parametrize("size", [(37, 61), (1, 1), (3, 200), (64, 48)])
def test_any_size_gives_arrays_of_that_size(model: Fake, size: tuple[int, int]) -> None:
    arrays = predict(model, photo(*size))
    assert list(arrays) == list(CHANNELS)
    check(arrays, *size)
    assert model.seen == [(1, 3, *size)]


def test_the_arrays_are_the_decoded_logits_of_the_image(model: Fake) -> None:
    picture = photo(9, 11)
    arrays = predict(model, picture)
    logits = model(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255)
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


@pytest.mark.parametrize("max_side", [0, "9", 10.5, True])
def test_a_side_that_is_no_number_of_pixels(model: Fake, max_side: Any) -> None:
    with pytest.raises(PammError, match="max_side is .*, want a whole number of pixels"):
        predict(model, photo(5, 5), max_side=max_side)


def test_a_path_in_the_place_of_a_model() -> None:
    with pytest.raises(PammError, match="got 'runs/demo', want a network, such as pamm.load"):
        predict("runs/demo", photo(5, 5))  # type: ignore[arg-type]


def test_large_images_are_shrunk_for_the_network_only(model: Fake) -> None:
    arrays = predict(model, photo(300, 200), max_side=64)
    assert model.seen == [(1, 3, 64, 43)]
    check(arrays, 300, 200)
    exact = predict(model, photo(300, 200), max_side=np.int64(300))  # type: ignore[arg-type]
    assert model.seen[1] == (1, 3, 300, 200)
    assert np.abs(arrays["saliency"] - exact["saliency"]).max() < 0.1
    assert np.abs(arrays["depth"] - exact["depth"]).mean() < 0.05
    assert (arrays["semseg"] == exact["semseg"]).mean() > 0.97


@pytest.mark.parametrize("strip", [1, 100, 10**9])
def test_enlarging_in_strips_equals_interpolation(
    monkeypatch: pytest.MonkeyPatch, strip: int
) -> None:
    monkeypatch.setattr(prediction, "strips", lambda *size: strips(*size, pixels=strip))
    logits = torch.randn(1, 3, 7, 5, generator=torch.Generator().manual_seed(0))
    parts = list(prediction._enlarged(logits, (50, 33)))
    assert len(parts) == {1: 50, 100: 17, 10**9: 1}[strip]
    expected = F.interpolate(logits, (50, 33), mode="bilinear", align_corners=False)
    torch.testing.assert_close(torch.cat(parts, dim=2), expected, atol=1e-5, rtol=0)


def test_a_large_photo_is_predicted_at_its_size() -> None:
    model = Fake({"semseg": 5, "normals": 3})
    arrays = predict(model, photo(2000, 3000), max_side=256)
    assert arrays["semseg"].shape == (2000, 3000)
    assert arrays["normals"].shape == (2000, 3000, 3)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_stays_and_no_gradient_is_kept(model: Fake, training: bool) -> None:
    model.train(training)
    predict(model, photo(5, 6))
    assert model.modes == [False]
    assert model.training == training


def test_a_full_gpu_is_one_line_with_advice(model: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(image: Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory\n...")

    monkeypatch.setattr(model, "forward", full)
    with pytest.raises(PammError, match="GPU memory .* smaller max_side"):
        predict(model, photo(5, 6))


def test_a_full_memory_is_one_line_with_advice(
    model: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(image: Tensor) -> None:
        torch.empty(2**60, dtype=torch.uint8)

    monkeypatch.setattr(model, "forward", full)
    with pytest.raises(PammError, match="not enough memory .* smaller max_side"):
        predict(model, photo(5, 6))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_the_image_follows_the_type_of_the_model(dtype: torch.dtype) -> None:
    model, picture = small_pamm().eval(), photo(40, 50)
    exact = predict(model, picture)
    arrays = predict(model.to(dtype), picture)
    assert {n: a.dtype for n, a in arrays.items()} == {n: a.dtype for n, a in exact.items()}
    assert np.abs(arrays["depth"] - exact["depth"]).max() < 0.05
    assert (arrays["semseg"] == exact["semseg"]).mean() > 0.9


def test_threads_predict_with_a_model_that_trains() -> None:
    """None of them sees the others, nor leaves anything behind in the model."""
    model, pictures = small_pamm().train(), [photo(40, 50, seed) for seed in range(6)]
    expected = [predict(copy.deepcopy(model).eval(), p) for p in pictures]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: predict(model, pictures[i % 6]), range(24)))
    for i, arrays in enumerate(found):
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, expected[i % 6][name])
    assert all(module.training for module in model.modules())
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key
    with pytest.raises(RuntimeError, match="no routing weights yet"):
        _ = next(iter(model.network.routers().values())).weights


@pytest.mark.parametrize(
    "size",
    [(20, 31), (32, 40), (45, 61), (20, 61), (45, 31)],
    ids=["smaller", "equal", "larger", "wider", "higher"],
)
def test_prediction_sees_what_evaluation_sees(tmp_path: Path, size: tuple[int, int]) -> None:
    """At the size of the image, whether smaller or larger than the crops of the training."""
    Image.fromarray(photo(*size)).save(tmp_path / "a.png")
    (tmp_path / "pamm.toml").write_text(
        'images = "{split}/{id}.png"\n[tasks.depth]\nfiles = "{split}/{id}.npy"\n'
        'encoding = { type = "depth" }\n[tasks.semseg]\nfiles = "{split}/{id}.gif"\n'
        'encoding = { type = "classes" }\nchannels = 5\n'
    )
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        Image.fromarray(photo(*size)).save(tmp_path / split / "a.png")
    np.save(tmp_path / "train" / "a.npy", np.ones(size))
    Image.fromarray(np.ones(size, np.uint8)).save(tmp_path / "train" / "a.gif")
    data = DataConfig(name="folder", root=str(tmp_path), size=(32, 40), workers=0)
    model = small_pamm().eval()
    model.crop_size, model.image_size = data.size, train_dataset(data).largest()
    assert model.image_size == size

    (batch,) = evaluation_batches(eval_dataset(data))
    logits = augmented_logits(model, batch["image"], model.tasks)
    height, width = batch["image"].shape[-2:]
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    arrays = predict(model, tmp_path / "a.png")
    for name, task in model.tasks.items():
        whole = task.decode(logits[name].detach())[0]
        seen = whole[..., top : top + size[0], left : left + size[1]]
        np.testing.assert_array_equal(arrays[name], task.to_array(seen))


def test_names_in_python_are_refused_as_on_the_command_line(model: Fake) -> None:
    with pytest.raises(PammError, match="unknown precision 'bf16': did you mean 'bf16-mixed'"):
        predict(model, photo(4, 4), precision="bf16")  # type: ignore[arg-type]
    with pytest.raises(PammError, match="unknown task 'sky'"):
        predict(model, photo(4, 4), tasks={"sky": Depth()})
    with pytest.raises(PammError, match="does not say what its outputs mean"):
        predict(nn.Conv2d(3, 1, 1), photo(4, 4))


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
        (np.zeros((4, 5, 3)), TypeError, "float64, want uint8"),
        (torch.zeros(3, 4, 5), TypeError, "float32, want uint8"),
        (np.zeros((4, 5, 4), np.uint8), ValueError, r"want \(H, W, 3\)"),
        (np.zeros((0, 5, 3), np.uint8), ValueError, "not empty"),
        (torch.zeros(4, 5, 3, dtype=torch.uint8), ValueError, r"want \(3, H, W\)"),
        (None, TypeError, "NoneType, want a path"),
        (Image.new("RGB", (0, 5)), ValueError, "a picture of 0x5, want pixels"),
        ("missing.png", PammError, "no such file"),
    ],
)
def test_other_images_are_refused(model: Fake, image, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        predict(model, image)


def test_a_compiled_predictor_predicts_as_it_is(model: Fake) -> None:
    far = Predictor(model, {"depth": Depth(name="depth")}, image_size=(8, 8))
    expected = predict(far, photo(20, 30))
    found = predict(torch.compile(far, backend="eager"), photo(20, 30))
    assert list(found) == ["depth"]
    np.testing.assert_array_equal(found["depth"], expected["depth"])
    torch._dynamo.reset()


def test_the_models_own_tasks_come_first(model: Fake) -> None:
    far = Predictor(model, {"depth": Depth(name="depth")})
    assert list(predict(far, photo(4, 4))) == ["depth"]
    assert list(predict(model, photo(4, 4))) == list(CHANNELS)


def test_tasks_can_be_chosen_by_name_or_given(model: Fake) -> None:
    assert list(predict(model, photo(4, 4), tasks=["depth", "semseg"])) == ["depth", "semseg"]
    assert list(predict(model, photo(4, 4), tasks="depth")) == ["depth"]
    given: dict[str, Task] = {"semseg": Semseg(channels=5)}
    assert list(predict(model, photo(4, 4), tasks=given)) == ["semseg"]
    with pytest.raises(PammError, match="did you mean 'depth'"):
        predict(model, photo(4, 4), tasks=["dept"])
    with pytest.raises(PammError, match="no tasks"):
        predict(model, photo(4, 4), tasks={})
    for wrong in ([], 3):
        with pytest.raises(PammError, match="tasks: got .*, want one or more of semseg, human_"):
            predict(model, photo(4, 4), tasks=wrong)
    with pytest.raises(PammError, match="max_side is 0"):
        predict(model, photo(4, 4), max_side=0)


def test_the_default_size_is_that_of_the_training(model: Fake) -> None:
    """What the network sees of a large photograph has the longer side of its training images."""
    predict(model, photo(1100, 20))
    trained = Predictor(model, image_size=(48, 64))
    predict(trained, photo(300, 200))
    predict(trained, photo(20, 30))
    assert model.seen == [(1, 3, 1024, 19), (1, 3, 64, 43), (1, 3, 20, 30)]
