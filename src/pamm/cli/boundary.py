"""`pamm boundary-eval`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from pamm.cli.arguments import note_missing_library, parse
from pamm.runtime.ranges import Count, MatchDistance
from pamm.runtime.text import counted


def boundary_eval(arguments: Sequence[str]) -> None:
    """Score anybody's boundary maps: pamm boundary-eval PREDICTIONS TRUTHS."""

    def command(
        predictions: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PREDICTIONS")],
        truths: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TRUTHS")],
        max_dist: MatchDistance = 0.0075,
        form: str = "seism",
        thresholds: Count | None = None,
        images: Annotated[Path | None, tyro.conf.arg(name="list")] = None,
        out: Path = Path("boundary-eval.json"),
    ) -> None:
        """ODS, OIS and AP of boundary maps, from files; no model is needed.

        Args:
            predictions: Folder with a map per image, <id>.png, .npy, .npz or .mat: probabilities
                0 to 1, or whole numbers of 8 or 16 bits; or contour maps of double size (ucm2).
                What `pamm predict` wrote is fine, too.
            truths: Folder with the ground truth, <id>.png, .npy, .npz or .mat, such as those of the
                Berkeley Segmentation Data Set. seism: images of labels or lines, which are
                outlined; other forms: lines, not 0.
            max_dist: Farthest match as a share of the image diagonal; NYUD-v2 has 0.011.
            form: seism: of the tables on NYUD-v2 and PASCAL-Context; seism-minmax: each map
                stretched first, as PAMM's authors do; hed: of edge detectors on BSDS500; thin: for
                maps of thin lines, as Berkeley's benchmark takes them.
            thresholds: Number of thresholds to cut at, i / (thresholds + 1); if not given, the
                form's own.
            images: File with the ids of the images to score, one a line; if not given, all.
            out: The report; the precision-recall plot goes beside it as .png.
        """
        from pamm.evaluation import boundary_maps as evaluation

        evaluation.check_out(out)
        note_missing_library()
        report = evaluation.boundary_eval(
            predictions, truths, max_dist=max_dist, form=form, thresholds=thresholds, images=images
        )
        scores, how = report["scores"], report["protocol"]
        print(f"form {how['form']}: {how['prediction']}; {how['thresholds']} thresholds")
        print(f"ODS {scores['odsF']:.4f} at threshold {scores['odsThreshold']:.3f}")
        print(f"OIS {scores['oisF']:.4f}\nAP  {scores['AP']:.4f}")
        if not scores["odsF"]:
            print(
                "nothing lies near enough to a boundary: is --max-dist, a share of the diagonal, "
                "at least a pixel or two, and the truth as --form wants it?"
            )
        if report["unused"]:
            unused = counted(report["unused"], "prediction")
            without = "not in the list or without" if images else "without"
            print(f"not used, as {without} ground truth: {unused}")
        plot = evaluation.write_report(report, out)  # last, as it may fail
        print(f"{report['images']} images; report: {out}, plot: {plot}")

    parse(command, arguments, "pamm boundary-eval")
