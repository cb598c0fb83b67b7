"""Boundary evaluation: the compiled form beside the one in NumPy and SciPy, and its counts.

    python benchmarks/boundary.py [--images 100] [--threads 2] [--out benchmarks/boundary.md]

Rendered rooms of 425x560 with their true boundaries; the predictions are what an edge detector sees
in the picture, the length of the smoothed image's gradient, in a blend with the blurred truth of
another weight for each image. 101 thresholds, pairs within 0.011 of the diagonal (NYUD-v2).

Three questions: are the counts of both forms equal, for every image and threshold; how long do they
take, one image after the other in turn, and all of them in threads; and has the matching as many
pairs as the cheapest assignment, which the original tool looks for.
"""

import argparse
import math
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from pamm.bench.report import machine
from pamm.data import Synthetic
from pamm.metrics import BoundaryF, boundary_matching, boundary_native
from pamm.metrics.boundary_forms import FORMS
from pamm.metrics.edges import Bools, Floats, edge_nms, thin_nested
from pamm.runtime.files import write_text
from pamm.runtime.progress import progress

SIZE, MAX_DIST = (425, 560), 0.011
REACH = MAX_DIST * math.hypot(*SIZE)
BY_HAND = "## Known answers"  # the part of the report that this script leaves alone, at its end
CUTS = np.array(FORMS["seism"].thresholds)


def detect(image: np.ndarray, truth: Bools, share: float) -> Floats:
    """A boundary map (H, W) in 0..1 that is `share` wishful thinking."""
    grey = image.mean(0)
    slope = np.hypot(*(ndimage.gaussian_filter(grey, 1.5, order=o) for o in ((0, 1), (1, 0))))
    seen = slope / np.percentile(slope, 99.5)
    known = ndimage.gaussian_filter(np.roll(truth, 2, axis=1).astype(float), 1.5) * 3
    return np.clip((1 - share) * seen + share * known, 0, 1)


def plain(probability: Floats, truth: Bools) -> boundary_matching.Counts:
    """NumPy and SciPy."""
    return boundary_matching.boundary_counts(
        edge_nms(probability, smoothing=0), truth[None], thresholds=CUTS, max_distance=REACH
    )


def compiled(probability: Floats, truth: Bools) -> boundary_matching.Counts:
    """The library."""
    return boundary_native.boundary_counts(
        boundary_native.edge_nms(probability, smoothing=0),
        truth[None],
        thresholds=CUTS,
        max_distance=REACH,
    )


def cheapest_pairs(line: Bools, truth: Bools) -> int:
    """Pairs of the assignment in which a pair costs its distance and a pixel alone 100 reaches."""
    pixels, targets = np.argwhere(line), np.argwhere(truth)
    if not len(pixels) or not len(targets):
        return 0
    number = np.full(truth.shape, -1)
    number[truth] = np.arange(len(targets))
    number = np.pad(number, int(REACH), constant_values=-1)
    i, j, cost = [], [], []
    for dy in range(-int(REACH), int(REACH) + 1):
        for dx in range(-int(REACH), int(REACH) + 1):
            if math.hypot(dy, dx) <= REACH:
                near = number[pixels[:, 0] + int(REACH) + dy, pixels[:, 1] + int(REACH) + dx]
                hits = np.flatnonzero(near >= 0)
                i.append(hits)
                j.append(near[hits])
                cost.append(np.full(len(hits), 1e-3 + math.hypot(dy, dx)))
    everyone = np.arange(len(pixels))
    graph = csr_array(
        (
            np.concatenate([*cost, np.full(len(pixels), 100 * REACH)]),
            (np.concatenate([*i, everyone]), np.concatenate([*j, len(targets) + everyone])),
        )
    )
    return int((min_weight_full_bipartite_matching(graph)[1] < len(targets)).sum())


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rooms = Synthetic("val", size=SIZE, count=arguments.images, tasks=["boundary"])
    cases = []
    for index in range(len(rooms)):
        room = rooms.load(index)
        truth = room["targets"]["boundary"][0].numpy() == 1
        share = index / max(len(rooms) - 1, 1)
        cases.append((detect(room["image"].numpy(), truth, share), truth))

    times: dict[str, list[float]] = {"plain": [], "compiled": []}
    different, compared, fewer, cut_lines = 0, 0, 0, 0
    for index, case in enumerate(progress(cases, label="both forms in turn")):
        results = {}
        for form in (plain, compiled):
            start = time.perf_counter()
            results[form.__name__] = form(*case)
            times[form.__name__].append(time.perf_counter() - start)
        pairs = zip(results["plain"], results["compiled"], strict=True)
        different += any(not np.array_equal(a, b) for a, b in pairs)
        if index % 10 == 0:
            edges = edge_nms(case[0], smoothing=0)
            for k in range(5, 101, 10):
                rows, columns = np.nonzero(edges > CUTS[k])
                thinned = thin_nested(rows, columns, np.ones((len(rows), 1), bool), SIZE)[:, 0]
                line = np.zeros(SIZE, bool)
                line[rows[thinned], columns[thinned]] = True
                compared += 1
                cut_lines += int(results["compiled"].matched[k])
                fewer += abs(cheapest_pairs(line, case[1]) - int(results["compiled"].matched[k]))

    torch.set_num_threads(arguments.threads)
    metric = BoundaryF(MAX_DIST)
    start = time.perf_counter()
    for probability, truth in cases:
        images = torch.from_numpy(probability)[None, None], torch.from_numpy(truth)[None, None]
        metric.update(images[0], images[1].long())
    scores = metric.compute()
    wall = (time.perf_counter() - start) / len(cases)

    middle = {name: statistics.median(values) for name, values in times.items()}
    ratio = statistics.median(a / b for a, b in zip(times["plain"], times["compiled"], strict=True))
    report = f"""# Boundary evaluation

`python benchmarks/boundary.py --images {len(cases)} --threads {arguments.threads}`:
{len(cases)} rooms of {SIZE[0]}x{SIZE[1]}, 101 thresholds, pairs within {REACH:.2f} pixels.

| form | seconds an image (median) | slowest image |
|---|---:|---:|
| NumPy and SciPy | {middle["plain"]:.3f} | {max(times["plain"]):.3f} |
| compiled, one thread | {middle["compiled"]:.4f} | {max(times["compiled"]):.4f} |
| compiled, {arguments.threads} threads, as `BoundaryF` counts a data set | {wall:.4f} | |

- The compiled form is {ratio:.0f} times as fast (median of the images' ratios, measured in turn).
- Images of which any count at any threshold differs between the two: {different} of {len(cases)}.
- The cheapest assignment (a pair costs its distance, a pixel alone a hundred times the reach, as in
  the original tool) of {compared} maps, {cut_lines} pairs in all: {fewer} pairs of difference.
- Scores of these predictions: odsF {scores["odsF"]:.4f}, oisF {scores["oisF"]:.4f},
  AP {scores["AP"]:.4f}.

"""
    report += "".join(f"- {k}: {v}\n" for k, v in machine(arguments.threads).items() if v)
    print(report)
    if arguments.out:
        before = arguments.out.read_text("utf-8") if arguments.out.exists() else ""
        _, heading, rest = before.partition(BY_HAND)
        write_text(arguments.out, report + (f"\n{heading}{rest}" if heading else ""))


if __name__ == "__main__":
    main()
