"""Every operation of the vector vocabulary, against a line of NumPy."""

import ctypes
import functools
import mmap

import numba
import numpy as np
import pytest

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.simd.memory import STACK_BYTES
from vqindex.kernels.reference import decoded

CASES = 40
SIGNED = np.array([0, 1, -1, 127, -127, -128, 128, 255, 2**31 - 1, -(2**31)], np.int32)
WORDS = np.array([0, 1, 2**63, 2**64 - 1, 0x8080808080808080, 2**32 - 1], np.uint64)
OCTETS = np.array([0, 1, 127, 128, 129, 255], np.uint8)
# Sixteen of the largest still have a finite sum.
FLOATS = np.array([0, -0.0, 1, -1, 1.5, 1e-45, -1e-45, 1.1754944e-38, 2e37, -2e37], np.float32)


def mixed(random, edges, rng):
    """Half random values, half edges."""
    return np.where(rng.random(random.shape) < 0.5, random, rng.choice(edges, random.shape))


def integers(dtype, edges, lanes, rng):
    random = np.frombuffer(rng.bytes(CASES * lanes * np.dtype(dtype).itemsize), dtype)
    return mixed(random.reshape(CASES, lanes), edges, rng)


def floats(lanes, rng):
    scale = np.exp2(rng.integers(-20, 20, (CASES, lanes)))
    return mixed((rng.standard_normal((CASES, lanes)) * scale).astype(np.float32), FLOATS, rng)


# Small letters are vectors, capitals scalars.
POOLS = {
    "i": lambda rng: integers(np.int32, SIGNED, 16, rng),
    "w": lambda rng: integers(np.uint64, WORDS, 8, rng),
    "b": lambda rng: integers(np.uint8, OCTETS, 64, rng),
    "h": lambda rng: integers(np.int16, np.array([0, -1, 2**15 - 1, -(2**15)], np.int16), 32, rng),
    "f": lambda rng: floats(16, rng),
    "e": lambda rng: mixed(floats(16, rng), np.array([np.inf, -np.inf], np.float32), rng),
    "d": lambda rng: np.where((x := floats(16, rng)) == 0, np.float32(1), x),
    "m": lambda rng: np.abs(floats(16, rng)),
    "r": lambda rng: np.clip(floats(16, rng), -(2.0**31), np.nextafter(np.float32(2.0**31), 0)),
    "q": lambda rng: np.maximum(integers(np.int8, np.array([127, -127], np.int8), 64, rng), -127),
    "t": lambda rng: np.tile(integers(np.uint8, OCTETS, 16, rng), 4),
    "n": lambda rng: integers(np.uint8, OCTETS, 64, rng) % 16,
    "k": lambda rng: integers(np.uint8, OCTETS, 64, rng) % 64,
    "s": lambda rng: mixed(rng.integers(-1024, 1025, (CASES, 16), np.int32), SIGNED[:8], rng),
    "I": lambda rng: integers(np.int32, SIGNED, 1, rng)[:, 0],
    "S": lambda rng: mixed(rng.integers(-(2**20), 2**20, CASES, np.int32), SIGNED[:8], rng),
    "W": lambda rng: integers(np.uint64, WORDS, 1, rng)[:, 0],
    "B": lambda rng: integers(np.uint8, OCTETS, 1, rng)[:, 0],
    "F": lambda rng: floats(1, rng)[:, 0],
    "E": lambda rng: POOLS["e"](rng)[:, 0],
    "P": lambda rng: integers(np.uint32, np.array([0, 2**32 - 1], np.uint32), 1, rng)[:, 0],
    "M": lambda rng: integers(np.uint32, np.uint32(1) << np.arange(32, dtype=np.uint32), 1, rng)[
        :, 0
    ],
    "N": lambda rng: np.arange(-3, CASES - 3),
    "A": lambda rng: np.maximum(np.abs(floats(1, rng)[:, 0]), np.float32(1e-38)),
    "O": lambda rng: rng.choice(np.array([-1, 1], np.int32), CASES),
}

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


def row_values(rows):
    """What bytes offset by ROW_BIAS stand for, with ROW_BIAS left in."""
    return (rows if simd.ROW_BIAS else rows.view(np.int8)).astype(np.int32)


OPERATIONS = {
    "splat": ("I", lambda value: np.full(16, value)),
    "splat_float": ("F", lambda value: np.full(16, value)),
    "add": ("ii", lambda x, y: x + y),
    "subtract": ("ii", lambda x, y: x - y),
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
READS = {
    "load_byte": np.uint8, "load_word": np.uint64, "load_int": np.int32, "load_int64": np.int64,
    "load_float": np.float32,
}  # fmt: skip
WRITES = {
    "store_word": np.uint64(2**63 + 2**40), "store_int": np.int32(-(2**30) - 3),
    "store_int64": np.int64(-(2**62) - 3),
    "store_float": np.float32(2**63 + 2**40),
}  # fmt: skip


@functools.cache
def compiled(name, arguments, result):
    """An operation as a function of numbers: vectors by address, the last one's the result's."""
    names = [f"a{i}" for i in range(len(arguments))]
    values = ", ".join(
        f"simd.load({name})" if kind == "v" else name
        for kind, name in zip(arguments, names, strict=True)
    )
    call = f"simd.{name}({values})"
    body = f"simd.store(out, {call})" if result == "v" else f"return {call}"
    scope = {"simd": simd}
    exec(f"def run({', '.join([*names, 'out'])}):\n    {body}", scope)
    return numba.njit(scope["run"])


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


def test_load_bytes():
    memory = np.random.default_rng(0).integers(-128, 128, 64, np.int8)
    out = np.empty(16, np.int32)
    compiled("load_bytes", "s", "v")(memory.ctypes.data + 3, out.ctypes.data)
    assert (out == memory[3:19]).all()


@pytest.mark.parametrize(("name", "times"), [("load_fours", 4), ("load_eights", 8)])
def test_repeated_loads(name, times):
    memory = np.random.default_rng(0).standard_normal(8).astype(np.float32)
    out = np.empty(16, np.float32)
    compiled(name, "s", "v")(memory.ctypes.data + 4, out.ctypes.data)
    assert out.tolist() == np.repeat(memory[1 : 1 + 16 // times], times).tolist()


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


def tile(name, *numbers):
    compiled("tiles_begin", "", "s")(0)
    compiled(name, "s" * len(numbers), "s")(*numbers, 0)
    compiled("tiles_end", "", "s")(0)


@pytest.mark.parametrize("steps", [16, 32, 80])
@pytest.mark.parametrize(
    ("name", "rows", "vectors"),
    [
        ("dot_tile", simd.TILE_ROWS, simd.TILE_QUERIES),
        ("dot_narrow", simd.NARROW_ROWS, 1),
        ("dot_single", 1, simd.SINGLE_QUERIES),
    ],
)
def test_integer_tiles(name, rows, vectors, steps):
    rng = np.random.default_rng(steps)
    row = mixed(rng.integers(0, 256, (rows, 4 * steps + 12), np.uint8), OCTETS, rng)
    query = rng.integers(-127, 128, (vectors, steps + 1, 16, 4), np.int8)
    seed = rng.integers(-(2**20), 2**20, (vectors, 16), np.int32)
    out = np.full((rows, vectors + 1, 16), -1, np.int32)
    tile(
        name, row.ctypes.data, row.strides[0], query.ctypes.data, query.strides[0], steps,
        seed.ctypes.data, out.ctypes.data, out.strides[0],
    )  # fmt: skip
    values = row_values(row)[:, : 4 * steps].reshape(rows, steps, 4)
    expected = seed + np.einsum("rgi,vgji->rvj", values, query[:, :steps].astype(np.int32))
    assert (out[:, :vectors] == expected).all()
    assert (out[:, vectors] == -1).all()


@pytest.mark.parametrize("steps", [1, 2, 24])
def test_dot_float_tile(steps):
    rng = np.random.default_rng(steps)
    rows = rng.standard_normal((simd.FLOAT_ROWS, 16 * steps + 8)).astype(np.float32)
    queries = rng.standard_normal((simd.FLOAT_QUERIES, 16 * steps + 4)).astype(np.float32)
    out = np.full((simd.FLOAT_ROWS, simd.FLOAT_QUERIES + 1), np.nan, np.float32)
    tile(
        "dot_float_tile", rows.ctypes.data, rows.strides[0], queries.ctypes.data,
        queries.strides[0], steps, out.ctypes.data, out.strides[0],
    )  # fmt: skip
    expected = decoded.dot(rows[:, : 16 * steps], queries[:, : 16 * steps])
    assert out[:, :-1].tobytes() == expected.tobytes()
    assert np.isnan(out[:, -1]).all()


@pytest.mark.parametrize("steps", [1, 2, 37])
@pytest.mark.parametrize(
    ("name", "rows"), [("product_tile", simd.PRODUCT_ROWS), ("product_row", 1)]
)
def test_product_tiles(name, rows, steps):
    rng = np.random.default_rng(steps)
    left = rng.standard_normal((rows, steps + 3)).astype(np.float32)
    right = rng.standard_normal((steps, simd.PRODUCT_LANES + 5)).astype(np.float32)
    out = np.full((rows, simd.PRODUCT_LANES + 1), np.nan, np.float32)
    tile(
        name, left.ctypes.data, left.strides[0], right.ctypes.data, right.strides[0], steps,
        out.ctypes.data, out.strides[0],
    )  # fmt: skip
    expected = np.zeros((rows, simd.PRODUCT_LANES), np.float32)
    for j in range(steps):
        expected += left[:, j : j + 1] * right[j, : simd.PRODUCT_LANES]
    assert out[:, :-1].tobytes() == expected.tobytes()
    assert np.isnan(out[:, -1]).all()


def test_every_operation_is_tested():
    elsewhere = {
        "load", "store", "store_low_bytes", "load_half", "load_halves", "load_entry", "load_first",
        "load_bytes",
        "lookup128", "store_nibbles", "add_lookups", "add_octet_lookups", "address_of", "dot_tile",
        "dot_narrow", "dot_single",
        "dot_float_tile", "product_tile", "product_row", "prefetch", "tiles_begin", "tiles_end",
        "stack", "store_byte", "load_fours", "load_eights", "load_head",
        "lookup256",
    }  # fmt: skip
    kind = type(simd.load)
    exported = {name for name in simd.__all__ if isinstance(getattr(simd, name), kind)}
    assert exported == OPERATIONS.keys() | READS.keys() | WRITES.keys() | elsewhere
