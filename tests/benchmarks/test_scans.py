import numpy as np
import pytest

from benchmarks import scans
from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.program import BLOCK


@pytest.fixture(scope="module")
def held():
    return scans.hold("EDEN4", 64, 5000, 10**9, 20)


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
    assert (levels(work.call.args[-1]) + 0.5 == layout.levels(last)).all()
    assert work.bytes == len(held.index) * 64 // 2


def test_plane_gives_the_scores_of_one_bit():
    held = scans.hold("EDEN1", 64, 4096, 10**9, 2)
    work = scans.plane(held)
    work.call()
    operands = held.operands
    best = np.sort(work.call.args[-1].ravel())[: -scans.K - 1 : -1] + operands.alpha[0]
    assert (best == held.index.search(held.queries[0], scans.K).scores).all()
    assert work.bytes == 4096 * 64 // 8


def test_tiles_are_those_of_a_search(held):
    work = scans.raw_tiles_of(held)
    work.call()
    raw = work.call.args[-1][:, :20]
    entries = held.operands.entries[:20].astype(np.int64)
    assert (raw == levels(work.call.args[2]).astype(np.int64) @ entries.T).all()
    work = scans.score_tiles_of(held)
    work.call()
    half, gamma = (column[0, :20] for column in (held.operands.half, held.operands.gamma))
    scale = held.rows.codes.column(held.rows.codec.quantizer.scale)[-BLOCK:]
    want = (raw.astype(np.float32) + half) * gamma * scale.reshape(-1, 1)
    assert (work.call.args[-1][:, :20] == want).all()


def test_products_are_of_every_row_with_every_query(held):
    for name in ("raw_tile", "score_tile", "search on", "search off"):
        work = scans.MEASURES[name](held)
        assert work.macs == len(held.index) * 20 * 64
    assert work.call().ids.shape == (20, scans.K)
