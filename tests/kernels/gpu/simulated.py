"""What the kernels of cuda/ do, in NumPy, from the bytes of their arguments: a fake GPU's `run`."""

import ctypes

import numpy as np

from vqindex.kernels.gpu.records import SEGMENT, STORED
from vqindex.kernels.reference import codebook
from vqindex.kernels.reference.score import part

SIGNS, PAIRS, NIBBLES, BYTES, CODEWORDS = 1, 2, 4, 8, 9
TABLE4, TABLE8, SPARSE, FLOATS, HALVES = 16, 17, 18, 32, 33


def array(address, dtype, *shape):
    """Memory as an array, which may be written to."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    if size == 0:
        return np.zeros(shape, dtype)
    raw = (ctypes.c_ubyte * size).from_address(int(address))
    return np.frombuffer(raw, dtype).reshape(shape)


def keys_of(scores, ranks):
    """Numbers that ascend with the score, and descend with the rank; 0 for NaN."""
    bits = (scores.astype(np.float32) + np.float32(0)).view(np.uint32).astype(np.uint64)
    up = np.where(bits >> np.uint64(31), ~bits & np.uint64(0xFFFFFFFF), bits | np.uint64(1 << 31))
    keys = up << np.uint64(32) | (~ranks.astype(np.uint32)).astype(np.uint64)
    return np.where(np.isnan(scores), np.uint64(0), keys)


def best_of(keys, size, k):
    """The best k of some keys, then zeros, (size,)."""
    out = np.zeros(size, np.uint64)
    some = np.sort(keys[keys > 0])[::-1][:k]
    out[: len(some)] = some
    return out


def rows_of(segment, block):
    """The 32 rows of a block, (32, bytes)."""
    pieces = array(segment["codes"] + 512 * segment["chunks"] * block, np.uint8,
                   segment["chunks"], 32, 16)  # fmt: skip
    return np.ascontiguousarray(pieces.swapaxes(0, 1)).reshape(32, -1)


def levels_of(segment, block):
    """The int8 levels t of a block's rows, (32, at least dims)."""
    rows, t = rows_of(segment, block), segment["table"].astype(np.int8)
    if segment["kind"] == BYTES:
        return rows.view(np.int8)
    if segment["kind"] == CODEWORDS:
        window, stride, count, group = (int(segment[n]) for n in SEGMENT.names[-4:])
        book = array(segment["codebook"], np.int8, 1 << window, 4 if group <= 4 else 8)
        stream = np.unpackbits(rows, axis=1, bitorder="little")[:, : count * stride]
        codes = codebook.windows(stream, stride, window, count)
        levels = np.zeros((32, int(segment["dims"])), np.int8)
        levels[:, : count * group] = codebook.levels(codes, book[:, :group])
        return levels
    if segment["kind"] == NIBBLES:
        codes = np.stack([rows & 15, rows >> 4], axis=2).reshape(32, -1)
        return np.where(codes & 8, ~t[codes & 7], t[codes & 7])
    if segment["kind"] == PAIRS:
        halves = rows.reshape(32, -1, 2, 8)
        sign, differs = (
            np.unpackbits(np.ascontiguousarray(halves[:, :, i]).reshape(32, -1), axis=1,
                          bitorder="little")
            for i in (0, 1)
        )  # fmt: skip
        return np.where(sign, ~t[sign ^ differs], t[sign ^ differs])
    sign = np.unpackbits(rows, axis=1, bitorder="little")
    return np.where(sign, ~t[0], t[0])


def part_of(segment, block, share, half, gamma):
    """What a segment adds to the scores of a block's rows for one query, before its scale."""
    kind, dims = segment["kind"], int(segment["dims"])
    if kind in (FLOATS, HALVES):
        rows = rows_of(segment, block).view(np.float32 if kind == FLOATS else np.float16)
        return floats(rows.astype(np.float32), share.view(np.float32))
    raw = np.zeros(32, np.int64)
    if kind in (TABLE4, TABLE8):
        codes = rows_of(segment, block)
        if kind == TABLE4:
            codes = np.stack([codes & 15, codes >> 4], axis=2).reshape(32, -1)
        tables = share.view(np.int32)[: dims * (16 if kind == TABLE4 else 256)]
        if kind == TABLE4:  # as TableCodes.spread orders them
            tables = tables.reshape(-1, 2, 8, 16).swapaxes(1, 2).reshape(dims, 16)
        tables = tables.reshape(dims, -1)
        raw = tables[np.arange(dims), codes[:, :dims]].sum(axis=1, dtype=np.int64)
    elif kind == SPARSE:
        each, count = int(segment["stride"]), int(segment["count"])
        outliers = rows_of(segment, block)[:, : each * count].reshape(32, count, each)
        coordinates = outliers[:, :, 0] + (256 * outliers[:, :, 1].astype(int) if each == 3 else 0)
        met = share.view(np.int32)[np.minimum(coordinates, dims - 1)].astype(np.int64)
        raw = (met * outliers[:, :, -1].view(np.int8)).sum(axis=1)
    elif kind:
        levels = levels_of(segment, block)[:, :dims].astype(np.int64)
        raw = levels @ share.view(np.int8)[:dims].astype(np.int64)
    return part(raw[:, None], half, gamma)[:, 0]


def floats(rows, query):
    """Sixteen partial sums, added halves first, as the CPU has them."""
    total = np.zeros((32, 16), np.float32)
    query = query[: rows.shape[1]]
    for j in range(0, len(query), 16):
        total += rows[:, j : j + 16] * query[j : j + 16]
    while total.shape[1] > 1:
        middle = total.shape[1] // 2
        total = total[:, :middle] + total[:, middle:]
    return total[:, 0]


class Simulated:
    """Carries launches out."""

    def __init__(self):
        self.arranged, self.spread = {}, {}

    def __call__(self, launch):
        macros = dict(launch.macros)
        getattr(self, launch.kernel)(launch, macros, *launch.arguments)

    def scan(self, launch, macros, stored, first, last, entries, row_bytes, half, gamma, padded,
             shares, lists, blocks, masks, nblocks, before, after, kept, k, floors, counts,
             capacity, starts):  # fmt: skip
        most, every = nblocks, (blocks, masks)
        parts, nq, size = launch.grid[0], launch.grid[1], macros["VQ_KEEP"]
        for q in range(nq):
            if counts and array(counts, np.uint32, nq)[q] <= capacity:
                continue
            if starts:
                start, stop = array(starts, np.int64, nq + 1)[q : q + 2].tolist()
                assert 0 <= stop - start <= most
                nblocks, blocks, masks = stop - start, every[0] + 8 * start, every[1] + 4 * start
            assert not floors or array(floors, np.uint64, nq)[q] == 0
            keys, sums = self.scored(
                stored, range(first, last), entries + q * row_bytes, half + 4 * q, gamma + 4 * q,
                padded, shares + 4 * q * lists if shares else 0, blocks, masks, nblocks,
                array(before, np.float32, nq, 32 * most)[q] if before else None, row_bytes,
            )  # fmt: skip
            if after:
                array(after, np.float32, nq, 32 * most)[q, : len(sums)] = sums
                continue
            for p in range(parts):
                mine = np.arange(nblocks) // 8 % parts == p
                best = best_of(keys.reshape(-1, 32)[mine].ravel(), size, k)
                array(kept, np.uint64, nq, parts, size)[q, p] = best

    vq_scan_scalar = vq_scan_signs = vq_scan_tables = vq_scan_decoded = scan

    def scored(self, stored, span, entries, half, gamma, padded, shares, blocks, masks, nblocks,
               before, row_bytes):  # fmt: skip
        """Keys of some blocks' rows, 0 for those that take no part, and their sums."""
        record = array(stored, STORED, 1)[0]
        segments = array(record["segments"], SEGMENT, int(record["count"]))
        keys, sums = np.zeros((nblocks, 32), np.uint64), np.zeros((nblocks, 32), np.float32)
        for i in range(nblocks):
            block = array(blocks, np.int64, nblocks)[i] if blocks else i
            mask = array(masks, np.uint32, nblocks)[i] if masks else 0xFFFFFFFF
            rows = 32 * block + np.arange(32)
            score = np.full(32, -0.0, np.float32) if before is None else before[32 * i :][:32]
            for s in span:
                one = segments[s]
                at = array(entries + one["entries"], np.uint8, row_bytes - one["entries"])
                numbers = (array(a + 4 * s * padded, np.float32, 1) for a in (half, gamma))
                here = part_of(one, block, at, *numbers)
                if one["scale"]:
                    scale = array(one["scale"], np.float32, rows[-1] + 1)[rows]
                    if one["ratio"]:
                        ratio = array(one["ratio"], np.float16, rows[-1] + 1)[rows]
                        scale = scale * ratio.astype(np.float32)
                    here = here * scale
                score = score + here
            sums[i] = score
            if record["bias"]:
                score = score + array(record["bias"], np.float32, rows[-1] + 1)[rows]
            if record["owners"]:
                owner = array(record["owners"], np.int32, block + 1)[block]
                score = score + array(shares, np.float32, owner + 1)[owner]
            ranks = rows
            if record["ranks"]:
                ranks = array(record["ranks"], np.uint32, rows[-1] + 1)[rows]
            part = (int(mask) >> np.arange(32) & 1).astype(bool) & (rows < record["rows"])
            keys[i] = np.where(part, keys_of(score, ranks), np.uint64(0))
        return keys.ravel(), sums.ravel()

    def vq_arrange(self, launch, macros, stored, entries, row_bytes, nq, out):
        assert launch.grid[0] == -(-int(nq) // macros["VQ_QUERIES"])
        self.arranged[int(out)] = entries, row_bytes

    def vq_spread(self, launch, macros, stored, blocks, nblocks, out):
        segment = array(array(stored, STORED, 1)[0]["segments"], SEGMENT, 1)[0]
        units = int(segment["dims"]) // 64
        assert launch.grid == (-(-nblocks // 8), units, 1)
        array(out, np.uint8, nblocks, units * 2048)[:] = 0  # there is room for it
        self.spread[int(out)] = int(blocks), int(nblocks)

    def vq_batch(self, launch, macros, stored, arranged, half, gamma, padded, nq, shares, lists,
                 blocks, masks, nblocks, best, keep, k, buffer, capacity, counts, dense,
                 room, spread):  # fmt: skip
        segment = array(array(stored, STORED, 1)[0]["segments"], SEGMENT, 1)[0]
        assert bool(spread) == (segment["kind"] == CODEWORDS)
        assert not spread or self.spread[int(spread)] == (int(blocks), int(nblocks))
        entries, row_bytes = self.arranged[int(arranged)]
        count = int(array(stored, STORED, 1)[0]["count"])
        assert launch.shared == macros["VQ_QUERIES"] * 64 * room
        for q in range(nq):
            keys, _ = self.scored(
                stored, range(count), entries + q * row_bytes, half + 4 * q, gamma + 4 * q, padded,
                shares + 4 * q * lists if shares else 0, blocks, masks, nblocks, None, row_bytes,
            )  # fmt: skip
            room = array(buffer, np.uint64, nq, capacity)[q]
            if dense:
                assert len(keys) <= capacity
                room[: len(keys)] = keys
                continue
            worst = array(best, np.uint64, nq, keep)[q, k - 1]
            found = keys[keys > worst]
            array(counts, np.uint32, nq)[q] += len(found)
            room[: len(found)] = found[:capacity]

    def vq_merge(self, launch, macros, keys, stride, length, total, counts, capacity, overflowed,
                 before, floors, out, k):  # fmt: skip
        (parts, nq, _), size = launch.grid, macros["VQ_KEEP"]
        for q in range(nq):
            count = int(total)
            if counts:
                found = array(counts, np.uint32, nq)[q]
                if (found > capacity) != bool(overflowed):
                    continue
                count = count if overflowed else min(int(found), count)
            own = array(keys, np.uint64, nq, stride)[q, :count]
            for p in range(parts):
                some = own[p * length : (p + 1) * length].copy()
                if before and p == 0:
                    some = np.concatenate([some, array(before, np.uint64, nq, size)[q]])
                array(out, np.uint64, nq, parts, size)[q, p] = best_of(some, size, k)

    def vq_answer(self, launch, macros, keys, stride, k, alpha, ids, scores, found):
        nq = launch.grid[1]
        best = array(keys, np.uint64, nq, stride)[:, :k]
        ranks = ~(best & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        up = (best >> np.uint64(32)).astype(np.uint32)
        bits = np.where(up >> np.uint32(31), up ^ np.uint32(1 << 31), ~up)
        there = best > 0
        size = int(ranks[there].max(initial=0)) + 1
        shown = bits.view(np.float32) + array(alpha, np.float32, nq)[:, None]
        array(scores, np.float32, nq, k)[:, : best.shape[1]] = np.where(there, shown, -np.inf)
        named = array(ids, np.int64, size)[np.where(there, ranks, 0)]
        array(found, np.int64, nq, k)[:, : best.shape[1]] = np.where(there, named, -1)
