"""Codes, queries and records as cuda/README.md lays them out, and what scores they have."""

from dataclasses import dataclass, field

import numpy as np

from tests.cuda.emulated import Record
from vqindex.kernels.reference import scalar, score, select

EMPTY, SIGNS, PAIRS, NIBBLES, LEVELS16, BYTES = 0, 1, 2, 4, 5, 8
CODEWORDS, TABLE4, TABLE8, FLOATS, HALVES = 9, 16, 17, 32, 33
BITS = {SIGNS: 1, PAIRS: 2, NIBBLES: 4, LEVELS16: 4, BYTES: 8, TABLE4: 4, TABLE8: 8}
SEGMENT = np.dtype(
    [
        ("codes", "u8"), ("scale", "u8"), ("ratio", "u8"), ("codebook", "u8"), ("kind", "i4"),
        ("chunks", "i4"), ("entries", "i4"), ("dims", "i4"), ("table", "u1", 16),
        ("window", "i4"), ("stride", "i4"), ("count", "i4"), ("group", "i4"),
    ]
)  # fmt: skip
STORED = np.dtype(
    [
        ("segments", "u8"), ("bias", "u8"), ("ranks", "u8"), ("owners", "u8"), ("rows", "i8"),
        ("count", "i4"), ("unused", "i4"),
    ]
)  # fmt: skip


def pieces(octets):
    """Bytes of rows (n, any) as (blocks, chunks, 32, 16), padded with 0xA5 rows and zero bytes."""
    n, width = octets.shape
    blocks, chunks = -(-n // 32), -(-width // 16)
    out = np.full((32 * blocks, 16 * chunks), 0xA5, np.uint8)
    out[:n], out[:n, :width] = 0, octets
    return np.ascontiguousarray(out.reshape(blocks, 32, chunks, 16).swapaxes(1, 2))


def pack(kind, codes):
    """The pieces of codes (n, dims): sign and magnitude, levels of BYTES, numbers of tables."""
    n, dims = codes.shape
    if kind == BYTES:
        return pieces(codes.view(np.uint8))
    if kind == TABLE8:
        return pieces(codes)
    if kind in (NIBBLES, LEVELS16, TABLE4):
        whole = np.pad(codes, ((0, 0), (0, dims % 2)))
        return pieces(whole[:, ::2] | whole[:, 1::2] << 4)
    if kind == SIGNS:
        return pieces(np.packbits(codes, axis=1, bitorder="little"))
    whole = np.pad(codes, ((0, 0), (0, -dims % 64)))
    planes = np.stack([whole >> 1, whole >> 1 ^ whole & 1]).reshape(2, n, -1, 64)
    octets = np.packbits(planes, axis=3, bitorder="little")  # (2, n, words, 8)
    return pieces(octets.transpose(1, 2, 0, 3).reshape(n, -1))


@dataclass
class Part:
    """A segment: its rows' codes, and what it is that queries meet.

    levels   (n, dims) int8 t, so that raw = levels @ entries
    """

    kind: int
    codes: np.ndarray
    levels: np.ndarray
    table: np.ndarray
    scale: np.ndarray | None = None
    ratio: np.ndarray | None = None
    extra: dict = field(default_factory=dict)

    @property
    def entries(self):
        """What the record calls dims."""
        return -(-self.levels.shape[1] // 64) * 64

    @property
    def bytes(self):
        """Of a prepared query: as on the CPU, 4 where the scale is all there is."""
        return self.entries if self.kind != EMPTY else 4

    def ask(self, nq, rng):
        """Entries (nq, bytes) int8 of random queries, and their half."""
        entries, dims = np.zeros((nq, self.bytes), np.int8), self.levels.shape[1]
        if self.kind == EMPTY:
            return entries, np.ones(nq, np.float32)
        entries[:, :dims] = rng.integers(-127, 128, (nq, dims))
        total = entries.sum(axis=1, dtype=np.int64)
        return entries, total.astype(np.float32) * np.float32(0.5)

    def value(self, entries, half, gamma):
        """What this adds to scores before a scale, (n, nq) float32."""
        return score.part(self.raw(entries), half, gamma)

    def raw(self, entries):
        levels = self.levels.astype(np.int64)
        return levels @ entries[:, : levels.shape[1]].astype(np.int64).T


def part(kind, n, dims, rng, scaled=True):
    """Random codes of a kind, the extremes among their levels."""
    table = np.zeros(16, np.uint8)
    if kind == EMPTY:
        levels = codes = np.zeros((n, 0), np.int8)
    elif kind == BYTES:
        levels = codes = rng.integers(-128, 128, (n, dims)).astype(np.int8)
    elif kind == LEVELS16:
        table[:] = rng.integers(0, 256, 16)
        codes = rng.integers(0, 16, (n, dims)).astype(np.uint8)
        levels = table.view(np.int8)[codes]
    else:
        size = 1 << BITS[kind] - 1
        magnitudes = np.sort(rng.choice(128, size, replace=False)).astype(np.int8)
        magnitudes[-1] = 127
        table[:size] = magnitudes
        codes = rng.integers(0, 2 * size, (n, dims)).astype(np.uint8)
        levels = scalar.levels_of(codes, magnitudes)
    scale = rng.uniform(0.5, 2, n).astype(np.float32) if scaled else None
    return Part(kind, pack(kind, codes) if kind != EMPTY else None, levels, table, scale)


def padded_rows(array, fill=np.nan):
    out = np.full(-(-len(array) // 32) * 32, fill, array.dtype)
    out[: len(array)] = array
    return out


@dataclass
class Index:
    """Parts of n rows, and what else a score is made of.

    far   blocks that records say come before these, though there is no memory behind them
    """

    n: int
    parts: list
    bias: np.ndarray | None = None
    ids: np.ndarray | None = None  # of each row, any order
    owners: np.ndarray | None = None
    far: int = 0

    def segments(self):
        array, pointers, at = np.zeros(len(self.parts), SEGMENT), {}, 0
        for i, p in enumerate(self.parts):
            row = array[i]
            row["kind"], row["dims"], row["entries"] = p.kind, p.entries, at
            row["table"] = p.table
            at += p.bytes
            if p.codes is not None:
                row["chunks"] = p.codes.shape[1]
                pointers[80 * i] = p.codes, -self.far * p.codes[0].nbytes
            if p.scale is not None:
                pointers[80 * i + 8] = padded_rows(p.scale), -128 * self.far
            if p.ratio is not None:
                pointers[80 * i + 16] = padded_rows(p.ratio), -64 * self.far
            for name, value in p.extra.items():
                if name == "codebook":
                    pointers[80 * i + 24] = value
                else:
                    row[name] = value
        return Record(array, pointers)

    @property
    def row_bytes(self):
        return sum(p.bytes for p in self.parts)

    def stored(self):
        array = np.zeros(1, STORED)
        array["rows"], array["count"] = self.n + 32 * self.far, len(self.parts)
        pointers = {0: self.segments()}
        if self.bias is not None:
            pointers[8] = padded_rows(self.bias), -128 * self.far
        if self.ids is not None:
            ranks = np.empty(self.n, np.uint32)
            ranks[np.argsort(self.ids)] = np.arange(self.n)
            pointers[16] = padded_rows(ranks, 2**32 - 1), -128 * self.far
        if self.owners is not None:
            pointers[24] = self.owners
        return Record(array, pointers)

    @property
    def ordered_ids(self):
        return np.arange(self.n) if self.ids is None else np.sort(self.ids)


@dataclass
class Queries:
    """Prepared queries: entries (nq, row_bytes) int8, half and gamma (segments, padded)."""

    nq: int
    entries: np.ndarray
    half: np.ndarray
    gamma: np.ndarray
    shares: np.ndarray | None = None

    @property
    def padded(self):
        return self.half.shape[1]


def queries(index, nq, rng, lists=0):
    padded = -(-nq // 16) * 16
    entries = np.full((nq, index.row_bytes), 0x5A, np.int8)
    half, gamma = np.full((2, len(index.parts), padded), np.nan, np.float32)
    at = 0
    for s, p in enumerate(index.parts):
        gamma[s, :nq] = rng.uniform(0.5, 2, nq)
        entries[:, at : at + p.bytes], half[s, :nq] = p.ask(nq, rng)
        at += p.bytes
    shares = rng.normal(0, 100, (nq, lists)).astype(np.float32) if lists else None
    return Queries(nq, entries, half, gamma, shares)


def scores(index, asked, stop=None):
    """(n, nq) float32, in the fixed order; of the first `stop` segments alone without a bias."""
    total, at = np.full((index.n, asked.nq), -0.0, np.float32), 0
    for s, p in enumerate(index.parts[:stop]):
        entries = np.ascontiguousarray(asked.entries[:, at : at + p.bytes])
        value = p.value(entries, asked.half[s, : asked.nq], asked.gamma[s, : asked.nq])
        if p.scale is not None:
            scale = p.scale if p.ratio is None else p.scale * p.ratio.astype(np.float32)
            value = value * scale[:, None]
        total, at = total + value, at + p.bytes
    if stop is not None:
        return total
    if index.bias is not None:
        total = total + index.bias[:, None]
    if index.owners is not None:
        total = total + asked.shares[:, index.owners[np.arange(index.n) // 32]].T
    return total


def best(index, asked, k, rows=None):
    """What selection means: scores and ids (nq, k) of the rows that take part."""
    found = scores(index, asked).T
    ids = np.arange(index.n) if index.ids is None else index.ids
    if rows is not None:
        found, ids = found[:, rows], ids[rows]
    return select.top_k(np.ascontiguousarray(found), ids, k)


def decode_keys(keys, index, k):
    """Scores and ids (nq, k) of keys (nq, any), best first."""
    keys = np.sort(keys, axis=1)[:, ::-1][:, :k]
    keys = np.pad(keys, ((0, 0), (0, k - keys.shape[1])))
    high, ranks = (keys >> 32).astype(np.uint32), ~keys.astype(np.uint32)
    bits = np.where(high >> 31, high ^ np.uint32(1 << 31), ~high)
    none = keys == 0
    ids = index.ordered_ids[np.where(none, 0, ranks)] if index.n else np.zeros_like(keys, np.int64)
    return np.where(none, -np.inf, bits.view(np.float32)), np.where(none, -1, ids)
