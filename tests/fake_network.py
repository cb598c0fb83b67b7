"""A stand-in for the network, and photographs for it."""

import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

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
        self.log = SimpleNamespace(seen=[], modes=[])  # shared with views of the model

    @property
    def seen(self) -> list[tuple[int, ...]]:
        return self.log.seen

    @property
    def modes(self) -> list[bool]:
        return self.log.modes

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        self.seen.append(tuple(image.shape))
        self.modes.append(self.training or torch.is_grad_enabled())
        return {name: head(image) for name, head in self.heads.items()}


def write_huge_png(path: Path, width: int, height: int) -> None:
    """A black picture of one bit a pixel, in a few kilobytes, made without its pixels in memory."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        end = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + end

    packer, row = zlib.compressobj(), bytes(1 + -(-width // 8))
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    path.write_bytes(start + chunk(b"IDAT", packed) + chunk(b"IEND", b""))


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
