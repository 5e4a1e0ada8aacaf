"""cuda/core.cuh compiled by g++ and called through ctypes, against NumPy."""

import ctypes
import subprocess
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cuda.emulated import CUDA, needs_compiler
from vqindex.kernels.reference import scalar, score

pytestmark = needs_compiler
SOURCE = """
#include "core.cuh"
extern "C" {
void nibbles(const u32* c, const u32* t, u32* out) {
    decode_nibbles(c[0], t[0], t[1], out[0], out[1]);
}
void levels16(const u32* c, const u32* t, u32* out) { decode_levels16(c[0], t, out[0], out[1]); }
void spread(const u32* c, const int* k, u32* out) { out[0] = spread_bits(c[0], k[0]); }
void dots(const u32* x, const u32* y, i32* out) {
    out[0] = dot4(x[0], y[0], out[0]);
    out[1] = dot4_mixed(x[0], y[0], out[1]);
}
void planes(const i32* t, const i32* sums, i32* out) {
    out[0] = raw_of_planes(t[0], t[1], sums[0], sums[1], sums[2]);
}
void key(const float* score, const u32* rank, u64* out) { out[0] = key_of(score[0], rank[0]); }
void unkey(const u64* key, float* score, u32* rank) {
    score[0] = score_of(key[0]);
    rank[0] = rank_of(key[0]);
}
void half(const u16* bits, const u16*, float* out) { out[0] = half_to_float(bits[0]); }
void part(const i32* raw, const float* line, float* out) {
    out[0] = part_of(raw[0], line[0], line[1]);
}
}
"""
words = st.integers(0, 2**32 - 1)
floats = st.floats(width=32, allow_nan=False)


@cache
def library(folder):
    source, built = folder / "core.cpp", folder / "core.so"
    source.write_text(SOURCE)
    subprocess.run(
        ["g++", "-std=c++17", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-fPIC",
         "-shared", f"-I{CUDA}", str(source), "-o", str(built)], check=True,
    )  # fmt: skip
    return ctypes.CDLL(str(built))


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    loaded = library(tmp_path_factory.mktemp("core"))

    def call(name, *arrays):
        getattr(loaded, name)(*(ctypes.c_void_p(a.ctypes.data) for a in arrays))
        return arrays[-1]

    return call


def nibbles_of(word):
    return word >> 4 * np.arange(8) & 15


@given(word=words, magnitudes=st.lists(st.integers(0, 127), min_size=8, max_size=8))
def test_nibbles_are_signs_and_magnitudes(core, word, magnitudes):
    table = np.array(magnitudes, np.int8)
    found = core("nibbles", np.array([word], np.uint32), table, np.zeros(2, np.uint32))
    expected = scalar.levels_of(nibbles_of(word).astype(np.uint8), table)
    assert (found.view(np.int8) == expected).all()


@given(word=words, table=st.lists(st.integers(-128, 127), min_size=16, max_size=16))
def test_nibbles_are_any_levels(core, word, table):
    levels = np.array(table, np.int8)
    found = core("levels16", np.array([word], np.uint32), levels, np.zeros(2, np.uint32))
    assert (found.view(np.int8) == levels[nibbles_of(word)]).all()


@given(word=words, k=st.integers(0, 7))
def test_every_eighth_bit_becomes_a_byte(core, word, k):
    found = core("spread", np.array([word], np.uint32), np.array([k], np.int32),
                 np.zeros(1, np.uint32))  # fmt: skip
    assert (found.view(np.uint8) == 255 * (word >> (8 * np.arange(4) + k) & 1)).all()


@given(x=words, y=words, total=st.integers(-(2**30), 2**30))
def test_inner_products_of_bytes(core, x, y, total):
    a, b = np.array([x], np.uint32), np.array([y], np.uint32)
    found = core("dots", a, b, np.full(2, total, np.int32))
    signed = b.view(np.int8).astype(int)
    assert found[0] == total + a.view(np.int8).astype(int) @ signed
    assert found[1] == total + a.view(np.uint8).astype(int) @ signed


@given(
    small=st.integers(0, 126), gap=st.integers(1, 127), seed=st.integers(0, 99),
    dims=st.sampled_from([1, 65, 131072]),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_planes_give_the_raw_sum(core, small, gap, seed, dims):
    rng = np.random.default_rng(seed)
    magnitudes = np.array([small, min(small + gap, 127)], np.int8)
    codes = rng.integers(0, 4, dims).astype(np.uint8) if seed else np.full(dims, 3, np.uint8)
    query = rng.integers(-127, 128, dims) if seed else np.full(dims, -127)
    signs, mixed = codes >> 1 == 1, (codes >> 1 ^ codes & 1) == 1
    sums = np.array([query.sum(), query[signs].sum(), query[mixed].sum()], np.int32)
    found = core("planes", magnitudes.astype(np.int32), sums, np.zeros(1, np.int32))
    assert found[0] == scalar.levels_of(codes, magnitudes).astype(np.int64) @ query


@given(first=floats, second=floats, ranks=st.tuples(words, words))
def test_keys_order_scores_and_then_ranks(core, first, second, ranks):
    ranks = [min(rank, 2**32 - 2) for rank in ranks]
    keys = [
        core("key", np.array([s], np.float32), np.array([r], np.uint32), np.zeros(1, np.uint64))[0]
        for s, r in zip((first, second), ranks, strict=True)
    ]
    assert min(keys) > 0
    assert (keys[0] > keys[1]) == ((first, -ranks[0]) > (second, -ranks[1]))
    found, rank = np.zeros(1, np.float32), np.zeros(1, np.uint32)
    core("unkey", np.array([keys[0]]), found, rank)
    assert (found[0], rank[0]) == (np.float32(first), ranks[0])


def test_what_is_no_number_is_no_candidate(core):
    for sign in (1, -1):
        nan = np.copysign(np.float32(np.nan), np.float32(sign))
        assert core("key", np.array([nan]), np.zeros(1, np.uint32), np.ones(1, np.uint64))[0] == 0


def test_every_float16(core):
    bits = np.arange(2**16, dtype=np.uint16)
    expected = bits.view(np.float16).astype(np.float32)
    for b, value in zip(bits, expected, strict=True):
        found = core("half", np.array([b]), bits[:1], np.zeros(1, np.float32))[0]
        assert found == value or (np.isnan(found) and np.isnan(value))


@given(raw=st.integers(-(2**31), 2**31 - 1), half=st.floats(-1e7, 1e7, width=32),
       gamma=st.floats(0, 1e3, width=32))  # fmt: skip
def test_parts(core, raw, half, gamma):
    line = np.array([half, gamma], np.float32)
    found = core("part", np.array([raw], np.int32), line, np.zeros(1, np.float32))
    assert found[0] == score.part(np.array([[raw]]), line[:1], line[1:])[0, 0]
