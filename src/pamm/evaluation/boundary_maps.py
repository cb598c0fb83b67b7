"""ODS, OIS and AP of anybody's boundary maps, from two folders of files."""

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pamm.data.derived import read_mat
from pamm.data.label_files import read_array
from pamm.errors import PammError
from pamm.evaluation.image_list import read_image_list
from pamm.metrics import BoundaryF, InThreads
from pamm.metrics.boundary_forms import BoundaryForm, boundary_form
from pamm.metrics.edges import outlines
from pamm.pictures.images import read_image
from pamm.runtime.files import check_file, replacing, write_text
from pamm.runtime.progress import progress
from pamm.runtime.strict_json import to_json

SUFFIXES = (".png", ".npy", ".npz", ".mat")
BSDS = "groundTruth"  # of the ground truth of the Berkeley Segmentation Data Set: a cell a person


def boundary_eval(
    predictions: str | Path,
    truths: str | Path,
    *,
    max_dist: float = 0.0075,
    form: str = "seism",
    thresholds: int | None = None,
    images: str | Path | None = None,
) -> dict[str, Any]:
    """Score boundary maps by the protocol of `pamm.metrics.BoundaryF`.

    Args:
        predictions: folder with a map (H, W) per image, `<id>.png`, `.npy`, `.npz` or `.mat`, or,
            as `pamm predict` writes them, `<id>/boundary.*`. Probabilities: numbers in 0..1, or
            whole numbers of 8 or 16 bits, which are divided by 255 or 65535. A map of
            (2H + 1, 2W + 1) is a contour map on the grid between pixels (ucm2), of which every
            second row and column counts, from the third on.
        truths: folder with the ground truth `<id>.png`, `.npy`, `.npz` or `.mat`, see `read_truth`.
        max_dist: the farthest match, as a share of the image diagonal. Published: 0.0075 for
            BSDS and PASCAL-Context, 0.011 for NYUD-v2.
        form: a key of `pamm.metrics.boundary_forms.FORMS`.
        thresholds: cut at so many, i / (thresholds + 1); None = at those of the form.
        images: text file with the ids to score, one a line; None = all that `truths` has.

    Returns:
        {"predictions", "truths", "images", "annotators", "unused", "protocol", "scores", "curve"}.

    Raises:
        PammError: a missing folder, file or prediction, a file that cannot be read, sizes that
            differ, values out of range, an unknown form; or there is no boundary at all.
    """
    if not 0 <= max_dist < 1:
        raise PammError(f"max_dist: got {max_dist}, want a share of the image diagonal, 0 to 1")
    chosen = boundary_form(form)
    if thresholds is not None:
        chosen = chosen.with_thresholds(thresholds)
    wanted, given = _files(Path(truths)), _files(Path(predictions))
    listed = {}
    if images is not None:
        some = read_image_list(Path(images), wanted, where=repr(str(truths)))
        wanted = {name: path for name, path in wanted.items() if name in some.ids}
        listed = {"images": some.describe()}
    missing = [name for name in wanted if name not in given]
    if missing:
        raise PammError(
            f"{str(predictions)!r} lacks {len(missing)} of the {len(wanted)} images that "
            f"{str(truths)!r} has, such as {missing[0]!r}; want <id>{' or '.join(SUFFIXES)}, or "
            "<id>/boundary.*"
        )
    metric, people = BoundaryF(max_dist, form=chosen), []
    with InThreads() as threads:
        for name, path in progress(wanted.items(), label="evaluating boundaries"):
            truth, probability = read_truth(path, chosen), read_probability(given[name])
            if probability.shape == tuple(2 * side + 1 for side in truth.shape[1:]):
                probability = probability[2::2, 2::2]
            if truth.shape[1:] != probability.shape:
                raise PammError(
                    f"{str(given[name])!r} is {size(probability)} pixels, its ground truth "
                    f"{str(path)!r} {size(truth)}; want the same size"
                )
            people.append(len(truth))
            maps = torch.tensor(probability)[None, None], torch.from_numpy(truth)[None]
            threads.update(metric, *maps)
    _check_boundaries(metric, predictions, truths)
    return {
        "predictions": str(predictions),
        "truths": str(truths),
        "images": len(wanted),
        "annotators": [min(people), max(people)],
        "unused": len(given.keys() - wanted.keys()),
        "protocol": {**metric.describe(), **listed},
        "scores": metric.compute(),
        "curve": {key: values.tolist() for key, values in metric.curve().items()},
    }


def read_probability(path: Path) -> NDArray[np.float64]:
    """A boundary map (H, W) in 0..1; see `boundary_eval`."""
    array = _map(path, _read(path))
    if path.suffix.lower() == ".png":
        if array.dtype == np.int32:  # Pillow before 11 reads 16 bits so
            array = array.astype(np.uint16)
        if array.dtype == np.uint8:
            shown = read_image(path)  # numbers of a palette are no levels of grey
            if not (shown == array[..., None]).all():
                array = _grey(shown, path)
    if array.dtype in (np.uint8, np.uint16):
        return array / np.iinfo(array.dtype).max
    values = array.astype(np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise PammError(
            f"{str(path)!r} holds values from {values.min():g} to {values.max():g}; want "
            "probabilities in 0..1, or whole numbers of 8 or 16 bits without a sign"
        )
    return values


def read_truth(path: Path, form: BoundaryForm) -> NDArray[np.uint8]:
    """Ground truth (A, H, W) of 0 and 1, A people's.

    In a form that outlines its truth, a file is a map of labels or an image of lines, and the
    boundaries are where neighbours differ (`pamm.metrics.edges.outlines`). In the others 0 is no
    boundary, and all else is. A .mat may be of the Berkeley Segmentation Data Set, by several
    people: then their segments are outlined, or the boundaries taken that they marked.
    """
    content = _read(path)
    if BSDS not in content:
        maps = [_map(path, content)]
    else:
        part = "Segmentation" if form.outline_truth else "Boundaries"
        try:
            people = np.stack([cell[part][0, 0] for cell in content[BSDS].reshape(-1)])
            if people.ndim != 3 or people.dtype.kind not in "buif":
                raise ValueError(f"{people.dtype} of shape {people.shape[1:]}")
            maps = list(people)
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise PammError(
                f"{str(path)!r}: {BSDS!r} is not as in the Berkeley Segmentation Data Set, a cell "
                f"per person with {part!r} ({error})"
            ) from None
    if not all(np.isfinite(values).all() for values in maps):
        raise PammError(f"{str(path)!r} holds values that are not numbers; want labels or lines")
    lines = [outlines(values) if form.outline_truth else values != 0 for values in maps]
    return np.stack(lines).astype(np.uint8)


def _check_boundaries(metric: BoundaryF, predictions: str | Path, truths: str | Path) -> None:
    """Raise where a score would be 0 for want of anything to score."""
    state, lowest = metric.state(), metric.thresholds[0]
    if not int(state["actual"]):
        raise PammError(f"no file of {str(truths)!r} has a boundary; want lines that are not 0")
    if not int(state["predicted"].sum()):
        raise PammError(
            f"no map of {str(predictions)!r} has a boundary of {lowest:g} or more; want "
            "probabilities in 0..1, or whole numbers in 0..255 (8 bits) or 0..65535 (16 bits)"
        )


def size(array: NDArray[Any]) -> str:
    """Height and width of a map (..., H, W) in words.

    >>> size(np.zeros((2, 30, 40)))
    '30x40'
    """
    return "x".join(map(str, array.shape[-2:]))


def check_out(out: Path) -> None:
    """Raise unless `write_report` can write there."""
    if out.suffix not in (".json", ""):
        raise PammError(
            f"--out: got {str(out)!r}, want a name that ends in .json, as the report is"
        )
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
    threshold, precision, recalls = (
        np.array(curve[k]) for k in ("threshold", "precision", "recall")
    )
    used = recalls > 0
    axes.plot(recalls[used], precision[used], color="tab:red")
    best = [np.interp(scores["odsThreshold"], threshold, y) for y in (recalls, precision)]
    axes.plot(*best, "o", color="tab:red")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="recall", ylabel="precision", aspect="equal")
    axes.set_title(
        f"ODS {scores['odsF']:.3f} at {scores['odsThreshold']:.2f}, OIS {scores['oisF']:.3f}, "
        f"AP {scores['AP']:.3f}\n{report['images']} images, form {report['protocol']['form']}",
        fontsize=10,
    )
    figure.savefig(path, dpi=150)


def _files(folder: Path) -> dict[str, Path]:
    """{id: file}; a folder that holds boundary.npy or the like counts as one."""
    if not folder.is_dir():
        raise PammError(f"no folder {str(folder)!r}; give one with {', '.join(SUFFIXES)} files")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = path.stem
        if path.is_dir():
            name = path.name
            # Arrays before pictures of them.
            inside = (path / f"boundary{suffix}" for suffix in (".npy", ".npz", ".mat", ".png"))
            path = next((file for file in inside if file.is_file()), path)
        if name.startswith(".") or path.suffix.lower() not in SUFFIXES or not path.is_file():
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
    """The variables of a .mat or .npz file; of another file the one array, by its name."""
    kind = path.suffix.lower()
    try:
        if kind == ".mat":
            content = read_mat(path.read_bytes())
            return {name: value for name, value in content.items() if not name.startswith("__")}
        if kind == ".npz":
            with zipfile.ZipFile(path):  # np.load would take other kinds of files, too
                pass
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
    except (PammError, OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise PammError(f"{str(path)!r}: {reason}") from None
    array = read_array(path)
    return {path.name: _grey(array, path) if kind == ".png" else array}


def _map(path: Path, content: dict[str, Any]) -> NDArray[Any]:
    """The one map (H, W) of numbers in a file; other variables of a .mat are texts or numbers."""
    arrays = [a for a in content.values() if isinstance(a, np.ndarray) and a.dtype.kind in "buif"]
    maps = [a for a in arrays if a.ndim == 2 and a.size > 1]
    if len(maps) != 1:
        shapes = ", ".join(f"{k} {getattr(a, 'shape', '')}" for k, a in content.items())
        raise PammError(
            f"{str(path)!r} holds {shapes or 'nothing'}; want one map (height, width) of numbers"
        )
    return maps[0]


def _grey(picture: NDArray[Any], path: Path) -> NDArray[Any]:
    """A picture (H, W) or (H, W, channels) as levels of grey.

    Raises:
        PammError: it has colours, or says something by transparency.
    """
    if picture.ndim != 3:
        return picture
    grey, *others = np.moveaxis(picture, 2, 0)
    if picture.shape[2] in (2, 4):
        *others, opacity = others
        if (opacity != np.iinfo(opacity.dtype).max).any():
            raise PammError(
                f"{str(path)!r} is transparent in places, or CMYK; save it as plain grey"
            )
    if any((other != grey).any() for other in others):
        raise PammError(f"{str(path)!r} is coloured; want grey, or colours of equal R, G and B")
    return grey
