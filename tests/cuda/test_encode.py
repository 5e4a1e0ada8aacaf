"""Rotations and codes of the GPU, run on an emulated block, are the CPU's bit for bit."""

import numpy as np
import pytest

from tests.cuda import layout
from tests.cuda.emulated import Record, emulate, needs_compiler
from tests.cuda.layout import BYTES, NIBBLES, PAIRS, SIGNS
from vqindex.codec import Codec
from vqindex.kernels.gpu.launch import row_bytes
from vqindex.quantizers.lloyd_max import LloydMax
from vqindex.transforms.hadamard_rotation import HadamardRotation
from vqindex.transforms.identity import Identity
from vqindex.transforms.runs import runs_of

pytestmark = needs_compiler
KINDS = {1: SIGNS, 2: PAIRS, 3: NIBBLES, 4: NIBBLES, 5: BYTES, 8: BYTES}
METRICS = {"ip": 0, "cosine": 1, "l2": 2}
RULES = {"unbiased": 0, "biased": 1, "fixed": 2}
f32, i32, i64 = np.float32, np.int32, np.int64


def rotation_of(transform):
    """Dimensions of a run, p, rounds, signs and mixes, or none."""
    runs = runs_of(transform)
    if runs.rounds == 0:
        return i32(runs.size), i32(1), i32(0), None, None
    return i32(runs.size), i32(runs.order), i32(runs.rounds), runs.signs, runs.mixes


DIMS = [2, 3, 16, 24, 30, 32, 64, 96, 100, 128, 320, 384, 640, 768, 1000, 1536]
BLOCKS = [(4, 2), (9, 4), (64, 8), (75, 32), (100, 64), (600, 256), (1536, 256), (300, 128)]


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize(("dim", "block"), [*((dim, None) for dim in DIMS), *BLOCKS])
def test_rotation(dim, block, rounds):
    rng = np.random.default_rng(dim)
    transform = HadamardRotation(rounds, block).fit(None, dim, 3)
    x = rng.normal(0, 1, (3, dim)).astype(f32)
    x[1] = 0
    x[1, dim // 2] = -1
    out = np.full((3, dim + 5), np.nan, f32)
    emulate("hadamard.cu", ("vq_rotate",)).run(
        "vq_rotate", (2, 1), x, i64(dim), out, i64(dim + 5), i64(3), i32(dim),
        *rotation_of(transform), threads=128, dynamic=2 * row_bytes(dim),
    )  # fmt: skip
    assert (out[:, :dim].view(np.uint32) == transform.apply(x).view(np.uint32)).all()
    assert np.isnan(out[:, dim:]).all()


def encode(codec, x, first=0):
    """Pieces of each segment, scale, ratio and bias of rows, and how many were odd."""
    n, dim, end = *x.shape, -(-(first + len(x)) // 32) * 32
    array, pointers, pieces = np.zeros(len(codec.quantizer.layout.segments), layout.SEGMENT), {}, []
    for i, (segment, levels) in enumerate(
        zip(codec.quantizer.layout.segments, codec.quantizer.levels, strict=True)
    ):
        kind = KINDS[segment.bits]
        chunks = -(-segment.dims * layout.BITS[kind] // 128)
        pieces.append(np.full((end // 32, chunks, 32, 16), 0xA5, np.uint8))
        table = np.concatenate([levels.thresholds, levels.magnitudes + f32(0.5)]).astype(f32)
        pointers[80 * i], pointers[80 * i + 24] = pieces[-1], table
        array[i]["kind"], array[i]["chunks"] = kind, chunks
        array[i]["window"], array[i]["count"] = len(levels.magnitudes), segment.dims
    scale, bias = np.full((2, end), np.nan, f32)
    ratio, odd = np.full(end, np.nan, np.float16), np.zeros(1, np.uint32)
    q = codec.quantizer
    emulate("encode.cu", ("vq_encode",)).run(
        "vq_encode", (3, 1), x, i64(n), i64(first), i32(dim), i32(METRICS[codec.metric]),
        codec.center, *rotation_of(codec.transform), Record(array, pointers), i32(len(array)),
        i32(RULES[q.rule]), f32(q.levels[0].unit), f32(np.sqrt(dim)), scale,
        ratio if q.ratio else None, bias if codec.metric == "l2" else None, odd,
        None, threads=128, dynamic=2 * row_bytes(dim) + dim,
    )  # fmt: skip
    return pieces, scale, ratio, bias, odd[0]


def expected_pieces(codec, columns):
    codes, start = codec.quantizer.layout.unpack(columns), 0
    for segment in codec.quantizer.layout.segments:
        here, half = codes[:, start : start + segment.dims], 1 << segment.bits - 1
        start += segment.dims
        kind = KINDS[segment.bits]
        if kind == BYTES:
            t = np.array(segment.magnitudes, np.int8)[here % half]
            here = np.where(here >= half, ~t, t)
        elif kind == NIBBLES:
            here = here % half + np.uint8(8) * (here >= half)
        yield layout.pack(kind, here)


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize(
    ("bits", "dim", "rule"),
    [(1, 130, "unbiased"), (2, 65, "biased"), (3, 96, "fixed"), (4, 384, "unbiased"),
     (4, 7, "biased"), (5, 64, "unbiased"), (8, 100, "fixed"), (2.5, 200, "unbiased")],
)  # fmt: skip
def test_codes_and_factors(bits, dim, rule, metric):
    rng = np.random.default_rng(dim)
    transform = (HadamardRotation() if dim % 2 == 0 else Identity()).fit(None, dim, 1)
    center = rng.normal(0, 0.1, dim).astype(f32) if bits != 4 else None
    quantizer = LloydMax(bits, rule).fit(None, dim, 0)
    codec = Codec(metric, dim, center, transform, quantizer, None, None)
    x = rng.normal(0, 3, (35, dim)).astype(f32)
    if metric != "cosine":
        x[7] = 0 if center is None else center
    columns = codec.encode(x)
    for first in (0, 37):
        pieces, scale, ratio, bias, odd = encode(codec, x, first)
        rows = slice(first, first + 35)
        for own, wanted in zip(pieces, expected_pieces(codec, columns), strict=True):
            own = own.swapaxes(1, 2).reshape(-1, own.shape[1] * 16)[rows]
            wanted = wanted.swapaxes(1, 2).reshape(-1, wanted.shape[1] * 16)[:35]
            assert (own == wanted).all()
        assert (scale[rows].view(np.uint32) == columns["scale"].view(np.uint32)).all()
        if quantizer.ratio:
            assert (ratio[rows].view(np.uint16) == columns["ratio"].view(np.uint16)).all()
        if metric == "l2":
            assert (bias[rows].view(np.uint32) == columns["bias"].view(np.uint32)).all()
        assert odd == 0


def test_rows_whose_squares_lose_digits_are_counted():
    codec = Codec("cosine", 8, None, Identity().fit(None, 8, 0), LloydMax(4).fit(None, 8, 0),
                  None, None)  # fmt: skip
    x = np.ones((4, 8), f32)
    x[1], x[2] = 0, 1e-20
    assert encode(codec, x)[4] == 2
