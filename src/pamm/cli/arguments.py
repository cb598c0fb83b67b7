"""What the commands have in common: reading arguments, and what several of them are given."""

import contextlib
import dataclasses
import functools
import inspect
import io
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from pamm.errors import PammError, unknown
from pamm.runtime.ranges import check_values, declarations

Command = Callable[[Sequence[str]], None]
Checkpoint = Literal["last", "best"]
Run = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


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
    """Read the arguments of a function from the command line, hold them to its types, and call it.

    Raises:
        PammError: arguments that do not fit; all is told in one line.
    """

    @functools.wraps(command)
    def collect(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            args, kwargs = tyro.cli(collect, args=list(arguments), prog=program)
    except SystemExit as ended:
        if not ended.code:  # --help
            raise
        message = mistake(said.getvalue(), cause(ended), arguments)
        raise PammError(f"{message}; see `{program} --help`") from None
    values = inspect.signature(command).bind(*args, **kwargs).arguments
    check_values(declarations(command), values, lambda name: f"--{name.replace('_', '-')}")
    command(*args, **kwargs)


def cause(error: BaseException) -> PammError | None:
    """The PammError, of a dataclass that was to be made of options, behind tyro's exception."""
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, PammError):
        behind = behind.__cause__ or behind.__context__
    return behind


def mistake(box: str, error: PammError | None, arguments: Sequence[str]) -> str:
    """What tyro says in a box, in a line.

    Args:
        box: the text, a title and paragraphs, between rules; with lines around where the terminal
            has characters for them.
        error: what a dataclass said of its fields, "field: got ..., want ...".
        arguments: the command line, which tells a field's option.
    """
    lines = [line.strip(" │") for line in box.splitlines()]
    if "╭" not in box:
        del lines[: next((i for i, line in enumerate(lines) if line and not line.strip("-")), 0)]
    text = "\n".join("" if line[:1] in "╭╰" or not line.strip("─-") else line for line in lines)
    parts = [" ".join(part.split()) for part in text.split("\n\n") if part.strip()] or [""]
    first = next((part for part in parts if part.startswith("Unrecognized")), parts[0])
    what, _, rest = first.removeprefix("Error parsing ").partition(": ")
    if error is not None:
        field, colon, reason = str(error).partition(": ")
        typed = [argument.partition("=")[0].replace("_", "-") for argument in arguments]
        options = [f"--{name}".replace("_", "-") for name in (f"{what}.{field}", field)]
        option = next((option for option in options if option in typed), options[0])
        return f"{option}: {reason}" if colon and field.isidentifier() else str(error)
    if first.startswith("Error parsing "):
        choice = re.match(r"no type matching (.*) could be instantiated from \[(.*)\]\.?$", rest)
        if choice:
            rest = f"got {choice[2]}, want {in_words(choice[1])}"
        whole = re.match(r"invalid literal for int\(\) with base 10: (.*)", rest)
        number = re.match(r"could not convert string to float: (.*)", rest)
        if whole or number:
            given = (whole or number or [""])[1]
            rest = f"got {given}, want {'a whole number' if whole else 'a number'}"
        return f"{what}: {rest}"
    meant = [line.split()[0] for line in lines if line.startswith("--") and line.strip("-")]
    if meant and "Perhaps you meant" in text:
        first += f"; did you mean {' or '.join(meant)}?"
    return (first[:1].lower() + first[1:]).rstrip(".")


def in_words(kinds: str) -> str:
    """What tyro writes of types, such as {None}|INT, as it is said.

    >>> in_words("{None}|INT"), in_words("{None}|{FLOAT FLOAT FLOAT}")
    ('None or a whole number', 'None or 3 numbers')
    """
    names = {"INT": "a whole number", "FLOAT": "a number", "STR": "text"}
    several = {"INT": "whole numbers", "FLOAT": "numbers", "STR": "texts"}
    said = []
    for kind in kinds.split("|"):
        words = kind.strip("{}").split()
        if len(words) > 1 and len(set(words)) == 1 and words[0] in several:
            said.append(f"{len(words)} {several[words[0]]}")
        else:
            said.append(names.get(kind.strip("{}"), kind.strip("{}")))
    return " or ".join(said)


def given(program: str, arguments: Sequence[str]) -> str:
    """The command line as it was typed."""
    return f"{program} {shlex.join(arguments)}".strip()


def first_argument(
    arguments: Sequence[str], command: str, name: str, meaning: str
) -> tuple[str, Sequence[str]]:
    """The leading positional argument, which decides the defaults of the others, and the rest."""
    if arguments and not arguments[0].startswith("-"):
        return arguments[0], arguments[1:]
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"usage: pamm {command} {name} [OPTIONS]\n\n{name}: {meaning}.")
        print(f"`pamm {command} {name} --help` lists the options with their values there.")
        sys.exit()
    got = repr(arguments[0]) if arguments else "nothing"
    raise PammError(f"pamm {command} {name}: want {meaning} first, then options; got {got}")


def experiment_of(name: str, model: str | None = None) -> Any:
    """The experiment of a preset's name, or of the experiment.json of a run.

    Args:
        name: the preset or file.
        model: another model than its own; of a preset that there is for this one, too, that preset.
    """
    from pamm import presets

    if model is not None:
        if own := presets.preset_of_model(name, model):
            return presets.preset(own).experiment
        return experiment_of(name).with_model(model)
    path = Path(name)
    if (path / "model.safetensors").is_file():  # a checkpoint of a run
        if not (path.parent / "experiment.json").is_file():
            raise PammError(
                f"{name!r} is a model without the experiment.json of its training: give a preset's "
                "name, or such a file"
            )
        name, path = str(path.parent), path.parent
    if (path / "experiment.json").is_file() and name not in presets.PRESETS:
        raise PammError(
            f"{name!r} is a run directory, its experiment is {str(path / 'experiment.json')!r}: "
            f"give that; `pamm train` also goes on with the run, by --resume --out {name}"
        )
    if path.suffix != ".json":
        return presets.preset(name).experiment  # before anything slow: names are mistyped
    from pamm.config import read_experiment

    return read_experiment(path)


def note_defaults(name: str, config: Any) -> None:
    """Say on standard error what a model has by default, if the experiment is another model's.

    Where the recipe of a preset has one for the model, that one says it all.

    Args:
        name: the preset or file of the experiment.
        config: the model's.
    """
    from pamm.presets import preset_of_model

    if preset_of_model(name, config.name):
        return
    own = experiment_of(name).model
    fields = [
        f"{field.name} {getattr(config, field.name)}"
        for field in dataclasses.fields(config)
        if not hasattr(own, field.name) and getattr(config, field.name) == field.default
    ]
    if fields:
        what = f"{name!r} is of {own.name}; {config.name} has by default {', '.join(fields)}"
        print(f"pamm: {what}", file=sys.stderr)


def other_model(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """The NAME of `--model NAME` among arguments, if it is there, and the rest.

    It is taken out first, as it decides what other options there are.

    Raises:
        PammError: no name comes after it.
    """
    rest, name = [], None
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option == "--model":
            name = value if equals else next(words, "")
            if not name or name.startswith("-"):
                raise PammError(f"--model: want a model's name, got {name!r}")
        else:
            rest.append(word)
    return name, rest


def note_missing_library() -> None:
    """Say in one line that the scan is slower than it could be, if it is."""
    from pamm import native

    if problem := native.problem():
        print(f"pamm: {problem}", file=sys.stderr)
