"""One folder of photographs with marked boundaries, scored in every form and one step apart.

    python benchmarks/boundary_forms.py BSDS500/data/images/test BSDS500/data/groundTruth/test
        [--images 100] [--max-dist 0.0075]

The maps are those of a plain detector: the length of the colour gradient at three scales, 0..1,
and the same a twentieth as strong, as the maps of a network are that is not sure of much. Truths
are .mat files of the Berkeley Segmentation Data Set.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from scipy.io import loadmat

from pamm.data.pascal_context import label_boundary
from pamm.evaluation.boundary_maps import read_truth
from pamm.metrics import BoundaryF
from pamm.metrics.boundary_forms import FORMS
from pamm.pictures.images import list_images, read_image
from pamm.runtime.progress import progress

SEISM, HED = FORMS["seism"], FORMS["hed"]
PALE = 0.05
LAPLACIAN = "`seism`, the truth where the labels' Laplacian is not 0, thinned"
VARIANTS = {
    "`seism`": SEISM,
    "`seism-minmax`": FORMS["seism-minmax"],
    "`seism` without 8 bits": replace(SEISM, eight_bits=False),
    "`seism`, smoothed by a triangle of radius 1 first": replace(SEISM, smoothing=1),
    LAPLACIAN: SEISM,
    "`hed`": HED,
    "`hed` without 8 bits": replace(HED, ridges_eight_bits=False),
    "`hed`, not smoothed": replace(HED, smoothing=0),
    "`hed`, the best threshold not interpolated": replace(HED, interpolate=False),
}


def truths_of(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Lines (1, A, H, W) of several people: outlines of their segments, and by the Laplacian."""
    cells = loadmat(path)["groundTruth"].reshape(-1)
    lines = np.stack([label_boundary(cell["Segmentation"][0, 0]) for cell in cells])
    outlined = torch.from_numpy(read_truth(path, SEISM))
    # In this data set the boundaries that people marked are the outlines of their segments.
    assert np.array_equal(outlined, read_truth(path, HED)), path
    return outlined[None], torch.from_numpy(lines.astype(np.uint8))[None]


def detect(image: np.ndarray) -> np.ndarray:
    """A boundary map (H, W) in 0..1 of a picture (H, W, 3)."""
    planes = image.astype(np.float64).transpose(2, 0, 1)
    strength = np.zeros(image.shape[:2])
    for scale in (1.5, 3.0, 5.0):
        slopes = [
            np.hypot(*(ndimage.gaussian_filter(p, scale, order=o) for o in ((0, 1), (1, 0))))
            for p in planes
        ]
        strength += scale * np.max(slopes, axis=0)
    return np.clip(strength / 160, 0, 1)


def main() -> None:
    """Score, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("truths", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--max-dist", type=float, default=0.0075)
    arguments = parser.parse_args()
    photographs = list_images([arguments.photographs])[: arguments.images]
    metrics = {
        (name, contrast): BoundaryF(arguments.max_dist, form=form)
        for name, form in VARIANTS.items()
        for contrast in (1, PALE)
    }
    for path in progress(photographs, label="scoring"):
        strength = torch.from_numpy(detect(read_image(path)))[None, None]
        outlined, laplacian = truths_of(arguments.truths / f"{path.stem}.mat")
        for (name, contrast), metric in metrics.items():
            metric.update(contrast * strength, laplacian if name == LAPLACIAN else outlined)
    print(f"{len(photographs)} images, pairs within {arguments.max_dist} of the diagonal.\n")
    print(
        "| form | ODS | at | OIS | AP | pale maps: ODS | at |\n|---|---:|---:|---:|---:|---:|---:|"
    )
    for name in VARIANTS:
        ods, at, ois, ap = metrics[name, 1].compute().values()
        pale, pale_at, *_ = metrics[name, PALE].compute().values()
        print(
            f"| {name} | {100 * ods:.2f} | {at:.3f} | {100 * ois:.2f} | {100 * ap:.2f} "
            f"| {100 * pale:.2f} | {pale_at:.3f} |"
        )


if __name__ == "__main__":
    main()
