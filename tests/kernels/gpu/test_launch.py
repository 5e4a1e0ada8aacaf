"""What launches hold: arguments byte by byte, and grids of few rows and of many."""

import struct

import numpy as np
import pytest

from vqindex.errors import BackendError
from vqindex.kernels.gpu import batch, records, scans, topk
from vqindex.kernels.gpu.encode import Coding, encode
from vqindex.kernels.gpu.launch import Launch, blocks, pointer
from vqindex.kernels.gpu.qjl import Projection, qjl
from vqindex.kernels.gpu.query import Making, query
from vqindex.kernels.gpu.records import Asked, Counted, Where
from vqindex.kernels.gpu.scans import Selection

ASKED = Asked(
    nq=3, padded=16, row_bytes=192, entries=0x10000, half=0x20004, gamma=0x30008, alpha=0x4000C,
    shares=0x50000, lists=32,
)  # fmt: skip
WHERE = Where(9, 0x60008, 0x70004)


def test_arguments_lie_at_multiples_of_their_sizes():
    launch = Launch("stem", (), "name", (1, 1, 1), 32, 0, (
        np.int32(-2), np.uint64(2**63), np.float32(0.5), np.int32(7), np.int64(-1), np.uint32(9),
    ))  # fmt: skip
    assert launch.packed == struct.pack("<i4xQfiqI", -2, 2**63, 0.5, 7, -1, 9)


def test_a_scan_byte_by_byte():
    chosen = Selection(100, 5, 0x80000, 0x90000, Counted(0xA0004, 8192))
    launch = scans.scan("scalar", 0x1000, (1, 3), ASKED, WHERE, chosen, before=0xB0004)
    assert launch[:6] == ("scalar", (("VQ_KEEP", 256),), "vq_scan_scalar", (5, 3, 1), 256, 0)
    assert launch.packed == struct.pack(
        "<QiiQqQQi4xQi4xQQqQQQi4xQQI4xQ",
        0x1000, 1, 3, 0x10000, 192, 0x20004, 0x30008, 16, 0x50000, 32, 0x60008, 0x70004, 9,
        0xB0004, 0, 0x80000, 100, 0x90000, 0xA0004, 8192, 0,
    )  # fmt: skip


def test_a_scan_that_hands_sums_on_keeps_nothing():
    chosen = Selection(1, 5, 0x80000, 0x90000)
    launch = scans.scan("table", 0x1000, (0, 1), ASKED, WHERE, chosen, after=0xC0000)
    before, after, kept = launch.arguments[13:16]
    assert (before, after, kept) == (0, 0xC0000, 0)
    assert launch.macros == (("VQ_KEEP", 16),)


def test_a_batch_byte_by_byte():
    cut = batch.shape(3, [4], [48], shared_bytes=227 * 1024)
    launch = batch.batch(
        cut, 0x1000, 0x2000, ASKED, WHERE, 10, 6, 0x80000, 0x90000, Counted(0xA0000, 8192),
        0xB0000,
    )  # fmt: skip
    macros = (("VQ_QUERIES", 8), ("VQ_KIND", 4))
    assert launch[:6] == ("batch", macros, "vq_batch", (1, 6, 1), 256, 8 * 64 * 24)
    assert launch.packed == struct.pack(
        "<QQQQiiQi4xQQqQiiQI4xQiiQ",
        0x1000, 0x2000, 0x20004, 0x30008, 16, 3, 0x50000, 32, 0x60008, 0x70004, 9, 0x80000, 16, 10,
        0x90000, 8192, 0xA0000, 0, 24, 0xB0000,
    )  # fmt: skip
    dense = batch.batch(cut, 16, 16, ASKED, WHERE, 10, 6, 0, 8, Counted(4, 8192))
    assert dense.arguments[-3] == 1


def test_streams_are_spread_byte_by_byte():
    launch = batch.spread(0x1000, WHERE, 96, 0x2000)
    assert launch[:6] == ("spread", (), "vq_spread", (2, 24, 1), 256, 0)
    assert launch.packed == struct.pack("<QQqQ", 0x1000, 0x60008, 9, 0x2000)
    assert batch.shape(9, [9], [96], 227 * 1024) == batch.shape(9, [8], [96], 227 * 1024)


def test_arranging_byte_by_byte():
    cut = batch.shape(70, [1, 0], [1, 0], shared_bytes=48 * 1024)
    launch = batch.arrange(cut, 0x1000, ASKED._replace(nq=70), 0x2000)
    macros = (("VQ_QUERIES", 64), ("VQ_KIND", 0))
    assert launch[:6] == ("batch", macros, "vq_arrange", (2, 8, 1), 256, 0)
    assert launch.packed == struct.pack("<QQqi4xQ", 0x1000, 0x10000, 192, 70, 0x2000)


def test_a_merge_byte_by_byte():
    launch = topk.merge(
        8, 3, 10, 8192, 640, 16, before=24, floors=32, length=100, counted=Counted(4, 8192),
        overflowed=True,
    )  # fmt: skip
    assert launch[:6] == ("topk", (("VQ_KEEP", 16),), "vq_merge", (7, 3, 1), 256, 0)
    assert launch.packed == struct.pack(
        "<QqqqQIiQQQi", 8, 8192, 100, 640, 4, 8192, 1, 24, 32, 16, 10
    )


def test_an_answer_byte_by_byte():
    launch = topk.answer(8, 3, 257, 1024, 4, 16, 12, 24)
    assert launch[:6] == ("topk", (("VQ_KEEP", 1024),), "vq_answer", (2, 3, 1), 256, 0)
    assert launch.packed == struct.pack("<Qqi4xQQQQ", 8, 1024, 257, 4, 16, 12, 24)


@pytest.mark.parametrize(
    ("n", "count"), [(0, 0), (1, 1), (31, 1), (32, 1), (33, 2), (2**31 + 1, 2**26 + 1)]
)
def test_blocks_of_a_grid(n, count):
    assert blocks(n, 32) == count


def test_a_grid_has_an_end():
    assert blocks(2**31 - 1, 1) == 2**31 - 1
    with pytest.raises(BackendError, match="2,147,483,648 rows need"):
        blocks(2**31, 1)


@pytest.mark.parametrize("rows", [0, 1, 31, 32, 33, 2**31 + 1])
def test_the_grid_of_a_scan(rows):
    """Nothing is launched for no rows; else no more than there is work for, or cores."""
    count = -(-rows // 32)
    for nq in (1, 3, 64, 4096):
        parts = scans.parts(count, nq, slots=4 * 132)
        assert 1 <= parts <= max(1, -(-count // 8))
        assert parts * nq <= max(4 * 132, nq)  # no block waits for others to end
        launch = scans.scan(
            "scalar", 16, (0, 1), ASKED._replace(nq=nq), Where(count), Selection(1, parts, 0, 0)
        )
        assert launch.grid == ((parts, nq, 1) if rows else (0, nq, 1))
        assert launch.arguments[12] == count
        assert launch.arguments[12].nbytes == 8


@pytest.mark.parametrize(("address", "align"), [(8, 16), (17, 16), (2, 4), (4, 8)])
def test_memory_that_is_not_aligned(address, align):
    with pytest.raises(BackendError, match=f"multiple of {align} bytes"):
        pointer(address, align)
    assert pointer(16 * address, align) == 16 * address


@pytest.mark.parametrize(("k", "size"), [(1, 16), (16, 16), (17, 64), (65, 256), (1024, 1024)])
def test_k_is_rounded_up(k, size):
    assert records.keep(k) == size


def test_k_has_an_end():
    with pytest.raises(BackendError, match="at most 1,024, got 1,025"):
        records.keep(1025)


@pytest.mark.parametrize("nq", [1, 8, 9, 32, 33, 64, 65, 10_000])
@pytest.mark.parametrize("chunks", [1, 4, 32, 48, 49, 192, 1000])
def test_tiles_fit_into_shared_memory(nq, chunks):
    for kinds in ([1], [2], [4], [8], [4, 1], [8, 0]):
        counts = [chunks if kind else 0 for kind in kinds]
        cut = batch.shape(nq, kinds, counts, shared_bytes=100 * 1024)
        assert cut.queries in (batch.TILES if len(kinds) == 1 else batch.TILES[:-1])
        assert cut.kind == (kinds[0] if len(kinds) == 1 else 0)
        assert cut.shared <= 99 * 1024
        assert cut.room % 8 == 0
        assert cut.room >= min(cut.units, 8)
        assert cut.tiles(nq) * cut.queries >= nq
        assert cut.arranged_bytes(nq) == cut.tiles(nq) * cut.units * cut.queries * 64


@pytest.mark.parametrize(
    ("nq", "tile"), [(8, 8), (9, 32), (33, 64), (65, 96), (128, 64), (10_000, 96)]
)
def test_tiles_are_as_large_as_pays(nq, tile):
    assert batch.shape(nq, [4], [48], shared_bytes=227 * 1024).queries == tile


@pytest.mark.parametrize("blocks", [1, 8, 9, 1000, 2**26])
def test_the_grid_of_a_batch(blocks):
    for nq in (8, 64, 96 * 200):
        cut = batch.shape(nq, [4], [48], shared_bytes=227 * 1024)
        parts = batch.parts(cut, nq, blocks, cores=132)
        assert 1 <= parts <= max(1, -(-blocks // 8))


@pytest.mark.parametrize("nq", [64, 100, 1000, 1808, 4096])
def test_a_batch_leaves_few_multiprocessors_waiting(nq):
    cut = batch.shape(nq, [4], [48], shared_bytes=227 * 1024)
    turns, slots = 31250 // 8, 132 * cut.resident
    parts = batch.parts(cut, nq, 31250, cores=132)
    rounds = -(-parts * cut.tiles(nq) // slots)
    assert rounds * -(-turns // parts) * slots < 1.07 * turns * cut.tiles(nq)


def test_some_of_the_queries_and_blocks():
    some = ASKED.some(2, 3)
    assert some.nq == 1
    assert some.padded == 16
    assert some.entries == 0x10000 + 2 * 192
    assert (some.half, some.gamma, some.alpha) == (0x2000C, 0x30010, 0x40014)
    assert some.shares == 0x50000 + 2 * 32 * 4
    assert ASKED._replace(shares=0).some(1, 2).shares == 0
    assert WHERE.some(2, 5) == Where(3, 0x60018, 0x7000C)


def test_records_are_as_large_as_kernels_think():
    assert records.SEGMENT.itemsize == 80
    assert records.STORED.itemsize == 48
    offsets = [records.SEGMENT.fields[name][1] for name in ("kind", "table", "window", "group")]
    assert offsets == [32, 48, 64, 76]


def test_an_encoding_byte_by_byte():
    coding = Coding(100, "cosine", "fixed", 0.25, 0x1000, 2, 0x2004, 0x3004, 0x4010, 2, 99, 12)
    launch = encode(coding, 0x5004, 77, 33, 0x6004, 0x7002, 0, 0x8004, 0x9004)
    assert launch[:6] == ("encode", (), "vq_encode", (77, 1, 1), 128, 900)
    assert launch.packed == struct.pack(
        "<QqqiiQiii4xQQQiiffQQQQQ",
        0x5004, 77, 33, 100, 1, 0x2004, 99, 12, 2, 0x3004, 0x4010, 0x1000, 2, 2, 0.25, 10.0,
        0x6004, 0x7002, 0, 0x8004, 0x9004,
    )  # fmt: skip
    assert encode(coding, 4, 0, 0, 4, 0, 0, 4).grid == (0, 1, 1)


def test_a_projection_byte_by_byte():
    projection = Projection(70, 300, 0.25, 0x1004, 0x2010, 2, 5)
    launch = qjl(projection, 0x3004, 77, 33, 0x4000, 0x5004)
    assert launch[:6] == ("qjl", (), "vq_qjl", (77, 1, 1), 128, 3 * 288 + 3 * 16)
    assert launch.packed == struct.pack(
        "<QqqiiiiQQQi4xQf",
        0x3004, 77, 33, 70, 300, 5, 2, 0x1004, 0x2010, 0x4000, 3, 0x5004, 0.25,
    )  # fmt: skip
    assert qjl(projection, 4, 0, 0, 0, 4).grid == (0, 1, 1)


def test_making_queries_ready_byte_by_byte():
    making = Making(102, "cosine", 0x1004, 0x2004, 0x3010, 2, 99, 12)
    launch = query(making, 0x5004, 0x6000, ASKED)
    assert launch[:6] == ("query", (), "vq_query", (3, 1, 1), 128, 832)
    assert launch.packed == struct.pack(
        "<QiiQQQiii4xQQqQQi4xQ",
        0x5004, 102, 2, 0x1004, 0x2004, 0x3010, 2, 99, 12, 0x6000, 0x10000, 192,
        0x20004, 0x30008, 16, 0x4000C,
    )  # fmt: skip
