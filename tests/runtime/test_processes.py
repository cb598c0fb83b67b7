"""Children end with their parent, though nobody can tell them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pamm

PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())])
child.wait()
"""
CHILD = """
import sys, time
from pamm.runtime.processes import end_with_parent
end_with_parent(int(sys.argv[1]))
print("begun", flush=True)
time.sleep(1e6)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="shows on POSIX only")
def test_a_child_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD],
        env={**os.environ, "PYTHONPATH": str(Path(pamm.__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "begun\n"
        parent.kill()
        output, _ = parent.communicate(timeout=120)  # ends where no process holds the pipe
    assert output == ""
