import errno
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pamm.errors
from pamm.data.rooms import LABELS
from pamm.data.scene_cache import SceneCache, default_root, write_scene
from pamm.errors import PammError
from pamm.runtime.workers import call_in_processes

ALL = ("image", *LABELS)


@pytest.fixture
def cache(tmp_path: Path) -> SceneCache:
    return SceneCache(1, 24, 32, root=tmp_path)


def assert_equal(scene: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    for name in ALL:
        assert scene[name].dtype == other[name].dtype
        assert np.array_equal(scene[name], other[name])


def files(cache: SceneCache) -> dict[str, tuple[int, bytes]]:
    return {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in cache.folder.glob("*.npz")}


def test_scenes_come_back_exactly(cache: SceneCache) -> None:
    cache.ensure(2)
    assert_equal(cache.load(1, ALL), cache.render(1))
    with np.load(cache.path(1)) as archive:  # and anybody can read them
        assert np.array_equal(archive["depth"], cache.render(1)["depth"])


def test_count_grows_without_rendering_again(cache: SceneCache) -> None:
    cache.ensure(2)
    before = files(cache)
    cache.ensure(1)
    assert files(cache) == before
    cache.ensure(4)
    after = files(cache)
    assert len(after) == 4
    assert {name: after[name] for name in before} == before


def test_processes_render_what_this_process_renders(cache: SceneCache, tmp_path: Path) -> None:
    cache.ensure(5, processes=2)
    assert sorted(files(cache)) == [f"{index:06d}.npz" for index in range(5)]
    other = SceneCache(1, 24, 32, root=tmp_path / "other")
    other.ensure(5, processes=1)
    for index in range(5):
        assert cache.path(index).read_bytes() == other.path(index).read_bytes()


def test_sizes_and_seeds_live_side_by_side(cache: SceneCache, tmp_path: Path) -> None:
    wide, second = SceneCache(1, 24, 40, root=tmp_path), SceneCache(2, 24, 32, root=tmp_path)
    for one in (cache, wide, second):
        one.ensure(1)
    assert cache.load(0, ALL)["depth"].shape == (24, 32)
    assert wide.load(0, ALL)["depth"].shape == (24, 40)
    assert not np.array_equal(second.load(0, ALL)["depth"], cache.load(0, ALL)["depth"])


@pytest.mark.parametrize("damage", ["truncated", "empty", "deleted", "text", "folder emptied"])
def test_a_damaged_scene_is_rebuilt_with_one_line(cache: SceneCache, damage: str, caplog) -> None:
    cache.ensure(2)
    path, whole = cache.path(1), cache.path(1).read_bytes()
    if damage == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("not a scene")
    else:
        path.unlink()
    if damage == "folder emptied":
        for file in cache.folder.iterdir():
            file.unlink()
        cache.folder.rmdir()
    with caplog.at_level(logging.WARNING):
        assert_equal(cache.load(1, ALL), cache.render(1))
        assert_equal(cache.load(1, ALL), cache.render(1))
    assert len(caplog.records) == 1
    assert "rendering it anew" in caplog.text
    assert path.read_bytes() == whole


def test_no_flipped_bit_goes_unnoticed(cache: SceneCache) -> None:
    cache.ensure(1)
    whole, right = cache.path(0).read_bytes(), cache.render(0)
    cache.render = lambda index: right  # type: ignore[method-assign]  # quicker
    generator = np.random.default_rng(0)
    places = np.r_[generator.integers(0, len(whole), 250), -np.arange(1, 150)]
    for place in places:  # the last ones are in the zip's directory
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(generator.integers(8))
        cache.path(0).write_bytes(damaged)
        assert_equal(cache.load(0, ALL), right)


def test_a_failed_write_leaves_nothing(cache: SceneCache, monkeypatch) -> None:
    def full(self: Path, content: bytes) -> None:
        with open(self, "wb") as file:
            file.write(content[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(PammError, match=r"No space left on device; free some space.*PAMM_CACHE"):
        cache.ensure(1)
    assert {path.name for path in cache.folder.iterdir()} <= {".lock"}


@pytest.mark.parametrize("processes", [1, 2])
def test_an_unusable_folder_is_a_users_mistake(tmp_path: Path, processes: int) -> None:
    (tmp_path / "file").write_text("")
    cache = SceneCache(1, 24, 32, root=tmp_path / "file")
    with pytest.raises(PammError, match="PAMM_CACHE"):
        cache.ensure(2, processes=processes)


def test_a_childs_failure_is_told(cache: SceneCache) -> None:
    cache.path(1).mkdir(parents=True)  # a folder where a file should go
    (cache.path(1) / "x").touch()
    own = (cache.seed, cache.height, cache.width, str(cache.root), cache.variety)
    with pytest.raises(PammError, match="cannot keep rendered scenes"):
        list(call_in_processes(write_scene, own, [0, 1, 2], 1))
    assert cache.path(0).is_file()


def test_forgotten_temporary_files_go(cache: SceneCache) -> None:
    cache.ensure(1)
    old, new = cache.folder / ".000001.9.tmp.npz", cache.folder / ".000002.9.tmp.npz"
    for path in (old, new):
        path.touch()
    os.utime(old, (time.time() - 9999,) * 2)
    cache.ensure(2)
    assert not old.exists()
    assert new.exists()


def test_two_programs_at_once(cache: SceneCache, tmp_path: Path) -> None:
    code = f"""
from pamm.data.scene_cache import SceneCache
SceneCache(1, 24, 32, root={str(tmp_path)!r}).ensure(12, processes=1)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(pamm.errors.__file__).parents[1])}
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    outputs = [program.communicate(timeout=60)[1] for program in programs]
    assert [program.returncode for program in programs] == [0, 0], outputs
    assert sum("rendering 12 rooms" in output for output in outputs) == 1
    for index in (0, 11):
        assert_equal(cache.load(index, ALL), cache.render(index))
    assert not list(cache.folder.glob("*.tmp*"))


def test_default_root_follows_the_environment(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PAMM_CACHE", str(tmp_path))
    assert default_root() == tmp_path
    monkeypatch.delenv("PAMM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert default_root() == tmp_path / "pamm"
