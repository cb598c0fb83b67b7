"""Damaged .npy files are one line each, and no memory is asked for on the word of a header."""

import io
import os
from pathlib import Path

import numpy as np
import pytest

from pamm.errors import PammError
from pamm.runtime.arrays import parse_npy, read_npy


def with_header(text: bytes, version: bytes = b"\x01\x00", data: bytes = bytes(80)) -> bytes:
    text = text.ljust(117) + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize("dtype", ["?", "u1", ">i2", "<i8", "f2", "f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_numbers_come_back(tmp_path, dtype, order):
    array = np.asarray(np.arange(12).reshape(3, 4) % 2, dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    read = read_npy(tmp_path / "a.npy")
    assert read.dtype == array.dtype
    assert np.array_equal(read, array)
    assert read.flags.writeable


DICTIONARY = b"{'descr': '<f8', 'fortran_order': False, 'shape': %b, }"
DAMAGE = {
    "empty": (b"", "header"),
    "text": (b"not an array", "header"),
    "a zip": (b"PK\x03\x04" + bytes(40), "header"),
    "magic only": (b"\x93NUMPY", "header"),
    "version 9": (with_header(DICTIONARY % b"(10,)", b"\x09\x00"), "header"),
    "header cut": (with_header(DICTIONARY % b"(10,)")[:60], "header"),
    "no dictionary": (with_header(b"[1, 2"), "header"),
    "code": (with_header(b"__import__('os').getcwd()"), "header"),
    "unclosed text": (with_header(b"{'descr': '<f8"), "header"),
    "deeply nested": (with_header(b"(" * 100), "header"),
    "zero bytes": (with_header(b"\0" * 60), "header"),
    "a key less": (with_header(b"{'descr': '<f8', 'shape': (10,)}"), "header"),
    "unknown type": (with_header(b"{'descr': 'q', 'fortran_order': True, 'shape': 9}"), "header"),
    "objects": (with_header(b"{'descr': '|O', 'fortran_order': False, 'shape': (9,)}"), "numbers"),
    "texts": (with_header(b"{'descr': '<U1', 'fortran_order': False, 'shape': (9,)}"), "numbers"),
    "no bytes each": (
        with_header(b"{'descr': '|S0', 'fortran_order': False, 'shape': (1000000000000,)}"),
        "numbers",
    ),
    "fields": (
        with_header(b"{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (9,)}"), "numbers",
    ),
    "negative": (with_header(DICTIONARY % b"(-2, -5)"), "shape"),
    "data cut": (with_header(DICTIONARY % b"(11,)"), "88 bytes, but 80 follow"),
    "10^12 numbers": (with_header(DICTIONARY % b"(1000000, 1000000)"), "cut short"),
    "10^40 numbers": (with_header(DICTIONARY % b"(%b,)" % (b"1" + b"0" * 40)), "cut short"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_one_line(tmp_path, name):
    content, hint = DAMAGE[name]
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(PammError, match=hint) as error:
        read_npy(tmp_path / "a.npy")
    assert "\n" not in str(error.value)
    assert "a.npy" in str(error.value)
    with pytest.raises(ValueError, match=hint):
        parse_npy(io.BytesIO(content), len(content))


def test_no_flipped_byte_of_a_header_is_a_traceback(tmp_path):
    whole = with_header(DICTIONARY % b"(2, 5)")
    path, generator = tmp_path / "a.npy", np.random.default_rng(0)
    for place in range(80):
        damaged = bytearray(whole)
        damaged[place] = int(generator.integers(256))
        path.write_bytes(damaged)
        said = ""
        try:
            read_npy(path)
        except PammError as error:
            said = str(error)
        assert len(said.splitlines()) <= 1


def test_what_is_no_file(tmp_path):
    with pytest.raises(PammError, match="no file"):
        read_npy(tmp_path / "a.npy")
    with pytest.raises(PammError, match="cannot be read"):
        read_npy(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.npy")
    with pytest.raises(PammError, match="is a pipe"):
        read_npy(Path(tmp_path / "a.npy"))
