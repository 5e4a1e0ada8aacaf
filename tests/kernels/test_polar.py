"""Polar codes on the CPU, equal to float64 going in and to float32 coming out."""

import numpy as np
import pytest

from tests.kernels.programs import ANGLES
from vqindex.kernels.cpu import polar, simd
from vqindex.kernels.reference import polar as reference
from vqindex.layouts.polar import PolarCodes

POISON = 0xA5
SHIFTS = [4 * np.arange(8), 32 + 2 * np.arange(4), 40 + 2 * np.arange(2), np.array([44])]


def steps_of(layout):
    """The levels of each step, (size, 2) float32."""
    return np.split(layout.pairs, np.cumsum(reference.SIZES)[:-1])


def vectors(n, dims):
    """Gaussian, zero, sparse, equal, huge and tiny rows, and some whose angles lie between two."""
    rng = np.random.default_rng(dims)
    x = 40 * rng.standard_normal((n, dims))
    x[1] = 0
    x[2] = np.where(np.arange(dims) == dims // 2, -30, 0)
    x[3] = 1
    x[4] *= 1e6
    x[5] *= 1e-30
    x[6] = np.round(x[6] / 40)
    return x.astype(np.float32)


def decoded(layout, words):
    """The integers t, (n, dims), and the codes of each step, by the reference."""
    words = words.reshape(-1, 1)
    codes = [
        (words >> shift.astype(np.uint64) & np.uint64(15 if step == 0 else 3)).astype(np.int64)
        for step, shift in enumerate(SHIFTS)
    ]
    radii = (words[:, 0] >> np.uint64(48)).astype(np.uint16).view(np.float16)
    return reference.decode(codes, radii, steps_of(layout)), codes, radii


@pytest.mark.parametrize("dims", [1, 7, 15, 16, 17, 64, 65, 100, 384])
def test_rows_equal_the_reference(dims):
    layout = PolarCodes(dims, ANGLES)
    x = vectors(9, dims)
    words = layout.encode(x)["words"]
    blocks = np.pad(x, ((0, 0), (0, -dims % 16))).reshape(-1, 16)
    want, lengths = reference.encode(blocks, steps_of(layout))
    t, codes, radii = decoded(layout, words)
    assert all((a == b).all() for a, b in zip(codes, want, strict=True))
    assert (radii == np.minimum(lengths, 65504).astype(np.float16)).all()
    t = t.reshape(9, -1)[:, :dims]
    assert (layout.unpack({"words": words}) == t + np.float32(0.5)).all()
    scale = np.float32(np.arange(9))
    found = layout.levels({"words": words}, scale)
    assert (found == (t + np.float32(0.5)) * scale[:, None]).all()


@pytest.mark.parametrize("dims", [1, 16, 31, 64, 65, 100])
def test_rows_are_decoded_and_dotted(dims):
    layout = PolarCodes(dims, ANGLES)
    words = layout.encode(vectors(9, dims))["words"]
    t = np.floor(layout.unpack({"words": words})).astype(np.int8)
    segment = layout.program({"words": 0}, -1, 0)
    rng = np.random.default_rng(dims)
    queries = rng.choice([-127, -1, 0, 3, 127], (3, dims)).astype(np.int8)
    spread = layout.spread(queries.astype(np.float32)).astype(np.int8)
    for i, row in enumerate(words):
        out = np.full(layout.operand_bytes + 64, POISON, np.uint8)
        polar.decode_row(row.ctypes.data, segment.ctypes.data, out.ctypes.data)
        assert (out[:dims] == t[i].view(np.uint8) + np.uint8(simd.ROW_BIAS)).all()
        assert (out[-64:] == POISON).all()
        for q, wide in zip(queries.astype(np.int64), spread, strict=True):
            at = row.ctypes.data, segment.ctypes.data, wide.ctypes.data
            assert polar.dot_row(*at) == t[i].astype(np.int64) @ q + simd.ROW_BIAS * q.sum()


def test_any_bits_decode():
    """A file's codes are not checked: radii below zero or not finite give some levels."""
    words = np.random.default_rng(0).integers(0, 2**64, (500, 7), np.uint64)
    levels = PolarCodes(100, ANGLES).unpack({"words": words})
    assert (np.abs(levels) <= 127.5).all()
