"""The command line: `pamm COMMAND ...`; each command is one call into the package.

A user's mistake is one line on standard error and exit code 2. The heavy imports are inside the
commands, so that `pamm --help` answers at once.
"""

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import NoReturn

from pamm.cli.arguments import Command, dispatch
from pamm.cli.boundary import boundary_eval
from pamm.cli.compare import compare
from pamm.cli.models import backbones, describe, evaluate, presets, train
from pamm.cli.predict import pack, predict
from pamm.cli.tools import bench, data, doctor
from pamm.errors import PammError
from pamm.runtime.text import printable

COMMANDS: dict[str, Command] = {
    "train": train,
    "evaluate": evaluate,
    "compare": compare,
    "predict": predict,
    "pack": pack,
    "boundary-eval": boundary_eval,
    "describe": describe,
    "presets": presets,
    "backbones": backbones,
    "doctor": doctor,
    "data": data,
    "bench": bench,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; the entry point of `pamm`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # no character may end a command
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            run(sys.argv[1:] if arguments is None else arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # who reads the output has seen enough, as `head` does
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # for Python's last flush
        sys.exit(128 + 13)  # as the signal SIGPIPE would end it


def run(arguments: Sequence[str]) -> None:
    """Run one command; what the user can mend becomes one line and exit code 2."""
    try:
        dispatch(COMMANDS, arguments, "pamm")
    except BrokenPipeError:
        raise
    except (PammError, OSError) as error:  # OSError: a folder that may not be written, a full disk
        # Of several processes that make the same mistake, the first one says so.
        processes = sys.modules.get("pamm.runtime.distributed")
        alone = getattr(error, "of_one_process", False)
        if processes is None or processes.is_first() or alone:
            end(str(error))
        sys.exit(2)
    except RuntimeError as error:
        processes = sys.modules.get("pamm.runtime.distributed")
        if processes and processes.another_has_failed(error):
            # With another code than 0, Fabric would kill the first one, which has its own.
            sys.exit(2 if processes.is_first() else 0)
        if str(error).startswith("DataLoader worker"):  # as PyTorch says it
            end(
                "a loading process was killed, mostly since memory ran out (also the shared one of "
                "a container): lower --data.workers (0 = none), or give it more"
            )
        if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported here
            end(
                "not enough GPU memory: in training use --train.gradient-checkpointing, raise "
                "--train.accumulate or lower --train.batch-size; else lower --batch-size or "
                "--scales, or give smaller images"
            )
        if "DefaultCPUAllocator" in str(error):  # torch's MemoryError
            end("not enough memory: give smaller images, batches or layers")
        raise
    except MemoryError as error:
        end(f"not enough memory: {error or 'none left'}; give smaller images, batches or layers")
    except KeyboardInterrupt:
        end("interrupted", 130)


def end(message: str, code: int = 2) -> NoReturn:
    """Say why in one line, and end."""
    print(f"pamm: {printable(message)}", file=sys.stderr)
    sys.exit(code)
