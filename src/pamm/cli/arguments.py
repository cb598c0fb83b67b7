"""What the commands have in common: reading arguments, and what several of them are given."""

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from pamm.errors import PammError, unknown

Command = Callable[[Sequence[str]], None]
Checkpoint = Literal["last", "best"]
Run = Annotated[str, tyro.conf.Positional]


def dispatch(commands: dict[str, Command], arguments: Sequence[str], program: str) -> None:
    """Call the command that the first argument names, or print what there is."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: {program} COMMAND [ARGUMENTS]\n")
        for name, command in commands.items():
            print(f"  {name:15}{(command.__doc__ or '').strip()}")
        print(f"\n`{program} COMMAND --help` lists the options of a command.")
        return
    if arguments[0] == "--version":
        import pamm

        print(pamm.__version__)
        return
    if arguments[0] not in commands:
        raise PammError(unknown("command", arguments[0], commands))
    commands[arguments[0]](arguments[1:])


def parse(command: Callable[..., None], arguments: Sequence[str], program: str) -> None:
    """Read the arguments of a function from the command line, and call it."""
    tyro.cli(command, args=list(arguments), prog=program)


def given(program: str, arguments: Sequence[str]) -> str:
    """The command line as it was typed."""
    return f"{program} {shlex.join(arguments)}".strip()


def first_argument(
    arguments: Sequence[str], command: str, name: str, meaning: str
) -> tuple[str, Sequence[str]]:
    """The leading positional argument, which decides the defaults of the others, and the rest."""
    if arguments and not arguments[0].startswith("-"):
        return arguments[0], arguments[1:]
    raise PammError(f"pamm {command} {name}: want {meaning} first, then options; got nothing")


def experiment_of(name: str) -> Any:
    """The experiment of a preset's name, or of the config.json of a run."""
    from pamm import presets
    from pamm.config import read_experiment

    path = Path(name)
    return read_experiment(path) if path.suffix == ".json" else presets.preset(name).experiment


def note_missing_library() -> None:
    """Say in one line that the scan is slower than it could be, if it is."""
    from pamm import native

    if problem := native.problem():
        print(f"pamm: {problem}", file=sys.stderr)


def torch_device(name: str) -> Any:
    """The torch device of a name; "auto" is a GPU where there is one."""
    import torch

    from pamm.precision import usable_device

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return usable_device(name)
