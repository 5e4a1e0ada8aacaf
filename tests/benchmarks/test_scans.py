import ctypes

import numpy as np
import pytest

from benchmarks import scans
from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.program import BLOCK
from vqindex.kernels.reference import sign


@pytest.fixture(scope="module")
def held():
    return scans.hold("EDEN4", 64, 5000, 10**9, 20)


def at(address, shape, dtype):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_uint8 * size).from_address(address), dtype).reshape(shape)


def levels(octets):
    return (octets - np.uint8(simd.ROW_BIAS)).view(np.int8)


def test_an_index_of_so_many_rows_or_bytes(held):
    assert len(held.index) == 5000 // BLOCK * BLOCK
    assert held.queries.shape == (20, 64)
    first, turned = held.index.reconstruct([0, scans.DRAWN])
    assert (first != turned).any()
    small = scans.hold("EDEN4", 64, 10**6, 5000 * held.index.bytes_per_row, 1)
    assert len(small.index) == len(held.index)


def test_decode_writes_every_block_the_last_one_last(held):
    work = scans.decode(held)
    work.call()
    codes, layout = held.rows.codes, held.rows.codec.quantizer.layout
    last = codes.take(np.arange(codes.n - BLOCK, codes.n))
    assert (
        levels(at(work.call.args[-1], (BLOCK, 64), np.uint8)) + 0.5 == layout.levels(last)
    ).all()
    assert work.bytes == len(held.index) * 64 // 2


def test_plane_sums_every_row():
    held = scans.hold("EDEN1", 64, 4096, 10**9, 2)
    work = scans.plane(held)
    work.call()
    columns = held.rows.codes.take(np.arange(4096))
    signs = np.unpackbits(columns["plane"].view(np.uint8), axis=1, bitorder="little")
    tables, _, _ = sign.tables(held.rows.codec.operands(held.queries).entries[:1])
    assert work.call.args[-1][0] == sign.table_sums(signs == 1, tables).sum()
    assert work.bytes == 4096 * 64 // 8


def test_tiles_are_those_of_a_search(held):
    work = scans.raw_tiles_of(held)
    work.call()
    operands, scratch = held.rows.codec.operands(held.queries), work.call.args[-1]
    raw = at(scratch.raw, (BLOCK, scans.CHUNK), np.int32)[:, :20].copy()
    entries = operands.entries[:20].astype(np.int64)
    rows = levels(at(scratch.levels, (BLOCK, 64), np.uint8)).astype(np.int64)
    assert (raw == rows @ entries.T).all()
    work = scans.score_tiles_of(held)
    work.call()
    half, gamma = (column[0, :20] for column in (operands.half, operands.gamma))
    scale = held.rows.codes.column(held.rows.codec.quantizer.scale)[-BLOCK:]
    want = (raw.astype(np.float32) + half) * gamma * scale.reshape(-1, 1)
    tile = at(work.call.args[-1].tile, (BLOCK, scans.CHUNK), np.float32)[:, :20]
    assert (tile == want).all()


def test_products_are_of_every_row_with_every_query(held):
    for name in ("raw_tile", "score_tile", "search on", "search off"):
        work = scans.MEASURES[name](held)
        assert work.macs == len(held.index) * 20 * 64
    assert work.call().ids.shape == (20, scans.K)
