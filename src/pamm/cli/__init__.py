"""The command line: `pamm COMMAND ...`; each command is one call into the package.

A user's mistake is one line on standard error and exit code 2. The heavy imports are inside the
commands, so that `pamm --help` answers at once.
"""

import sys
from collections.abc import Sequence

from pamm.cli.arguments import Command, dispatch
from pamm.cli.boundary import boundary_eval
from pamm.cli.compare import compare
from pamm.cli.models import describe, evaluate, predict, presets, train
from pamm.cli.tools import bench, data, doctor
from pamm.errors import PammError

COMMANDS: dict[str, Command] = {
    "train": train,
    "evaluate": evaluate,
    "compare": compare,
    "predict": predict,
    "boundary-eval": boundary_eval,
    "describe": describe,
    "presets": presets,
    "doctor": doctor,
    "data": data,
    "bench": bench,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; the entry point of `pamm`."""
    try:
        dispatch(COMMANDS, sys.argv[1:] if arguments is None else arguments, "pamm")
    except (PammError, OSError) as error:  # OSError: a folder that may not be written, a full disk
        # Of several processes that make the same mistake, the first one says so.
        processes = sys.modules.get("pamm.distributed")
        alone = getattr(error, "of_one_process", False)
        if processes is None or processes.is_first() or alone:
            print(f"pamm: {error}", file=sys.stderr)
        sys.exit(2)
    except RuntimeError as error:
        processes = sys.modules.get("pamm.distributed")
        if processes is not None and processes.another_has_failed(error):
            sys.exit(2)
        if str(error).startswith("DataLoader worker"):  # as PyTorch says it
            print(
                "pamm: a loading process was killed, mostly since memory ran out (also the shared "
                "one of a container): lower --data.workers (0 = none), or give it more",
                file=sys.stderr,
            )
            sys.exit(2)
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which is not imported here
            raise
        print(
            "pamm: not enough GPU memory: in training use --train.gradient-checkpointing, raise "
            "--train.accumulate or lower --train.batch-size; else lower --batch-size or --scales, "
            "or give smaller images",
            file=sys.stderr,
        )
        sys.exit(2)
    except MemoryError as error:
        print(f"pamm: not enough memory: {error}; give smaller images or batches", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("pamm: interrupted", file=sys.stderr)
        sys.exit(130)
