"""Every read and write of the vector vocabulary."""

import ctypes
import mmap

import numba
import numpy as np
import pytest

from tests.kernels.simd_values import SIGNED, compiled, mixed
from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.simd.memory import STACK_BYTES

READS = {
    "load_byte": np.uint8, "load_word": np.uint64, "load_int": np.int32, "load_int64": np.int64,
    "load_float": np.float32,
}  # fmt: skip
WRITES = {
    "store_word": np.uint64(2**63 + 2**40), "store_int": np.int32(-(2**30) - 3),
    "store_int64": np.int64(-(2**62) - 3),
    "store_float": np.float32(2**63 + 2**40),
}  # fmt: skip


def test_load_bytes():
    memory = np.random.default_rng(0).integers(-128, 128, 64, np.int8)
    out = np.empty(16, np.int32)
    compiled("load_bytes", "s", "v")(memory.ctypes.data + 3, out.ctypes.data)
    assert (out == memory[3:19]).all()


def test_load_octets():
    memory = np.random.default_rng(0).integers(0, 256, 64, np.uint8)
    out = np.empty(16, np.int32)
    compiled("load_octets", "s", "v")(memory.ctypes.data + 3, out.ctypes.data)
    assert (out == memory[3:19]).all()


def test_gather():
    rng = np.random.default_rng(0)
    memory = rng.integers(-(2**31), 2**31, 100, np.int32)
    for last in (0, 1, 50, 99):
        indexes = mixed(rng.integers(0, 110, 16, np.int32), SIGNED[SIGNED >= 0], rng)
        indexes, out = indexes.astype(np.int32), np.empty(16, np.int32)
        at = memory.ctypes.data, indexes.ctypes.data, last, out.ctypes.data
        compiled("gather", "svs", "v")(*at)
        assert (out == memory[np.minimum(indexes, last)]).all()


@pytest.mark.parametrize(("name", "times"), [("load_fours", 4), ("load_eights", 8)])
def test_repeated_loads(name, times):
    memory = np.random.default_rng(0).standard_normal(8).astype(np.float32)
    out = np.empty(16, np.float32)
    compiled(name, "s", "v")(memory.ctypes.data + 4, out.ctypes.data)
    assert out.tolist() == np.repeat(memory[1 : 1 + 16 // times], times).tolist()


def finite_halves():
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    return every[np.isfinite(every)]


def test_load_halves():
    finite = finite_halves()
    widen = compiled("load_halves", "s", "v")
    out = np.empty(finite.size, np.float32)
    for i in range(0, finite.size, 16):
        widen(finite.ctypes.data + 2 * i, out.ctypes.data + 4 * i)
    assert out.tobytes() == finite.astype(np.float32).tobytes()


def test_load_half():
    finite, widen = finite_halves(), compiled("load_half", "s", "s")
    got = [widen(finite.ctypes.data + 2 * i, 0) for i in range(finite.size)]
    assert np.float32(got).tobytes() == finite.astype(np.float32).tobytes()


@pytest.mark.parametrize("offset", [0, 1, 60, 63])
def test_load_and_store_need_no_alignment(offset):
    memory = np.random.default_rng(0).integers(0, 256, 256, np.uint8)
    expected = memory.copy()
    expected[128 + offset :][:64] = memory[offset:][:64]
    copy = compiled("load", "s", "v")
    copy(memory.ctypes.data + offset, memory.ctypes.data + 128 + offset)
    assert memory.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", READS)
def test_reads(name):
    dtype = np.dtype(READS[name])
    top = 128 if dtype.kind == "f" else 256  # no NaN
    memory = np.random.default_rng(0).integers(0, top, 64, np.uint8)
    for offset in range(16):
        expected = memory[offset:][: dtype.itemsize].view(dtype)[0]
        read = compiled(name, "s", "s")(memory.ctypes.data + offset, 0)
        assert dtype.type(read).tobytes() == expected.tobytes()


def test_prefetch_changes_nothing_and_takes_any_address():
    memory = np.arange(64, dtype=np.uint8)

    @numba.njit
    def ask(address):
        simd.prefetch(address)
        return address

    assert [ask(address) for address in (memory.ctypes.data, 0)] == [memory.ctypes.data, 0]
    assert (memory == np.arange(64)).all()


def test_load_entry():
    memory = np.random.default_rng(0).integers(-(2**63), 2**63, 5)
    for i in range(5):
        assert compiled("load_entry", "ss", "s")(memory.ctypes.data, i, 0) == memory[i]


@pytest.mark.parametrize("name", WRITES)
def test_writes(name):
    value = WRITES[name]
    for offset in range(16):
        memory = np.full(64, 0xA5, np.uint8)
        expected = memory.copy()
        expected[offset:][: value.nbytes] = np.frombuffer(value.tobytes(), np.uint8)
        compiled(name, "ss", "s")(memory.ctypes.data + offset, value, 0)
        assert memory.tobytes() == expected.tobytes()


def test_store_low_bytes():
    x = np.random.default_rng(0).integers(0, 256, (16, 4), np.uint8)
    out = np.full(64, 0xA5, np.uint8)
    compiled("store_low_bytes", "sv", "s")(out.ctypes.data, x.ctypes.data, 0)
    assert (out[:16] == x[:, 0]).all()
    assert (out[16:] == 0xA5).all()


@pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="needs mprotect")
@pytest.mark.parametrize(("name", "dtype"), [("load_first", np.float32), ("load_head", np.uint8)])
def test_loads_of_a_part_read_no_further(name, dtype):
    page, size = mmap.PAGESIZE, np.dtype(dtype).itemsize
    memory = mmap.mmap(-1, 2 * page)
    row = np.frombuffer(memory, dtype)
    row[:] = np.arange(1, row.size + 1)
    guarded = row.ctypes.data + page
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(guarded), page, 0) == 0
    find = compiled(name, "ss", "v")
    whole = 64 // size
    for count in range(-2, whole + 1):
        kept = max(count, 0)
        out = np.full(whole, 77, dtype)
        find(guarded - size * kept, count, out.ctypes.data)
        want = [*row[page // size - kept : page // size], *[0] * (whole - kept)]
        assert out.tolist() == want


def test_store_byte():
    memory = np.full(8, 0xA5, np.uint8)
    compiled("store_byte", "ss", "s")(memory.ctypes.data + 3, 0x1_0203, 0)
    assert memory.tolist() == [0xA5] * 3 + [3] + [0xA5] * 4


def test_stack_is_memory_of_the_call():
    @numba.njit
    def fill(value):
        at = simd.stack()
        for i in range(STACK_BYTES):
            simd.store_byte(at + i, value)

    @numba.njit
    def run():
        at, kept = simd.stack(), 0
        for i in range(STACK_BYTES):
            simd.store_byte(at + i, 5)
        fill(7)
        for i in range(STACK_BYTES):
            kept += simd.load_byte(at + i) == 5
        return kept, at % 64

    assert run() == (STACK_BYTES, 0)


def test_address_of():
    @numba.njit
    def where(array):
        return simd.address_of(array)

    array = np.zeros((4, 5), np.float32)
    assert where(array) == array.ctypes.data
    assert where(array[2:]) == array[2:].ctypes.data
