"""From an archive to a data set that is ready for training."""

import os
from pathlib import Path

from pamm.data.archives import unpack
from pamm.data.file_dataset import FileDataset
from pamm.errors import PammError
from pamm.runtime.files import check_regular

DEPTH = 4  # folders within folders that a data set is looked for in
ENDINGS = (".tar", ".tgz", ".tbz2", ".txz", ".zip", ".gz", ".bz2", ".xz", ".zst")


def prepare(
    dataset: type[FileDataset],
    source: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
) -> Path:
    """Unpack an archive and find the data set in it; in a folder, only find it.

    An interrupted unpacking goes on where it was. See `pamm.data.archives` for what is refused.

    Args:
        dataset: its class.
        source: an archive (`ENDINGS`), or a folder.
        out: where to unpack to; None = a folder beside the archive, with its name.

    Returns:
        The data set's folder.

    Raises:
        PammError: no such archive, a damaged or dangerous one, a place that cannot be written to,
            or no such data set inside.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        if out is not None:
            raise PammError(
                f"{str(path)!r} is a folder, and stays where it is: --out is for archives"
            )
        return find_inside(dataset, path)
    if not path.exists():
        raise PammError(f"no archive or folder {str(path)!r}")
    check_regular(path)
    folder = path.with_name(_bare(path.name)) if out is None else Path(out).expanduser()
    if folder.exists() and not folder.is_dir():
        raise PammError(f"{str(folder)!r} is a file; give a folder to unpack to as --out")
    unpack(path, folder)
    return find_inside(dataset, folder)


def find_inside(dataset: type[FileDataset], folder: Path) -> Path:
    """The data set's folder in `folder`, however archives nest it; the outermost, if several.

    Raises:
        PammError: it is not there.
    """
    level = [folder]
    for _ in range(DEPTH + 1):
        for place in level:
            if any((place / mark).exists() for mark in dataset.signature_files()):
                return place
        level = sorted(path for place in level for path in place.iterdir() if path.is_dir())
    expected = " or ".join(dataset.signature_files())
    raise PammError(
        f"no data set {dataset.NAME!r} in {str(folder)!r}: no {expected} there or in its folders"
    )


def _bare(name: str) -> str:
    """The name of an archive without its endings."""
    stem, ending = os.path.splitext(name)
    if ending.lower() in ENDINGS and stem:
        return _bare(stem)
    return name if ending.lower() not in ENDINGS else f"{name}-unpacked"
