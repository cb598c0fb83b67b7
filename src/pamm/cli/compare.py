"""`pamm compare`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from pamm.cli.arguments import Checkpoint, parse
from pamm.errors import PammError


def compare(arguments: Sequence[str]) -> None:
    """Runs beside each other and the paper, with Delta_g: pamm compare RUN... [--baseline RUN]."""

    def command(
        runs: Annotated[list[str], tyro.conf.Positional, tyro.conf.arg(metavar="RUN...")],
        baseline: str | None = None,
        published: str | None = None,
        checkpoint: Checkpoint = "last",
        out: Path = Path("compare.md"),
    ) -> None:
        """Print the scores of evaluated runs as the paper's Table I does, and write them to files.

        Args:
            runs: Run directories that `pamm evaluate` has scored, folders with a metrics.json, or
                such files.
            baseline: The run that gains are over; if not given, the baseline of the published
                table.
            published: table-1 to table-8 of the paper, or none; if not given, table-1 where it has
                the data set of the runs.
            checkpoint: Which checkpoint of run directories.
            out: The table as Markdown; all numbers go beside it as .json, the gains as .png.
        """
        if out.suffix != ".md":
            raise PammError(f"--out: got {str(out)!r}, want the name of a Markdown file, *.md")
        from pamm.compare import compare as compare_runs
        from pamm.compare.output import print_comparison, write_comparison
        from pamm.compare.plot import draw_gains
        from pamm.runtime.files import check_file

        for suffix in (".md", ".json", ".png"):
            check_file(out.with_suffix(suffix), "choose another --out")
        comparison = compare_runs(runs, baseline=baseline, table=published, checkpoint=checkpoint)
        print_comparison(comparison)
        plot = out.with_suffix(".png") if comparison.baseline else None
        if plot:
            draw_gains(comparison, plot)
        write_comparison(comparison, out, plot=plot)
        print(f"table: {out}")

    parse(command, arguments, "pamm compare")
