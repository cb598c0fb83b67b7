"""Depth and colours as points in space, in a PLY file, which most 3D programs open."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pamm.pictures.images import strips, writing

POINT = np.dtype([("place", "<f4", 3), ("colour", "u1", 3)])


def write_point_cloud(
    path: Path, picture: NDArray[np.uint8], depth: NDArray[Any], *, field_of_view: float
) -> int:
    """Write a binary PLY with a coloured point for each pixel that has a depth.

    The camera is a pinhole whose axis goes through the middle of the image. Coordinates are in
    metres: +x right, +y up, +z towards the camera, which is at the origin.

    Args:
        path: where to; whole or not at all.
        picture: uint8 (H, W, 3), the colours.
        depth: (H, W), planar, in metres; 0 or less or NaN is no point.
        field_of_view: of the camera, across the image's width, in degrees, 0 to 180 exclusive.

    Returns:
        The number of points.

    Raises:
        PammError: the place cannot be written to.
    """
    height, width = depth.shape
    focal = width / 2 / math.tan(math.radians(field_of_view) / 2)
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / np.float32(focal)
    y = (height / 2 - 0.5 - np.arange(height, dtype=np.float32)) / np.float32(focal)
    count = sum(int(_known(depth[rows]).sum()) for rows in strips(height, width))
    header = (
        f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\n"
        "property float x\nproperty float y\nproperty float z\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\nend_header\n"
    )
    with writing(path) as place, open(place, "wb") as file:
        file.write(header.encode("ascii"))
        for rows in strips(height, width):
            z = depth[rows].astype(np.float32)
            known = _known(z)
            points = np.empty(int(known.sum()), POINT)
            z = np.where(known, z, 0)
            points["place"] = np.stack([x * z, y[rows, None] * z, -z], axis=-1)[known]
            points["colour"] = picture[rows][known]
            file.write(points.tobytes())
    return count


def _known(depth: NDArray[Any]) -> NDArray[np.bool_]:
    return np.isfinite(depth) & (depth > 0)
