import numpy as np
import pytest

from benchmarks import ceilings
from benchmarks.stopwatch import Rate
from vqindex.kernels.cpu import simd

RNG = np.random.default_rng(0)
OUT = np.empty(64, np.uint8)


def octets(size, high=256):
    return RNG.integers(0, high, size, np.uint8)


def folded(octets):
    return np.bitwise_xor.reduce(octets.view(np.uint64).reshape(-1, 8))


@pytest.mark.parametrize(("passes", "times"), [(1, 1), (2, 0), (3, 1)])
def test_stream_reads_every_vector_in_every_pass(passes, times):
    x = octets(1536)
    ceilings.stream(x, passes, OUT)
    assert (times * folded(x) == OUT.view(np.uint64)).all()


def test_dots_multiply_every_row_with_every_query():
    rows, queries = octets(384, 128), RNG.integers(-127, 128, 256, np.int8)
    ceilings.dots(rows, queries.view(np.uint8), 2, OUT)
    r, q = (x.astype(np.int64).reshape(-1, 16, 4) for x in (rows, queries))
    assert (OUT.view(np.int32) == 2 * np.einsum("rli,qli->l", r, q)).all()


def test_tiles_are_inner_products():
    steps, width = 16, 16 * simd.TILE_QUERIES
    rows = octets((simd.TILE_ROWS, steps, 4), 128)
    queries = RNG.integers(-127, 128, (simd.TILE_QUERIES, steps, 16, 4), np.int8)
    seed = RNG.integers(-1000, 1000, width).astype(np.int32)
    out = np.empty((simd.TILE_ROWS, width), np.int32)
    operands = (array.view(np.uint8).ravel() for array in (rows, queries, seed))
    ceilings.tiles(*operands, 2, out.view(np.uint8).ravel())
    found = np.einsum("rsi,vsqi->rvq", rows.astype(np.int64), queries.astype(np.int64))
    assert (out == found.reshape(-1, width) + seed).all()


def test_lookups_are_of_every_vector():
    sixteen, many = octets(16), octets(128)
    for fold, entries, count in (
        (ceilings.lookups16, np.tile(sixteen, 4), 16),
        (ceilings.lookups128, many, 128),
    ):
        x = octets(768, count)
        fold(x, entries, 3, OUT)
        assert (folded(entries[x]) == OUT.view(np.uint64)).all()


def test_memory_is_aligned_and_written():
    for size in (1, 64, 1000):
        memory = ceilings.aligned(size)
        assert memory.shape == (size,)
        assert memory.ctypes.data % 64 == 0
        assert (memory == 1).all()


def test_every_ceiling_is_measured():
    every = ceilings.every([("L1", 512), ("L2", 1024)])
    assert [ceiling.what["kernel"] for ceiling in every] == [
        "stream", "stream", "dot4", "dot_tile", "lookup16", "lookup128",
    ]  # fmt: skip
    for ceiling in every:
        assert ceilings.CALL / 256 < ceiling.amount <= ceilings.CALL
        ceiling.call()
    rows = [ceiling.figures(Rate(best=4.0, median=2.0, spread=0.5)) for ceiling in every]
    assert rows[0]["median"] == 2 * ceilings.CALL / 1e9
    assert rows[0]["best"] == 4 * ceilings.CALL / 1e9
    lines = ceilings.report(rows).splitlines()
    assert lines[0].split() == ["ceiling", "of", "unit", "median", "best", "spread"]
    assert lines[3].split()[:4] == ["stream", "L2,", "1,024", "bytes"]


def test_the_ceiling_of_a_kernel():
    rows = [
        {"kernel": "stream", "unit": "GB/s", "bytes": 100, "best": 9.0},
        {"kernel": "stream", "unit": "GB/s", "bytes": 1000, "best": 5.0},
        {"kernel": "dot4", "unit": "GMAC/s", "best": 20.0},
        {"kernel": "dot_tile", "unit": "GMAC/s", "best": 30.0},
    ]
    assert [ceilings.stream_ceiling(rows, size) for size in (100, 101, 1001)] == [9, 5, 5]
    assert ceilings.dot_ceiling(rows) == 30
