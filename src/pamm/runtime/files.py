"""Files and folders that appear whole or not at all, and the right to write into a folder.

Whole is meant for a power cut, too: what has a name has its bytes on the disk.
"""

import contextlib
import errno
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pamm.errors import PammError

_TEMPORARY = ".tmp"
_FORMER = ".former.tmp"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it when the block ends well, deleted otherwise.

    The temporary name keeps the suffix, since many writers choose the format by it. The file gets
    the rights that the user's umask gives to new files, also from writers that make private ones.

    Raises:
        OSError: the file cannot be written; it is named by `path`.
    """
    # Some characters of the name only: a name may be 255 bytes long, a character up to 4.
    temporary = path.with_name(f".{path.stem[:40]}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        rights = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        if stat.S_IMODE(temporary.stat().st_mode) != rights:
            temporary.chmod(rights)
        _to_disk(temporary)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary), temporary):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
    finally:
        with contextlib.suppress(OSError):  # what made the block fail is what counts
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")


def append_line(path: Path, line: str) -> None:
    """Add a line to a UTF-8 text file, on the disk when this returns."""
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """As `replacing`, for a folder; the block gets a new, empty one and makes its files whole.

    After the block the folder is on the disk under its name, so that what it stands in for may be
    deleted. What earlier processes left here, killed within such a block, is put in order first.
    """
    clear_up(path.parent)
    temporary, former = (path.with_name(f".{path.name}{end}") for end in (_TEMPORARY, _FORMER))
    temporary.mkdir(parents=True)
    try:
        yield temporary
        _to_disk(temporary)
        if path.exists():
            path.rename(former)
        temporary.rename(path)
        _to_disk(path.parent)
    finally:
        clear_up(path.parent)


def remove_folder(path: Path) -> None:
    """Delete a folder; it is not there under its name any more while its files go."""
    doomed = path.with_name(f".{path.name}{_TEMPORARY}")
    with contextlib.suppress(OSError):  # to have too much on the disk ends nothing
        path.rename(doomed)
        shutil.rmtree(doomed)


def clear_up(folder: Path) -> None:
    """Delete what `replacing_folder` and `remove_folder` left when their process was killed.

    A folder that was moved away for its successor, which did not come, gets its name back.
    """
    for left in sorted(folder.glob(f".*{_FORMER}")):
        name = folder / left.name[1 : -len(_FORMER)]
        if not name.exists():
            left.rename(name)
    for left in folder.glob(f".*{_TEMPORARY}"):
        shutil.rmtree(left, ignore_errors=True)


def check_folder(folder: Path, remedy: str) -> None:
    """Raise unless files can be made in a folder, or it in one that is there: before the work.

    Args:
        folder: where something will be written.
        remedy: the end of the message: what to do, such as "choose another --out".
    """
    try:
        there = _nearest(folder)
        fits = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
        why = f"{str(there)!r} is not a folder that may be written to"
    except OSError as error:
        fits, why = False, reason(error)
    if not fits:
        raise PammError(f"{str(folder)!r} cannot be written to: {why}; {remedy}")


def check_file(path: Path, remedy: str) -> None:
    """Raise unless a file can be written: `check_folder` of its folder, and no folder itself."""
    check_folder(path.parent, remedy)
    try:
        is_folder = path.is_dir()
    except OSError as error:  # such as a name that is too long
        raise PammError(f"{str(path)!r} cannot be written: {reason(error)}; {remedy}") from None
    if is_folder:
        raise PammError(f"{str(path)!r} cannot be written: it is a folder; {remedy}")


def check_room(folder: Path, size: int, what: str, remedy: str) -> None:
    """Raise where a disk has less room than something of so many bytes will take for certain."""
    total, _, free = shutil.disk_usage(folder)
    if total and free < size:  # a file system that does not know has a total of 0
        raise PammError(
            f"{str(folder)!r} is on a disk with {free / 1e9:.2f} GB free, {what} takes "
            f"{size / 1e9:.2f} GB: {remedy}"
        )


@contextmanager
def locked(folder: Path, remedy: str) -> Iterator[None]:
    """Keep a folder, made if needed, for this program while the block runs.

    The system holds the lock, so it ends with the process, however that ends. Where the block
    leaves nothing in a folder that was made for it, the folder goes again.

    Raises:
        PammError: another program has it.
    """
    from filelock import FileLock, Timeout  # here, as most programs write and do not lock

    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / ".lock"
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise PammError(f"{str(folder)!r} is in use by another program: {remedy}") from None
    except NotImplementedError:
        print(
            f"pamm: the file system of {str(folder)!r} has no locks: see to it yourself that no "
            "other program writes there",
            file=sys.stderr,
        )
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if made and os.listdir(folder) == [file.name]:
                file.unlink()
        lock.release()
        with contextlib.suppress(OSError):  # of the first one that is not empty
            for place in made:
                place.rmdir()


def reason(error: OSError) -> str:
    """Why something could not be read or written, in the system's words."""
    return error.strerror or " ".join(str(error).split()) or type(error).__name__


def _nearest(path: Path) -> Path:
    """The path itself or the first of its parents that is there, be it a link to nothing."""
    for place in (path, *path.absolute().parents):
        try:
            place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        return place
    return path


def _to_disk(path: Path) -> None:
    """Wait until the bytes of a file, or the names in a folder, are on the disk."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):
        return  # a system on which a folder cannot be opened
    # Some systems want a file to be open for writing, and refuse that for a folder.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:  # a file system that has no such thing
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def check_regular(path: Path) -> None:
    """Refuse to open a pipe, a socket or a device, which may block or never end.

    Raises:
        PammError: it is one.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return  # who opens it tells what is wrong
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise PammError(f"{str(path)!r} is a pipe, a socket or a device; give a file")
