"""Unpacking .tar and .zip files that are not trusted: a member lands in the folder or nowhere.

All names are looked at before anything is written. Links are not made: what they point to is
copied, so that nothing is ever written through one.
"""

import gzip
import lzma
import posixpath
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from pamm.errors import PammError
from pamm.runtime.files import replacing
from pamm.runtime.progress import progress

_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError),
    *(EOFError, RuntimeError, NotImplementedError),  # the last two: encrypted, unknown methods
)
_UNIX_TYPE = {0: "file", 0o10: "file", 0o04: "folder"}  # of zip files; 0 where Unix did not make it


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file in an archive, or a link to one."""

    name: str
    """Its path, which stays inside."""
    size: int
    entry: Any
    """Of the library that reads the archive."""
    link_to: str | None = None
    """Path in the archive, which stays inside."""


def unpack(path: Path, folder: Path) -> None:
    """Unpack an archive into a folder, with progress. Files that are there, and whole, are kept.

    Args:
        path: .zip, or .tar, also compressed: .gz, .bz2, .xz, and .zst from Python 3.14 on.
        folder: made if it is not there.

    Raises:
        PammError: the file is no archive, or a damaged one; or has members that would land
            elsewhere, or that are no files: then nothing is written; or there is no space.
    """
    try:
        with _opened(path) as archive:
            members = _members(archive, path)
            lacking = sum(m.size for m in members if not _is_there(m, folder))
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
            if lacking > free:
                raise PammError(
                    f"{str(path)!r} needs {lacking / 1e9:.1f} GB, but {str(folder)!r} has "
                    f"{free / 1e9:.1f} GB left; free some space or choose another folder"
                )
            for member in progress(members, label=f"unpacking {path.name}"):
                if member.link_to is not None:
                    _copy(folder / member.link_to, folder / member.name)
                elif not _is_there(member, folder):
                    _extract(archive, member, folder / member.name)
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise PammError(
            f"{str(path)!r} is damaged, cut short or no archive that can be read: {reason}; get it "
            "again, or unpack it by other means and give the folder"
        ) from None
    except OSError as error:
        raise PammError(
            f"cannot unpack {str(path)!r} to {str(folder)!r}: {error.strerror or error}; run it "
            "again when that is mended: what is unpacked is kept"
        ) from None


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile | zipfile.ZipFile]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield archive
    else:
        with tarfile.open(path) as tar:
            yield tar


def _members(archive: tarfile.TarFile | zipfile.ZipFile, path: Path) -> list[Member]:
    """Files first, then links.

    Raises:
        PammError: a member that is not safe to unpack.
    """
    if isinstance(archive, zipfile.ZipFile):
        found = [_of_zip(info, path) for info in archive.infolist()]
    else:
        found = [_of_tar(info, path) for info in archive]
    members = [member for member in found if member is not None and not _is_debris(member.name)]
    files = {member.name for member in members if member.link_to is None}
    for member in members:
        for parent in map(str, PurePosixPath(member.name).parents):
            if parent in files:
                raise _refused(path, member.name, f"lies in {parent!r}, which is a file")
    return sorted(members, key=lambda member: member.link_to is not None)


def _of_tar(info: tarfile.TarInfo, path: Path) -> Member | None:
    name = _safe(info.name, path)
    if info.isdir():
        return None
    if info.isfile():
        return Member(name=name, size=info.size, entry=info)
    if not (info.issym() or info.islnk()):
        raise _refused(path, info.name, "is neither a file nor a folder nor a link")
    start = posixpath.dirname(name) if info.issym() else ""  # hard links start at the top
    target = posixpath.normpath(posixpath.join(start, info.linkname))
    if target.split("/")[0] in ("..", "") or PureWindowsPath(info.linkname).anchor:
        raise _refused(path, info.name, f"is a link to {info.linkname!r}, which is outside")
    return Member(name=name, size=0, entry=info, link_to=target)


def _of_zip(info: zipfile.ZipInfo, path: Path) -> Member | None:
    name = _safe(info.filename, path)
    if info.external_attr >> 28 not in _UNIX_TYPE:
        raise _refused(path, info.filename, "is neither a file nor a folder")
    return None if info.is_dir() else Member(name=name, size=info.file_size, entry=info)


def _safe(name: str, path: Path) -> str:
    """The name of a member as a relative path.

    Raises:
        PammError: it leads out of the folder, here or on Windows.
    """
    for kind in (PurePosixPath(name), PureWindowsPath(name)):
        if kind.anchor or ".." in kind.parts or "\0" in name:
            raise _refused(path, name, "would land outside of the folder")
    return str(PurePosixPath(name))


def _refused(path: Path, name: str, why: str) -> PammError:
    return PammError(
        f"{str(path)!r} is not safe to unpack: its member {name!r} {why}; nothing was written. Get "
        "the archive from its publisher"
    )


def _is_debris(name: str) -> bool:
    """What macOS adds to archives."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or (bool(parts) and parts[-1].startswith("._"))


def _is_there(member: Member, folder: Path) -> bool:
    place = folder / member.name
    return place.is_file() and place.stat().st_size == member.size


def _extract(archive: tarfile.TarFile | zipfile.ZipFile, member: Member, place: Path) -> None:
    content: IO[bytes] | None
    if isinstance(archive, zipfile.ZipFile):
        content = archive.open(member.entry)
    else:
        content = archive.extractfile(member.entry)
    assert content is not None
    with content, replacing(place) as temporary, temporary.open("wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
        if file.tell() != member.size:
            raise EOFError(f"{member.name!r} has {file.tell()} bytes of {member.size}")


def _copy(source: Path, place: Path) -> None:
    """The file that a link points to; links to folders, or to nothing, are left out."""
    if source.is_file():
        with replacing(place) as temporary:
            shutil.copyfile(source, temporary)
