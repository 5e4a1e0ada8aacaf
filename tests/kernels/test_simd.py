"""Every operation of the vector vocabulary, against a line of NumPy."""

import numpy as np
import pytest

from tests.kernels.simd_values import OCTETS, POOLS, compiled, integers, row_values
from tests.kernels.test_simd_memory import READS, WRITES
from vqindex.kernels.cpu import simd
from vqindex.kernels.reference import decoded

IN_SUBSET = (np.arange(16)[:, None] >> np.arange(4) & 1).astype(np.int32)
PLACE = 16 * (np.arange(64, dtype=np.uint8) % 8)


def bits(mask):
    return np.unpackbits(np.atleast_1d(mask).view(np.uint8), bitorder="little")


def packed(mask, dtype):
    return np.packbits(mask, bitorder="little").view(dtype)[0]


def keys(x):
    """int16 in the order of float32 without their lower halves."""
    half = (np.asarray(x).view(np.uint32) >> 16).astype(np.uint16).view(np.int16)
    return np.where(half < 0, half ^ 0x7FFF, half).astype(np.int16)


def turned(words, shifts):
    """The lowest bytes of words turned right, eight times each."""
    words, by = np.repeat(words, 8), (shifts % 64).astype(np.uint64)
    return (words >> by | words << (64 - by) % 64).astype(np.uint8)


OPERATIONS = {
    "splat": ("I", lambda value: np.full(16, value)),
    "splat_float": ("F", lambda value: np.full(16, value)),
    "add": ("ii", lambda x, y: x + y),
    "subtract": ("ii", lambda x, y: x - y),
    "multiply": ("ii", lambda x, y: x * y),
    "xor": ("ww", lambda x, y: x ^ y),
    "scale_down": ("sS", lambda x, factor: x * factor + 2**15 >> 16),
    "widen_low": ("b", lambda x: x.view(np.uint16)[:16].astype(np.int32)),
    "widen_high": ("b", lambda x: x.view(np.uint16)[16:].astype(np.int32)),
    "subset_sums": ("IIII", lambda *values: IN_SUBSET @ np.stack(values)),
    "low_nibbles": ("b", lambda x: x % 16 + PLACE),
    "high_nibbles": ("b", lambda x: x // 16 + PLACE),
    "add_bytes": ("bb", lambda x, y: x + y),
    "add_where": ("bWB", lambda x, mask, value: x + value * bits(mask)),
    "add_bytes_where": ("bWb", lambda x, mask, y: x + y * bits(mask)),
    "common_bits": ("bb", lambda x, y: packed(x & y != 0, np.uint64)),
    "double_bytes": ("b", lambda x: x + x),
    "high_bytes": ("i", lambda x: x // 256),
    "weave_low": ("ii", lambda x, y: np.stack([x[:8], y[:8]], axis=1).ravel()),
    "weave_high": ("ii", lambda x, y: np.stack([x[8:], y[8:]], axis=1).ravel()),
    "even_lanes": ("ii", lambda x, y: np.concatenate([x, y])[0::2]),
    "odd_lanes": ("ii", lambda x, y: np.concatenate([x, y])[1::2]),
    "join_low_bytes": ("iiii", lambda *x: np.concatenate(x).astype(np.uint8)),
    "invert_where": ("bW", lambda x, mask: x ^ (255 * bits(mask))),
    "bits_where": ("bB", lambda x, value: packed(x & value != 0, np.uint64)),
    "equal_words": ("wL", lambda x, value: np.uint32(packed(x.view(np.int64) == value, np.uint8))),
    "words_above": ("wL", lambda x, value: np.uint32(packed(x.view(np.int64) > value, np.uint8))),
    "count_bits": ("P", lambda mask: np.int64(bits(mask).sum())),
    "lowest_bit": ("M", lambda mask: np.flatnonzero(bits(mask))[0]),
    "sum_lanes": ("i", lambda x: x.sum(dtype=np.int32)),
    "to_float": ("i", lambda x: x.astype(np.float32)),
    "add_float": ("ff", lambda x, y: x + y),
    "subtract_float": ("ff", lambda x, y: x - y),
    "multiply_float": ("ff", lambda x, y: x * y),
    "divide_float": ("fd", lambda x, y: x / y),
    "max_float": ("ee", lambda x, y: np.where(x > y, x, y)),
    "max_floats": ("m", np.max),
    "min_float": ("ee", lambda x, y: np.where(x < y, x, y)),
    "next_float": ("AO", lambda value, step: np.nextafter(value, np.float32(np.inf * step))),
    "to_int": ("r", lambda x: np.trunc(x).astype(np.int32)),
    "at_least": ("ee", lambda x, y: np.uint32(packed(x >= y, np.uint16))),
    "cut_keys": ("ee", lambda x, y: np.stack([keys(x), keys(y)], axis=1).ravel()),
    "cut_key": ("E", lambda x: np.int32(keys(x))),
    "keys_at_least": ("hI", lambda x, key: packed(x >= key.astype(np.int16), np.uint32)),
    "choose": ("iPi", lambda x, mask, other: np.where(bits(mask)[:16], x, other)),
    "choose_above": ("eeii", lambda x, y, above, other: np.where(x > y, above, other)),
    "magnitude": ("e", np.abs),
    "add_where_above": ("ieei", lambda total, x, least, step: total + step * (x > least)),
    "add_where_negative": ("iei", lambda total, x, step: total + step * (x < 0)),
    "keep_lanes": ("iN", lambda x, lanes: np.where(np.arange(16) < lanes, x, 0)),
    "sum_floats": ("f", decoded.sum_lanes),
    "to_row_bytes": ("b", lambda x: x + np.uint8(simd.ROW_BIAS)),
    "lookup16": ("tn", lambda table, index: table[index]),
    "shift_bytes": ("wb", turned),
    "merge": (
        "bWkb",
        lambda other, mask, index, x: np.where(bits(mask), x[index], other),
    ),
    "add_quads": ("ib", lambda total, x: total + x.reshape(16, 4).sum(axis=1, dtype=np.int32)),
    "dot4": (
        "ibq",
        lambda total, rows, queries: total
        + (row_values(rows) * queries).reshape(16, 4).sum(axis=1, dtype=np.int32),
    ),
}  # fmt: skip


def run(name, values, expected):
    """The bytes that an operation makes of arrays (vectors) and scalars."""
    numbers = [v.ctypes.data if v.ndim else v for v in values]
    kinds = "".join("v" if v.ndim else "s" for v in values)
    out = np.full(64, 0xA5, np.uint8)
    if expected.ndim:
        compiled(name, kinds, "v")(*numbers, out.ctypes.data)
        return out.tobytes()
    return expected.dtype.type(compiled(name, kinds, "s")(*numbers, 0)).tobytes()


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_equals_numpy(name):
    letters, emulate = OPERATIONS[name]
    rng = np.random.default_rng(len(name))
    for values in zip(*(POOLS[letter](rng) for letter in letters), strict=True):
        values = [np.ascontiguousarray(v) if v.ndim else v for v in values]
        with np.errstate(over="ignore"):
            expected = emulate(*values)
        assert run(name, values, expected) == expected.tobytes(), values


def test_cutting_keeps_order():
    rng = np.random.default_rng(0)
    x, y = POOLS["e"](rng), POOLS["e"](rng)
    assert ((keys(x) <= keys(y)) | (x >= y)).all()


def test_lookup128():
    rng = np.random.default_rng(0)
    find = compiled("lookup128", "sv", "v")
    for table in integers(np.uint8, OCTETS, 128, rng):
        index = rng.permutation(128)[:64].astype(np.uint8)
        out = np.empty(64, np.uint8)
        find(table.ctypes.data, index.ctypes.data, out.ctypes.data)
        assert out.tobytes() == table[index].tobytes()


def test_lookup256():
    rng = np.random.default_rng(0)
    find = compiled("lookup256", "sv", "v")
    for table in integers(np.uint8, OCTETS, 256, rng):
        index = rng.permutation(256)[:64].astype(np.uint8)
        out = np.empty(64, np.uint8)
        find(table.ctypes.data, index.ctypes.data, out.ctypes.data)
        assert out.tobytes() == table[index].tobytes()


def test_lookup_ints():
    rng = np.random.default_rng(0)
    table, x = rng.integers(-(2**31), 2**31, 17, np.int32), rng.integers(0, 2**32, 16, np.uint32)
    find = compiled("lookup_ints", "svs", "v")
    for bit in range(29):
        out = np.empty(16, np.int32)
        find(table[1:].ctypes.data, x.ctypes.data, bit, out.ctypes.data)
        assert (out == table[1:][(x >> np.uint32(bit)) & 15]).all()


def test_store_nibbles():
    rng = np.random.default_rng(0)
    for words in integers(np.uint8, OCTETS, 256, rng):
        out = np.full(512 + 8, 0xA5, np.uint8)
        at = [words[64 * i :].ctypes.data for i in range(4)]
        compiled("store_nibbles", "svvvv", "s")(out.ctypes.data, *at, 0)
        rows = words.reshape(32, 8)
        want = np.stack([rows.T % 16, rows.T // 16], axis=1)  # place, half, row
        assert out[:512].tobytes() == want.tobytes()
        assert (out[512:] == 0xA5).all()


def test_add_lookups():
    rng = np.random.default_rng(0)
    for total, index in zip(POOLS["b"](rng), POOLS["n"](rng), strict=True):
        tables = rng.integers(0, 128, 16 + 128, np.uint8)
        tables[[0, 128]] = 127
        out = np.full(64, 0xA5, np.uint8)
        at = total.ctypes.data, index.ctypes.data, tables.ctypes.data, out.ctypes.data
        compiled("add_lookups", "vvs", "v")(*at)
        found = tables[index[:32]] + tables[128:][index[32:]]
        assert out.tobytes() == (total.view(np.uint16) + found).tobytes()


def test_add_octet_lookups():
    rng = np.random.default_rng(0)
    for total, index in zip(POOLS["b"](rng), POOLS["b"](rng), strict=True):
        tables = rng.integers(0, 128, 512, np.uint8)
        tables[[0, 127, 128, 255]] = 127
        out = np.full(64, 0xA5, np.uint8)
        at = total.ctypes.data, index.ctypes.data, tables.ctypes.data, out.ctypes.data
        compiled("add_octet_lookups", "vvs", "v")(*at)
        found = tables[index[:32]] + tables[256:][index[32:]]
        assert out.tobytes() == (total.view(np.uint16) + found).tobytes()


def test_every_operation_is_tested():
    elsewhere = {
        "load", "store", "store_low_bytes", "load_half", "load_halves", "load_entry", "load_first",
        "load_bytes",
        "lookup128", "store_nibbles", "add_lookups", "add_octet_lookups", "address_of", "dot_tile",
        "dot_narrow", "dot_single",
        "dot_float_tile", "product_tile", "product_row", "prefetch", "tiles_begin", "tiles_end",
        "stack", "store_byte", "load_fours", "load_eights", "load_head",
        "lookup256", "lookup_ints", "load_octets", "gather", "look_up_tile", "look_up_narrow",
    }  # fmt: skip
    kind = type(simd.load)
    exported = {name for name in simd.__all__ if isinstance(getattr(simd, name), kind)}
    assert exported == OPERATIONS.keys() | READS.keys() | WRITES.keys() | elsewhere
