"""Files and folders are whole or not there, with the umask's rights; locks and places to write."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pamm.errors import PammError
from pamm.runtime import files
from pamm.runtime.files import (
    append_line,
    check_file,
    check_folder,
    clear_up,
    locked,
    remove_folder,
    replacing,
    replacing_folder,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_block_that_fails_leaves_the_former_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "first")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise KeyError

    with pytest.raises(KeyError), replacing(path) as temporary:
        fail(temporary)
    assert path.read_text() == "first"
    assert names(tmp_path) == ["a.txt"]


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(os, "fsync", lambda _: events.append("fsync"))
    rename = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("rename"), rename(a, b)))
    write_text(tmp_path / "a.txt", "x")
    assert events == ["fsync", "rename"]
    append_line(tmp_path / "a.txt", "y")
    assert events == ["fsync", "rename", "fsync"]


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
def test_a_writer_of_private_files_gets_the_rights_of_the_umask(tmp_path):
    former = os.umask(0o027)
    try:
        with replacing(tmp_path / "a") as temporary:
            temporary.unlink()
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_an_error_in_writing_names_the_file(tmp_path):
    with pytest.raises(OSError, match="No space left") as error, replacing(tmp_path / "a.x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert error.value.errno == errno.ENOSPC
    assert error.value.filename == str(tmp_path / "a.x")
    with pytest.raises(OSError, match="other") as error, replacing(tmp_path / "a.x"):
        raise OSError(errno.EIO, "failed", "other")  # of a file that was read, for example
    assert names(tmp_path) == []


def test_long_names_have_temporary_ones(tmp_path):
    for name in ("x" * 250 + ".txt", "\N{GRINNING FACE}" * 60 + ".txt"):
        write_text(tmp_path / name, "x")
    assert len(names(tmp_path)) == 2


def test_a_folder_is_on_the_disk_before_its_predecessor_goes(tmp_path, monkeypatch):
    folder, synced = tmp_path / "last-1", []
    with replacing_folder(folder) as new:
        (new / "a").write_text("1")
    to_disk = files._to_disk

    def note(path: Path) -> None:
        synced.append((path.name, (tmp_path / ".last-1.former.tmp").exists()))
        to_disk(path)

    monkeypatch.setattr(files, "_to_disk", note)
    with replacing_folder(folder) as new:
        (new / "a").write_text("2")
    assert synced == [(".last-1.tmp", False), (tmp_path.name, True)]
    assert (folder / "a").read_text() == "2"
    assert names(tmp_path) == ["last-1"]


def test_a_folder_that_fails_leaves_the_former_one(tmp_path, monkeypatch):
    folder = tmp_path / "last-1"
    with replacing_folder(folder) as new:
        (new / "a").write_text("1")
    with pytest.raises(OSError, match="No space"), replacing_folder(folder) as new:
        raise OSError(errno.ENOSPC, "No space left on device")
    rename = Path.rename

    def fail_in_between(self: Path, target: Path) -> Path:
        if target == folder and self.name == ".last-1.tmp":
            raise OSError(errno.EIO, "broken")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_in_between)
    with pytest.raises(OSError, match="broken"), replacing_folder(folder):
        pass
    assert (folder / "a").read_text() == "1"
    assert names(tmp_path) == ["last-1"]


def test_what_killed_processes_left_is_put_in_order(tmp_path):
    for name in (".last-1.former.tmp", ".last-2.former.tmp", "last-2", ".last-3.tmp"):
        (tmp_path / name).mkdir()
    clear_up(tmp_path)
    assert names(tmp_path) == ["last-1", "last-2"]
    remove_folder(tmp_path / "last-1")
    remove_folder(tmp_path / "last-1")
    assert names(tmp_path) == ["last-2"]


HOLDER = """
import sys
from pathlib import Path
from pamm.runtime.files import locked
with locked(Path(sys.argv[1]), "wait"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_holds_against_another_process_and_ends_with_sigkill(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        refused = pytest.raises(PammError, match="is in use by another program: wait for it$")
        with refused, locked(tmp_path, "wait for it"):
            pytest.fail("two have the lock")
    finally:
        holder.kill()
        holder.communicate()
    with locked(tmp_path, "wait"):
        pass


def test_a_locked_folder_that_stays_empty_goes_again(tmp_path):
    def fail() -> None:
        raise KeyError

    with pytest.raises(KeyError), locked(tmp_path / "a" / "b", "wait"):
        fail()
    assert names(tmp_path) == []
    with locked(tmp_path / "a" / "b", "wait"):
        write_text(tmp_path / "a" / "c.txt", "x")
    assert names(tmp_path / "a") == ["c.txt"]
    (tmp_path / "mine").mkdir()
    with locked(tmp_path / "mine", "wait"):
        pass
    assert names(tmp_path) == ["a", "mine"]


def test_places_that_cannot_be_written_to(tmp_path):
    check_folder(tmp_path / "a" / "b", "")
    check_file(tmp_path / "a" / "b.txt", "")
    assert names(tmp_path) == [], "nothing is made to find out"
    write_text(tmp_path / "file", "x")
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    for folder in (tmp_path / "file", tmp_path / "file" / "a", tmp_path / "gone" / "a"):
        with pytest.raises(PammError, match=r"not a folder that may be written to; do this$"):
            check_folder(folder, "do this")
    with pytest.raises(PammError, match="it is a folder; do this$"):
        check_file(tmp_path, "do this")
    with pytest.raises(PammError, match="too long; do this$"):
        check_folder(tmp_path / ("x" * 300), "do this")
    with pytest.raises(PammError, match="do this$"):
        check_file(tmp_path / ("x" * 300), "do this")


def test_a_folder_that_may_not_be_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # a right that root always has
    with pytest.raises(PammError, match="not a folder that may be written to"):
        check_file(tmp_path / "a", "")
