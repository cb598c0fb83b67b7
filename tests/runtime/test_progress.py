import io

import pytest

from pamm.runtime import progress as module
from pamm.runtime.progress import ProgressLine, progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_items_pass_through_and_one_last_line_is_written() -> None:
    stream = io.StringIO()
    assert list(progress([1, 2, 3], label="rooms", stream=stream)) == [1, 2, 3]
    assert stream.getvalue() == "rooms 100 % (3/3), took 0:00\n"


def test_a_generator_needs_no_total() -> None:
    stream = io.StringIO()
    assert list(progress((x for x in "ab"), stream=stream)) == ["a", "b"]
    assert stream.getvalue() == "2, 0:00 so far\n"


def test_nothing_to_do_says_nothing() -> None:
    stream = io.StringIO()
    assert list(progress([], stream=stream)) == []
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("stream", "lines"), [(io.StringIO(), 10), (Terminal(), 100)])
def test_lines_of_a_long_job(monkeypatch, stream, lines: int) -> None:
    """100 items of 2 s: a plain line every tenth of the way, a redraw at every item."""
    clock = iter(range(0, 10_000, 2))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    list(progress(range(100), label="x", stream=stream))
    assert stream.getvalue().count("%") == lines
    assert "left" in stream.getvalue()
    assert stream.getvalue().count("\n") == (1 if stream.isatty() else lines)


def test_a_very_long_job_is_not_silent_for_long(monkeypatch) -> None:
    """1000 items of 10 s: without a terminal, a line a minute and not only every tenth."""
    clock = iter(range(0, 100_000, 5))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    list(progress(range(1000), stream=stream))
    assert 50 < stream.getvalue().count("\n") < 200


def test_items_of_unknown_number_are_named_as_they_begin() -> None:
    stream = io.StringIO()
    line = ProgressLine(None, label="measurement", stream=stream)
    line.step("cpu")
    line.step("reference")
    line.close()
    assert stream.getvalue() == "measurement 2, 0:00 so far  reference\n"
