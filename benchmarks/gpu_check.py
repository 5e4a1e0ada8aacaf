"""Whether what was timed on a GPU was right: all scores once more by torch, rows coded by the CPU.

Codes are decoded as cuda/README.md has them, by steps that have nothing in common with the kernels;
sums of integers are exact in float64, and float32 steps those of the kernels, one by one, so that
scores are equal and not close.
"""

from typing import Any

import numpy as np

from vqindex.codec import Codec
from vqindex.layouts import device as layouts
from vqindex.layouts.base import FloatArray
from vqindex.quantizers.lloyd_max import FittedLloydMax

PIECE = 1 << 27  # levels that are decoded at a time


def levels(torch: Any, kind: int, pieces: Any, magnitudes: Any) -> Any:
    """The levels t of codes (blocks, chunks, 32, 16) uint8 on the card: (rows, dims) int8.

    magnitudes   (8,) int8: t of the codes whose sign is clear
    """
    rows = pieces.transpose(1, 2).reshape(32 * len(pieces), -1)
    if kind == layouts.BYTES:
        return rows.view(torch.int8)
    if kind == layouts.NIBBLES:
        codes = torch.stack([rows & 15, rows >> 4], -1)
    else:
        codes = torch.stack([rows >> i & 1 for i in range(8)], -1) << 3
        if kind == layouts.PAIRS:
            signs, differ = codes.reshape(len(rows), -1, 2, 64).unbind(2)
            codes = signs | (signs ^ differ) >> 3
    both = torch.cat([magnitudes, ~magnitudes])
    return both[codes.reshape(len(rows), -1).long()]


def scores(
    torch: Any, kind: int, pieces: Any, magnitudes: Any, scale: Any, entries: Any, half: Any,
    gamma: Any,
) -> Any:  # fmt: skip
    """The scores of all rows, (rows, queries) float32: ((raw + half) * gamma) * scale.

    entries   (queries, dims) int8; half, gamma (queries,); scale (rows,) float32
    """
    asked = entries.double().T
    step = max(1, PIECE // (32 * len(asked)))
    out = []
    for part in pieces.split(step):
        found = levels(torch, kind, part, magnitudes)[:, : len(asked)]
        out.append(((found.double() @ asked).float() + half) * gamma)
    return torch.cat(out) * scale[:, None]


def wrong(torch: Any, every: Any, shown: Any, found: Any) -> str:
    """What is wrong with answers (queries, k), where `every` has all scores; "" for nothing.

    shown   scores, best first; found, ids
    """
    best = every.topk(shown.shape[1], dim=0).values.T
    if not torch.equal(shown, best):
        return "these are not the scores of the best rows"
    if bool(((found < 0) | (found >= len(every))).any()):
        return "there are no rows of these ids"
    if not torch.equal(every.gather(0, found.T).T, shown):
        return "rows of these ids have other scores"
    if any(len(set(ids)) < len(ids) for ids in found.tolist()):
        return "a row is found twice"
    return ""


def wrongly_coded(codec: Codec, x: FloatArray, coded: Any, scale: FloatArray) -> str:
    """What is wrong with the levels t (n, dim) and scales (n,) of some rows; "" for nothing."""
    quantizer = codec.quantizer
    assert isinstance(quantizer, FittedLloydMax)
    columns, own = codec.encode(x), quantizer.levels[0]
    codes, size = quantizer.layout.unpack(columns), len(own.magnitudes)
    t = own.magnitudes[codes % size]
    if not np.array_equal(coded, np.where(codes >= size, ~t, t)):
        return "codes are not those of the CPU"
    if scale.tobytes() != columns["scale"].tobytes():
        return "scales are not those of the CPU"
    return ""
