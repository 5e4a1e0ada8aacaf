"""A scan by any of the kernels that share a list of arguments, and what it must find."""

import numpy as np

from tests.cuda import layout
from tests.cuda.emulated import emulate

KERNELS = {
    "scalar.cu": "vq_scan_scalar", "sign.cu": "vq_scan_signs", "table.cu": "vq_scan_tables",
    "decoded.cu": "vq_scan_decoded",
}  # fmt: skip
POISON = 0xA5A5A5A5A5A5A5A5
i32, u32, i64 = np.int32, np.uint32, np.int64


def scan(
    index, asked, k, *, file="scalar.cu", parts=1, keep=64, blocks=None, masks=None, floors=None,
    span=None, before=None, after=None, counts=None, capacity=0, starts=None, dynamic=0,
    sanitizer="address",
):  # fmt: skip
    """Keys (nq, parts, keep) of a scan; `after`, where given, is written instead."""
    program = emulate(file, (KERNELS[file],), sanitizer, VQ_KEEP=keep)
    nblocks = -(-index.n // 32) if blocks is None else len(blocks)
    nblocks = nblocks if starts is None else np.diff(starts).max()
    first, last = span or (0, len(index.parts))
    kept = np.full((asked.nq, parts, keep), POISON, np.uint64)
    lists = 0 if asked.shares is None else asked.shares.shape[1]
    program.run(
        KERNELS[file], (parts, asked.nq), index.stored(), i32(first), i32(last), asked.entries,
        i64(index.row_bytes), asked.half, asked.gamma, i32(asked.padded), asked.shares, i32(lists),
        blocks, masks, i64(nblocks), before, after, kept if after is None else None, i32(k),
        floors, counts, u32(capacity), starts, dynamic=dynamic,
    )  # fmt: skip
    return kept


def check(index, asked, k, rows=None, **how):
    """Each list is sorted, and together they have the best rows and their scores."""
    kept = scan(index, asked, k, **how)
    for one in kept.reshape(-1, kept.shape[2]):
        assert (np.sort(one)[::-1] == one).all()
    found, ids = layout.decode_keys(kept.reshape(asked.nq, -1), index, k)
    expected, expected_ids = layout.best(index, asked, k, rows)
    assert (ids == expected_ids).all()
    assert (found == expected).all()
