"""A labelled contact sheet of a data set: each image beside its labels for every task."""

import os
from pathlib import Path

from PIL import Image

from pamm.data.dataset import MultiTaskDataset
from pamm.errors import PammError
from pamm.pictures.visualise import contact_sheet
from pamm.runtime.files import replacing


def preview(dataset: MultiTaskDataset, count: int, out_path: str | os.PathLike[str]) -> Path:
    """Draw the first images of a data set with all their labels, a row each, into one picture.

    Args:
        dataset: its raw samples are drawn, a transform is not applied.
        count: number of images; fewer where the data set has fewer.
        out_path: file to write; its ending, such as .png or .jpg, says the format.

    Returns:
        `out_path` as a path.

    Raises:
        PammError: a count below 1, an ending that is no picture's, or a place that cannot be
            written to.
    """
    path = Path(out_path)
    if count < 1:
        raise PammError(f"a preview of {count} images shows nothing; ask for at least 1")
    if path.suffix.lower() not in Image.registered_extensions():
        raise PammError(f"cannot tell the format of {path}; give it an ending such as .png")
    samples = [dataset.load(index) for index in range(min(count, len(dataset)))]
    rows = [
        (
            sample["image"].permute(1, 2, 0).contiguous().numpy(),
            {name: dataset.tasks[name].to_array(t) for name, t in sample["targets"].items()},
        )
        for sample in samples
    ]
    sheet = contact_sheet(rows, dataset.tasks, titles=[sample["id"] for sample in samples])
    try:
        with replacing(path) as temporary:
            Image.fromarray(sheet).save(temporary)
    except OSError as error:
        raise PammError(
            f"cannot write the preview to {path}: {error.strerror or error}; choose another place"
        ) from error
    return path
