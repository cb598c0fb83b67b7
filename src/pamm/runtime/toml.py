"""TOML files of users."""

import tomllib
from pathlib import Path
from typing import Any

from pamm.errors import PammError
from pamm.runtime.files import check_regular


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file says.

    Raises:
        PammError: it cannot be read, or is not TOML.
    """
    check_regular(path)
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PammError(f"{str(path)!r} cannot be read as TOML: {error}") from None
