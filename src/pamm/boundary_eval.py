"""ODS, OIS and AP of anybody's boundary maps, from two folders of files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pamm.data.derived import read_mat
from pamm.data.encodings import read_array
from pamm.errors import PammError
from pamm.files import check_file, replacing, write_text
from pamm.metrics import BoundaryF
from pamm.progress import progress
from pamm.strict_json import to_json

SUFFIXES = (".png", ".npy", ".mat")
BSDS = "groundTruth"  # of the ground truth of the Berkeley Segmentation Data Set: a cell a person


def boundary_eval(
    predictions: str | Path, truths: str | Path, *, max_dist: float = 0.0075
) -> dict[str, Any]:
    """Score boundary maps by the protocol of `pamm.metrics.BoundaryF`.

    Args:
        predictions: folder with a map (H, W) per image, `<id>.png`, `.npy` or `.mat`, or, as `pamm
            predict` writes them, `<id>/boundary.npy` or `.png`. Probabilities: numbers in 0..1, or
            whole numbers of 8 or 16 bits, which are divided by 255 or 65535.
        truths: folder with the ground truth `<id>.png`, `.npy` or `.mat`: 0 is no boundary, all
            else is. Or a .mat of the Berkeley Segmentation Data Set, with the boundaries that
            several people marked.
        max_dist: the farthest match, as a share of the image diagonal. Published: 0.0075 for
            BSDS and PASCAL-Context, 0.011 for NYUD-v2.

    Returns:
        {"predictions", "truths", "images", "annotators", "unused", "protocol", "scores", "curve"}.

    Raises:
        PammError: a missing folder, file or prediction, a file that cannot be read, sizes that
            differ, or values out of range.
    """
    if not 0 <= max_dist < 1:
        raise PammError(f"max_dist: got {max_dist}, want a share of the image diagonal, 0 to 1")
    wanted, given = _files(Path(truths)), _files(Path(predictions))
    missing = [name for name in wanted if name not in given]
    if missing:
        raise PammError(
            f"{str(predictions)!r} lacks {len(missing)} of the {len(wanted)} images that "
            f"{str(truths)!r} has, such as {missing[0]!r}; want <id>{' or '.join(SUFFIXES)}, or "
            "<id>/boundary.npy"
        )
    metric, people = BoundaryF(max_dist), []
    for name, path in progress(wanted.items(), label="evaluating boundaries"):
        truth, probability = read_truth(path), read_probability(given[name])
        if truth.shape[1:] != probability.shape:
            raise PammError(
                f"{str(given[name])!r} is {size(probability)} pixels, its ground truth "
                f"{str(path)!r} {size(truth)}; want the same size"
            )
        people.append(len(truth))
        metric.update(torch.from_numpy(probability)[None, None], torch.from_numpy(truth)[None])
    return {
        "predictions": str(predictions),
        "truths": str(truths),
        "images": len(wanted),
        "annotators": [min(people), max(people)],
        "unused": len(given.keys() - wanted.keys()),
        "protocol": metric.describe(),
        "scores": metric.compute(),
        "curve": {key: values.tolist() for key, values in metric.curve().items()},
    }


def read_probability(path: Path) -> NDArray[np.float64]:
    """A boundary map (H, W) in 0..1; see `boundary_eval`."""
    array = _map(path, _read(path))
    if path.suffix == ".png" and array.dtype == np.int32:  # Pillow before 11 reads 16 bits so
        array = array.astype(np.uint16)
    if array.dtype in (np.uint8, np.uint16):
        return array / np.iinfo(array.dtype).max
    values = array.astype(np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise PammError(
            f"{str(path)!r} holds values from {values.min():g} to {values.max():g}; want "
            "probabilities in 0..1, or whole numbers of 8 or 16 bits without a sign"
        )
    return values


def read_truth(path: Path) -> NDArray[np.uint8]:
    """Ground truth (A, H, W) of 0 and 1, A people's; see `boundary_eval`."""
    content = _read(path)
    if BSDS in content:
        try:
            maps = [cell["Boundaries"][0, 0] for cell in content[BSDS].reshape(-1)]
            return np.stack(maps).astype(bool).astype(np.uint8)
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise PammError(
                f"{str(path)!r}: {BSDS!r} is not as in the Berkeley Segmentation Data Set, a cell "
                f"per person with 'Boundaries' ({error})"
            ) from None
    return (_map(path, content) != 0).astype(np.uint8)[None]


def size(array: NDArray[Any]) -> str:
    """Height and width of a map (..., H, W) in words.

    >>> size(np.zeros((2, 30, 40)))
    '30x40'
    """
    return "x".join(map(str, array.shape[-2:]))


def check_out(out: Path) -> None:
    """Raise unless `write_report` can write there."""
    if out.suffix == ".png":
        raise PammError(f"--out: got {str(out)!r}, the name of the plot; want one like report.json")
    for path in (out, out.with_suffix(".png")):
        check_file(path, "choose another --out")


def write_report(report: dict[str, Any], out: Path) -> Path:
    """Write the report as JSON, and its precision-recall plot beside it; gives the plot's path."""
    write_text(out, json.dumps(to_json(report), indent=1) + "\n")
    plot = out.with_suffix(".png")
    with replacing(plot) as temporary:
        plot_curve(report, temporary)
    return plot


def plot_curve(report: dict[str, Any], path: Path) -> None:
    """Draw precision over recall with lines of equal F, and mark the best threshold."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scores, curve = report["scores"], report["curve"]
    figure = Figure(figsize=(5.2, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    recall = np.linspace(0.005, 1, 400)
    for level in np.arange(1, 10) / 10:
        valid = recall > level / 2
        precision = level * recall[valid] / (2 * recall[valid] - level)
        axes.plot(recall[valid], precision, color="0.85", linewidth=0.8)
        axes.annotate(f"F {level:.1f}", (1.005, level / (2 - level)), fontsize=7, color="0.55",
                      va="center", annotation_clip=False)  # fmt: skip
    used = np.array(curve["precision"]) > 0
    axes.plot(np.array(curve["recall"])[used], np.array(curve["precision"])[used], color="tab:red")
    best = int(np.argmin(np.abs(np.array(curve["threshold"]) - scores["odsThreshold"])))
    axes.plot(curve["recall"][best], curve["precision"][best], "o", color="tab:red")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="recall", ylabel="precision", aspect="equal")
    axes.set_title(
        f"ODS {scores['odsF']:.3f} at {scores['odsThreshold']:.2f}, OIS {scores['oisF']:.3f}, "
        f"AP {scores['AP']:.3f}; {report['images']} images",
        fontsize=10,
    )
    figure.savefig(path, dpi=150)


def _files(folder: Path) -> dict[str, Path]:
    """{id: file}; a folder of `pamm predict`, with boundary.npy or boundary.png, counts as one."""
    if not folder.is_dir():
        raise PammError(f"no folder {str(folder)!r}; give one with {', '.join(SUFFIXES)} files")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            name, exact = path.name, path / "boundary.npy"
            path = exact if exact.is_file() else path / "boundary.png"
        else:
            name = path.stem
        if path.name.startswith(".") or path.suffix not in SUFFIXES or not path.is_file():
            continue
        if name in found:
            raise PammError(
                f"both {str(found[name])!r} and {str(path)!r} are there for {name!r}; leave one"
            )
        found[name] = path
    if not found:
        raise PammError(f"{str(folder)!r} holds no {', '.join(SUFFIXES)} file")
    return found


def _read(path: Path) -> dict[str, Any]:
    """The variables of a .mat file; of another file the one array, by the name of the file."""
    if path.suffix != ".mat":
        return {path.name: read_array(path)}
    try:
        content = read_mat(path.read_bytes())
    except PammError as error:
        raise PammError(f"{str(path)!r}: {error}") from None
    return {name: value for name, value in content.items() if not name.startswith("__")}


def _map(path: Path, content: dict[str, Any]) -> NDArray[Any]:
    """The one map (H, W) of numbers in a file; other variables of a .mat are texts or numbers."""
    if path.suffix == ".png":
        content = {k: a[..., 0] if a.ndim == 3 else a for k, a in content.items()}  # grey as RGB
    arrays = [a for a in content.values() if isinstance(a, np.ndarray) and a.dtype.kind in "buif"]
    maps = [a for a in arrays if a.ndim == 2 and a.size > 1]
    if len(maps) != 1:
        shapes = ", ".join(f"{k} {getattr(a, 'shape', '')}" for k, a in content.items())
        raise PammError(
            f"{str(path)!r} holds {shapes or 'nothing'}; want one map (height, width) of numbers"
        )
    return maps[0]
