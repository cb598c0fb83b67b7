"""Progress of a long loop: one line that renews itself on a terminal, few plain lines elsewhere."""

import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TextIO, TypeVar

T = TypeVar("T")

TERMINAL_SECONDS = 0.1  # between two redraws of the line
PLAIN_SECONDS = 10.0  # between two plain lines that are a tenth of the way apart
SLOW_SECONDS = 60.0  # between two plain lines that are less apart
_silent = False


def silence() -> None:
    """Show no progress in this process any more: another one works on the same and shows its."""
    global _silent
    _silent = True


def progress(
    iterable: Iterable[T],
    *,
    total: int | None = None,
    label: str = "",
    stream: TextIO | None = None,
) -> Iterator[T]:
    """Yield the items of `iterable` and report how far it is and how long the rest will take.

    Args:
        iterable: what to loop over; read lazily.
        total: number of items; taken from `len(iterable)` where that is known.
        label: what is being done, e.g. "rendering scenes".
        stream: where to write, standard error by default. A terminal gets one line that is
            redrawn; a file or a pipe gets a plain line every tenth of the way, 10 to 60
            seconds apart, and one at the end.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    line = ProgressLine(total, label=label, stream=stream)
    for done, item in enumerate(iterable, start=1):
        yield item
        line.update(done)
    line.close()


class ProgressLine:
    """The line itself, for loops that have more to say than how far they are.

    Args:
        total: number of items, or None if it is not known.
        label: what is being done.
        stream: where to write, standard error by default.
        done: items that were done before, when an interrupted loop goes on.
    """

    def __init__(
        self, total: int | None, *, label: str = "", stream: TextIO | None = None, done: int = 0
    ) -> None:
        self.total, self.label, self.before = total, label, done
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty() and not _silent
        self.start = self.shown_at = time.monotonic()
        self.done = self.shown = done
        self.note = ""

    def update(self, done: int, note: str = "") -> None:
        """Say that `done` items are done; `note` is put behind the time left."""
        self.done, self.note = done, note
        waited = time.monotonic() - self.shown_at
        far = self.total is None or done - self.shown >= self.total / 10
        if waited >= (TERMINAL_SECONDS if self.live else PLAIN_SECONDS if far else SLOW_SECONDS):
            self._show()

    def step(self, note: str = "") -> None:
        """Say that one more item begins; `note` says which."""
        self.update(self.done + 1, note)

    def close(self) -> None:
        """Show the last state and end the line."""
        if self.done > self.shown:
            self._show()
        if self.live:
            self.stream.write("\n")

    def _show(self) -> None:
        self.shown, self.shown_at = self.done, time.monotonic()
        if _silent:
            return
        elapsed = self.shown_at - self.start
        text = describe(self.done, self.total, elapsed, self.label, before=self.before)
        text = f"{text}  {self.note}".rstrip()
        if self.live:
            text = text[: shutil.get_terminal_size().columns - 1]  # a longer line could not renew
        self.stream.write(f"\r\033[K{text}" if self.live else f"{text}\n")
        self.stream.flush()


def describe(
    done: int, total: int | None, elapsed: float, label: str = "", *, before: int = 0
) -> str:
    """One line: label, share done, count, time left (or time taken when all is done).

    >>> describe(30, 120, 10.0, "rendering")
    'rendering  25 % (30/120), 0:30 left'
    >>> describe(120, 120, 75.0, "rendering")
    'rendering 100 % (120/120), took 1:15'
    """
    if not total:
        text = f"{done}, {clock(elapsed)} so far"
    elif done < total:
        left = elapsed / max(done - before, 1) * (total - done)
        text = f"{100 * done // total:3d} % ({done}/{total}), {clock(left)} left"
    else:
        text = f"100 % ({done}/{total}), took {clock(elapsed)}"
    return f"{label} {text}" if label else text


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss.

    >>> clock(75), clock(3700)
    ('1:15', '1:01:40')
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
