"""The code store against plain arrays, whatever is done to it."""

import tracemalloc
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqindex.codes import Codes
from vqindex.errors import ReadOnlyError
from vqindex.kernels.cpu.program import BLOCK, SLAB_ROWS, UNBOUND, table
from vqindex.layouts.base import Column
from vqindex.threads import run

COLUMNS = (
    Column("plane", np.dtype(np.uint64), 3, 8),
    Column("rest", np.dtype(np.uint64), 2),
    Column("codes", np.dtype(np.uint8), 3, 32),
    Column("scale", np.dtype(np.float32)),
    Column("ratio", np.dtype(np.float16)),
    Column("id", np.dtype(np.int64)),
)


def rows_of(n, seed=0):
    """Random entries of every column, none zero, those of width 1 as (n,)."""
    rng = np.random.default_rng([n, seed])
    return {
        c.name: rng.integers(1, 250, (n, c.width) if c.width > 1 else n).astype(c.dtype)
        for c in COLUMNS
    }


def stored(n, seed=0):
    codes = Codes(COLUMNS)
    codes.append(rows_of(n, seed))
    return codes, rows_of(n, seed)


def part(rows, which):
    return {name: array[which] for name, array in rows.items()}


def joined(a, b):
    return {name: np.concatenate([a[name], b[name]]) for name in a}


def grouped(column, array):
    """An array as blocks hold it: (groups, width, interleave), zero after the last row."""
    array = array.reshape(-1, column.width)
    blocks = -(-len(array) // BLOCK)
    whole = np.zeros((blocks * BLOCK, column.width), column.dtype)
    whole[: len(array)] = array
    return whole.reshape(-1, column.interleave, column.width).transpose(0, 2, 1)


def whole(codes):
    """Every column's blocks in use as one array, the shape that `adopt` takes."""
    return {
        c.name: np.concatenate(
            [np.empty((0, c.width, c.interleave), c.dtype), *codes.chunks(c.name)]
        )
        for c in codes.columns
    }


def check(codes, rows):
    """Everything that can be read from codes says that they hold these rows."""
    n = len(rows["id"])
    assert codes.n == n
    assert codes.nblocks == -(-n // BLOCK)
    assert codes.nbytes == codes.nblocks * BLOCK * codes.row_bytes
    assert codes.addresses.shape == (len(COLUMNS), -(-n // SLAB_ROWS))
    taken = codes.take(np.arange(n))
    blocks = whole(codes)
    for column in COLUMNS:
        want = rows[column.name].reshape(n, column.width)
        assert taken[column.name].dtype == column.dtype
        assert np.array_equal(taken[column.name], want)
        assert np.array_equal(blocks[column.name], grouped(column, want))
    assert np.array_equal(codes.column("id"), rows["id"])
    assert np.array_equal(codes.column("scale"), rows["scale"])


@pytest.mark.parametrize("n", [0, 1, 7, 8, 31, 32, 33, 100, 4095, 4096, 4097, 8193])
def test_any_number_of_rows(n):
    codes, rows = stored(n)
    check(codes, rows)
    assert codes.row_bytes == 3 * 8 + 2 * 8 + 3 + 4 + 2 + 8
    assert (codes.addresses % 64 == 0).all()


@given(st.lists(st.sampled_from([0, 1, 3, 8, 13, 32, 100, 4000, 4096]), max_size=6))
@settings(max_examples=30, deadline=None)
def test_chunking_of_appends_changes_nothing(sizes):
    rows, codes = rows_of(sum(sizes)), Codes(COLUMNS)
    edges = np.cumsum([0, *sizes])
    for start, stop in pairwise(edges):
        codes.append(part(rows, slice(start, stop)))
    check(codes, rows)


# What is done, and to how many rows.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "put", "remove", "truncate", "adopt"]),
        st.sampled_from([0, 1, 5, 32, 40, 700, 4096]),
    ),
    max_size=8,
)


@given(first=st.sampled_from([0, 60, 4090, 4200, 8190]), steps=STEPS)
@settings(max_examples=60, deadline=None)
def test_any_sequence_of_changes(first, steps):
    codes, rows = stored(first)
    for seed, (step, size) in enumerate(steps, 1):
        n = codes.n
        rng = np.random.default_rng(seed)
        some = np.sort(rng.permutation(n)[:size])
        if step == "append":
            more = rows_of(size, seed)
            codes.append(more)
            rows = joined(rows, more)
        elif step == "put":
            some = rng.permutation(some)
            values = rows_of(len(some), seed)
            codes.put(some, values)
            for name, array in rows.items():
                array[some] = values[name]
        elif step == "remove":  # the last rows move into the holes
            left = n - len(some)
            holes = some[some < left]
            movers = np.setdiff1d(np.arange(left, n), some)
            codes.put(holes, codes.take(movers))
            codes.truncate(left)
            for array in rows.values():
                array[holes] = array[movers]
            rows = part(rows, slice(left))
        elif step == "truncate":
            codes.truncate(max(n - size, 0))
            rows = part(rows, slice(max(n - size, 0)))
        else:
            codes = Codes.adopt(COLUMNS, n, whole(codes), writable=True)
        check(codes, rows)


def test_take_in_any_order_with_repeats_and_by_name():
    codes, rows = stored(5000)
    chosen = np.array([4999, 0, 4096, 4095, 0, 33])
    taken = codes.take(chosen, ["rest", "id"])
    assert taken.keys() == {"rest", "id"}
    assert np.array_equal(taken["rest"], rows["rest"][chosen])
    assert np.array_equal(taken["id"][:, 0], rows["id"][chosen])
    assert codes.take(np.empty(0, np.int64))["plane"].shape == (0, 3)


def test_what_is_read_is_a_copy():
    codes, rows = stored(40)
    codes.take(np.arange(40))["plane"][:] = 0
    codes.column("id")[:] = 0
    check(codes, rows)


def test_appending_moves_nothing():
    codes, _ = stored(4097)
    before = codes.addresses.copy()
    codes.append(rows_of(9000))
    assert (codes.addresses[:, :2] == before).all()


def test_threads_may_write_parts_in_any_order():
    codes, rows = stored(13)
    more = rows_of(9000)
    first = codes.extend(9000)
    assert (first, codes.n) == (13, 9013)
    edges = list(pairwise([*range(0, 9000, 37), 9000]))[::-1]
    tasks = [partial(codes.write, first + a, part(more, slice(a, b))) for a, b in edges]
    run(tasks, 2)
    check(codes, joined(rows, more))


def test_what_is_bound_stays_while_slabs_do():
    codes, _ = stored(SLAB_ROWS - 5)
    codes.bound["scorer"] = "bound"
    codes.append(rows_of(5))
    assert codes.bound == {"scorer": "bound"}
    codes.truncate(10)
    assert codes.bound == {"scorer": "bound"}
    codes.append(rows_of(SLAB_ROWS))
    assert codes.bound == {}
    codes.bound["scorer"] = "bound"
    codes.truncate(SLAB_ROWS)
    assert codes.bound == {}


def test_addresses_point_to_slabs():
    codes, _ = stored(4200)
    for i, column in enumerate(COLUMNS):
        for slab, chunk in enumerate(codes.chunks(column.name)):
            assert codes.addresses[i, slab] == chunk.ctypes.data
        assert table(codes.addresses, i) == codes.addresses[i].ctypes.data
    assert table(Codes(COLUMNS).addresses, 0) == UNBOUND
    assert codes.index == {column.name: i for i, column in enumerate(COLUMNS)}


def test_memory_is_given_back():
    tracemalloc.start()
    try:
        codes, _ = stored(3 * SLAB_ROWS)
        full = tracemalloc.get_traced_memory()[0]
        codes.truncate(SLAB_ROWS + 1)
        one_less = tracemalloc.get_traced_memory()[0]
        codes.truncate(0)
        none = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    slab = SLAB_ROWS * codes.row_bytes
    # What Python keeps for itself is far less than a tenth of a slab.
    assert abs(full - one_less - slab) < slab / 10
    assert abs(one_less - none - 2 * slab) < slab / 10


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("n", [0, 1, 4096, 4097, 8200])
def test_adopt_round_trip(n, writable):
    codes, rows = stored(n)
    arrays = whole(codes)
    adopted = Codes.adopt(COLUMNS, n, arrays, writable)
    check(adopted, rows)
    if n >= SLAB_ROWS:
        assert all(np.shares_memory(arrays[c.name], next(adopted.chunks(c.name))) for c in COLUMNS)
    if writable:
        adopted.append(rows_of(100, 1))
        check(adopted, joined(rows, rows_of(100, 1)))


def test_read_only_codes_refuse_every_change():
    codes, rows = stored(100)
    arrays = whole(codes)
    for array in arrays.values():
        array.flags.writeable = False
    mapped = Codes.adopt(COLUMNS, 100, arrays, writable=False)
    changes = [
        lambda: mapped.append(rows_of(1)),
        lambda: mapped.put(np.array([0]), rows_of(1)),
        lambda: mapped.truncate(99),
    ]
    for change in changes:
        with pytest.raises(ReadOnlyError, match="mmap=False"):
            change()
    check(mapped, rows)
