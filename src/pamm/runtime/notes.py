"""What a user should know and need not have asked for: a line on standard error."""

import sys

import torch

from pamm.runtime.text import printable


def is_first() -> bool:
    """Whether this process is the one that writes and speaks for all."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def note(text: str) -> None:
    """Say something once, of several processes by the first one."""
    if is_first():
        print(f"pamm: {printable(text)}", file=sys.stderr)
