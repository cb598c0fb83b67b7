"""The one exception that means "the user can mend this", and what a name may be."""

import re
from collections.abc import Iterable
from difflib import get_close_matches


class PammError(ValueError):
    """A mistake of the user: a missing file, an unknown name, a checkpoint of another model.

    Its text is one line that says what was given, what is wanted and what to do. The command line
    prints it without a traceback and exits with code 2.
    """


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that is not in a registry: the likely meaning first, then all names.

    >>> unknown("task", "semsg", ["depth", "semseg"])
    "unknown task 'semsg': did you mean 'semseg'? Known: depth, semseg"
    >>> unknown("task", "x", ["depth", "semseg"])
    "unknown task 'x'. Known: depth, semseg"
    """
    names = sorted(known)
    in_lower_case = {one.lower(): one for one in names}
    given = name.lower()
    begun = [one for one in in_lower_case if given and one.startswith(given)]
    close = begun or get_close_matches(given, in_lower_case, n=1, cutoff=0.65)
    hint = f": did you mean {in_lower_case[close[0]]!r}?" if close else "."
    return f"unknown {what} {name!r}{hint} Known: {', '.join(names)}"


def check_name(what: str, name: object) -> None:
    """Raise unless a name may stand in file names, in keys of a network's weights and in tables.

    Such names are ASCII letters, digits, _ and -, begin with a letter, are not longer than a file
    name may be with what is put before and behind them, and are not among `TAKEN`.

    Args:
        what: what the name is of, such as "task".
        name: from a declaration, which may be a file of somebody else.

    Raises:
        PammError: another name, or no text at all.

    >>> check_name("task", "../depth")
    Traceback (most recent call last):
        ...
    pamm.errors.PammError: task '../depth': want a name of A-Z, a-z, 0-9, _ and -, a letter first
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        text = ascii(name)
        text = text if len(text) <= 80 else text[:77] + "..."
        raise PammError(f"{what} {text}: want a name of A-Z, a-z, 0-9, _ and -, a letter first")
    if len(name) > LONGEST_NAME:
        raise PammError(f"{what} {name[:77]}...: want a name of at most {LONGEST_NAME} characters")
    if name in TAKEN:
        raise PammError(f"{what} {name!r}: this name is taken, choose another, such as 'my_{name}'")


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
LONGEST_NAME = 100

#: What a ModuleDict of PyTorch has already, so that no task can have this name. Written out, so
#: that a file means the same to every version of PyTorch, and none is loaded to read a name.
_OF_MODULES = (
    "T_destination add_module apply bfloat16 buffers call_super_init children clear compile cpu "
    "cuda double dump_patches eval extra_repr float forward get_buffer get_extra_state "
    "get_parameter get_submodule half ipu items keys load_state_dict modules mtia named_buffers "
    "named_children named_modules named_parameters parameters pop register_backward_hook "
    "register_buffer register_forward_hook register_forward_pre_hook register_full_backward_hook "
    "register_full_backward_pre_hook register_load_state_dict_post_hook "
    "register_load_state_dict_pre_hook register_module register_parameter "
    "register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state "
    "set_submodule share_memory state_dict to to_empty train training type update values xpu "
    "zero_grad"
)
TAKEN = frozenset(["overview", "total", *_OF_MODULES.split()])
"""Names with a meaning of their own: of the picture of all predictions, of the sum of losses."""
