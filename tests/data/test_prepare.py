"""Archives: unpacked whole, refused where they are dangerous, continued where they were cut."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from fake_layouts import fake_nyud

from pamm.data import NYUD, prepare
from pamm.errors import PammError

ENDINGS = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.xz": "w:xz", ".tar.bz2": "w:bz2"}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    fake_nyud(folder / "deep" / "er" / "NYUDv2", size=(20, 24))
    (folder / "deep" / "__MACOSX").mkdir()
    (folder / "deep" / "__MACOSX" / "._0001.png").write_bytes(b"mac")
    return folder


def packed(source: Path, path: Path) -> Path:
    files = sorted(p for p in source.rglob("*") if p.is_file())
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(source))
        return path
    mode = ENDINGS[path.name[path.name.index(".") :]]
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        archive.add(source / "deep", "deep")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and "__MACOSX" not in p.parts
    }


@pytest.mark.parametrize("ending", [*ENDINGS, ".zip"])
def test_archives_of_all_kinds(source, tmp_path, ending):
    archive = packed(source, tmp_path / f"data{ending}")
    folder = prepare(NYUD, archive)
    assert folder == tmp_path / "data" / "deep" / "er" / "NYUDv2"
    assert contents(tmp_path / "data") == contents(source)
    assert not (tmp_path / "data" / "deep" / "__MACOSX").exists()
    assert len(NYUD("train", root=folder)) == 3


def test_a_folder_stays_where_it_is(source, tmp_path):
    assert prepare(NYUD, source) == source / "deep" / "er" / "NYUDv2"
    with pytest.raises(PammError, match="--out is for archives"):
        prepare(NYUD, source, tmp_path)


def test_a_second_run_completes_the_first(source, tmp_path):
    archive = packed(source, tmp_path / "data.tar")
    out = tmp_path / "out"
    folder = prepare(NYUD, archive, out)
    kept, lost, cut = (folder / "images" / f"000{i}.png" for i in (1, 2, 3))
    before = kept.stat().st_mtime_ns
    os.utime(kept, ns=(before, before - 10**9))
    lost.unlink()
    cut.write_bytes(cut.read_bytes()[:50])
    assert prepare(NYUD, archive, out) == folder
    assert contents(out) == contents(source)
    assert kept.stat().st_mtime_ns == before - 10**9


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.xz", ".zip"])
def test_a_truncated_archive_leaves_no_half_file(source, tmp_path, ending):
    archive = packed(source, tmp_path / f"data{ending}")
    whole = contents(source)
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size * 2 // 3])
    with pytest.raises(PammError, match="damaged, cut short or no archive") as caught:
        prepare(NYUD, archive)
    assert "\n" not in str(caught.value)
    out = tmp_path / "data"
    assert contents(out).items() <= whole.items()


def tar_with(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as archive:
        good = tarfile.TarInfo("good.txt")
        good.size = 4
        archive.addfile(good, io.BytesIO(b"good"))
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = 3 if kind == tarfile.REGTYPE else 0
    return info


@pytest.mark.parametrize(
    ("bad", "hint"),
    [
        (member("../evil"), "would land outside"),
        (member("a/../../evil"), "would land outside"),
        (member("/tmp/pamm-evil"), "would land outside"),
        (member("C:\\evil"), "would land outside"),
        (member("..\\evil"), "would land outside"),
        (member("\\\\host\\share"), "would land outside"),
        (member("link", tarfile.SYMTYPE, "../evil"), "is a link to '../evil', which is outside"),
        (member("a/link", tarfile.SYMTYPE, "../../evil"), "which is outside"),
        (member("link", tarfile.SYMTYPE, "/etc/passwd"), "which is outside"),
        (member("link", tarfile.LNKTYPE, "../evil"), "which is outside"),
        (member("link", tarfile.LNKTYPE, "/etc/passwd"), "which is outside"),
        (member("device", tarfile.CHRTYPE), "neither a file nor a folder nor a link"),
        (member("device", tarfile.BLKTYPE), "neither a file nor a folder nor a link"),
        (member("pipe", tarfile.FIFOTYPE), "neither a file nor a folder nor a link"),
        (member("good.txt/file"), "lies in 'good.txt', which is a file"),
    ],
    ids=lambda value: value.name if isinstance(value, tarfile.TarInfo) else "",
)
def test_dangerous_members_are_refused_before_anything_is_written(tmp_path, bad, hint):
    place = tmp_path / "place"
    place.mkdir()
    archive = tar_with(place / "data.tar", bad)
    with pytest.raises(PammError, match="nothing was written") as caught:
        prepare(NYUD, archive)
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.rglob("*")] == ["place", "data.tar"]


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..\\evil"])
def test_dangerous_members_of_zips(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("good", "good")
        archive.writestr(name, "evil")
    with pytest.raises(PammError, match="would land outside"):
        prepare(NYUD, tmp_path / "data.zip")
    assert [p.name for p in tmp_path.rglob("*")] == ["data.zip"]


def test_links_of_zips_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(PammError, match="neither a file nor a folder"):
        prepare(NYUD, tmp_path / "data.zip")


def test_links_that_stay_inside_are_copies(source, tmp_path):
    archive = packed(source, tmp_path / "data.tar")
    with tarfile.open(archive, "a") as tar:
        base = "deep/er/NYUDv2"
        tar.addfile(member(f"{base}/a/soft.txt", tarfile.SYMTYPE, "../gt_sets/val.txt"))
        tar.addfile(member(f"{base}/hard.txt", tarfile.LNKTYPE, f"{base}/gt_sets/val.txt"))
        tar.addfile(member(f"{base}/loop", tarfile.SYMTYPE, "."))
        tar.addfile(member(f"{base}/broken", tarfile.SYMTYPE, "nothing"))
    folder = prepare(NYUD, archive)
    for name in ("a/soft.txt", "hard.txt"):
        assert (folder / name).read_text() == (folder / "gt_sets" / "val.txt").read_text()
        assert not (folder / name).is_symlink()
    assert not (folder / "loop").exists()
    assert not (folder / "broken").exists()


def test_a_link_in_place_of_a_folder_does_not_lead_outside(tmp_path):
    """A member named like a link of the same archive: the link is a copy, never written through."""
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = tar_with(
        tmp_path / "data.tar",
        member("a", tarfile.SYMTYPE, "b"),
        member("b/c"),
        member("a/d"),
    )
    with pytest.raises(PammError, match="no data set 'nyud'"):
        prepare(NYUD, archive)
    assert not list(outside.iterdir())
    assert (tmp_path / "data" / "a" / "d").read_bytes() == b"xxx"


def test_mistakes_are_named(source, tmp_path, monkeypatch):
    with pytest.raises(PammError, match="no archive or folder"):
        prepare(NYUD, tmp_path / "nothing.tar")
    (tmp_path / "text.tar").write_text("no archive")
    with pytest.raises(PammError, match="no archive that can be read"):
        prepare(NYUD, tmp_path / "text.tar")
    archive = packed(source, tmp_path / "data.zip")
    with pytest.raises(PammError, match="is a file; give a folder"):
        prepare(NYUD, archive, tmp_path / "text.tar")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PammError, match="no data set 'nyud' in .*empty': no gt_sets/train.txt or"):
        prepare(NYUD, tmp_path / "empty")
    (tmp_path / "in-the-way").mkdir()
    (tmp_path / "in-the-way" / "deep").touch()
    with pytest.raises(PammError, match="cannot unpack"):
        prepare(NYUD, archive, tmp_path / "in-the-way")

    class Full:
        free = 10

    monkeypatch.setattr("shutil.disk_usage", lambda folder: Full)
    with pytest.raises(PammError, match="GB left"):
        prepare(NYUD, archive, tmp_path / "full")
