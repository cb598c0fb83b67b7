"""What a user should know and need not have asked for: a line on standard error."""

import sys

import torch

from pamm.runtime.text import printable


def note(text: str) -> None:
    """Say something once, of several processes by the first one."""
    processes = torch.distributed
    joined = processes.is_available() and processes.is_initialized()
    if not joined or processes.get_rank() == 0:
        print(f"pamm: {printable(text)}", file=sys.stderr)
