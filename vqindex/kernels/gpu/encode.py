"""Rows coded on the GPU that they lie on."""

from typing import NamedTuple

import numpy as np

from vqindex.kernels.gpu.launch import MOST_BLOCKS, Launch, pointer, row_bytes

THREADS = 128
METRICS = {"ip": 0, "cosine": 1, "l2": 2}
RULES = {"unbiased": 0, "biased": 1, "fixed": 2}


class Coding(NamedTuple):
    """How rows are coded: numbers, and addresses of what a codec has learned, 0 for none.

    center          (dim,) float32
    signs, mixes    float32, of runs of dimensions that are rotated; see transforms.runs
    segments        (parts,) records whose codes are written, as cuda/encode.cu says
    unit            what a step of the levels is worth
    """

    dim: int
    metric: str
    rule: str
    unit: float
    segments: int
    parts: int
    center: int = 0
    signs: int = 0
    mixes: int = 0
    rounds: int = 0
    run: int = 1
    order: int = 1


def encode(
    coding: Coding, x: int, n: int, first: int, scale: int, ratio: int, bias: int, odd: int,
    rest: int = 0,
) -> Launch:  # fmt: skip
    """Code rows (n, dim) float32 as rows first..first+n-1, with their factors, 0 for none.

    odd    (1,) uint32: rows are added to it that only the CPU can code
    rest   (n, dim) float32, or 0: what codes leave of rotated rows, all of it where `parts` is 0
    """
    shared = 2 * row_bytes(coding.dim) + coding.dim
    return Launch(
        "encode", (), "vq_encode", (min(n, MOST_BLOCKS), 1, 1), THREADS, shared,
        (
            pointer(x, 4), np.int64(n), np.int64(first), np.int32(coding.dim),
            np.int32(METRICS[coding.metric]), pointer(coding.center, 4), np.int32(coding.run),
            np.int32(coding.order), np.int32(coding.rounds), pointer(coding.signs, 4),
            pointer(coding.mixes),
            pointer(coding.segments), np.int32(coding.parts), np.int32(RULES[coding.rule]),
            np.float32(coding.unit), np.float32(coding.dim**0.5), pointer(scale, 4),
            pointer(ratio, 2), pointer(bias, 4), pointer(odd, 4), pointer(rest, 4),
        ),
    )  # fmt: skip
