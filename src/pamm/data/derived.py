"""Label maps that are made from slow files, such as MATLAB's, once, and kept as PNG in the cache.

The name of a kept file holds a hash of the bytes that it was made from, so it cannot be out of
date; and it appears whole, so several processes may make the same one at once.
"""

import hashlib
import io
import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pamm.data.scene_cache import default_root
from pamm.errors import PammError
from pamm.pictures.images import read_pixels
from pamm.runtime.files import check_regular, replacing

log = logging.getLogger(__name__)

Map = NDArray[np.uint8]


def derived_map(kind: str, source: Path, make: Callable[[bytes], Map]) -> Map:
    """What `make` draws from the bytes of a file, from the cache if it was made before.

    Args:
        kind: names what is made and its version: a name for a folder.
        source: the file.
        make: its bytes -> uint8 (H, W).

    Raises:
        PammError: the file is missing or damaged; it is named.
    """
    check_regular(source)
    try:
        content = source.read_bytes()
    except OSError as error:
        raise PammError(f"{str(source)!r} cannot be read: {error.strerror or error}") from None
    name = hashlib.blake2b(content, digest_size=16).hexdigest()
    kept = default_root() / "derived" / kind / name[:2] / f"{name}.png"
    try:
        return read_pixels(kept)
    except PammError:
        pass  # not made yet, or damaged: then it is made anew
    try:
        made = make(content)
    except PammError as error:
        raise PammError(f"{str(source)!r}: {error}") from None
    except Exception as error:  # structures that are not as expected fail anywhere
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PammError(
            f"{str(source)!r} is not the .mat file that was expected: {reason}"
        ) from None
    try:
        with replacing(kept) as temporary:
            Image.fromarray(made).save(temporary)
    except OSError as error:
        _warn_once(str(kept.parents[1]), error.strerror or str(error))
    return made


def read_mat(content: bytes) -> dict[str, Any]:
    """The variables in a MATLAB file.

    Raises:
        PammError: it is damaged, or no MATLAB file.
    """
    from scipy.io import loadmat  # here, as only some data sets need it

    try:
        variables: dict[str, Any] = loadmat(io.BytesIO(content))
    except Exception as error:  # SciPy's reader raises almost anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PammError(f"damaged, or no MATLAB file: {reason}") from None
    return variables


@lru_cache
def _warn_once(folder: str, reason: str) -> None:
    log.warning(
        "cannot keep label maps in %s: %s; they are made anew each time, which is slow: free some "
        "space there, or set PAMM_CACHE to a folder that can be written to",
        folder,
        reason,
    )
