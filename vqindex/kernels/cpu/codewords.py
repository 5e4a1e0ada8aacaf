"""Coding rows by the words of a codebook: nearest words, streams of codes, sums for scales."""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel

LANES = 64  # groups whose nearest words are sought at a time


@kernel
def sums(values, levels, out):
    """Sums of value * level and of level^2 of each row: sixteen partial sums, halves first.

    values   (n, d) float32; levels (n, d or more) int8, the integers t of levels t + 1/2
    out      (n, 2) float32
    """
    dims = values.shape[1]
    half, row = simd.splat_float(np.float32(0.5)), np.zeros(16, np.int8)
    for i in range(values.shape[0]):
        dot = square = simd.splat_float(np.float32(0))
        at = simd.address_of(values) + 4 * dims * i
        t = simd.address_of(levels) + levels.shape[1] * i
        for j in range(0, dims, 16):
            left = dims - j
            if left >= 16:
                x, level = simd.load(at + 4 * j), simd.load_bytes(t + j)
            else:
                for lane in range(left):
                    row[lane] = levels[i, j + lane]
                x, level = simd.load_first(at + 4 * j, left), simd.load_bytes(simd.address_of(row))
            level = simd.add_float(simd.to_float(level), half)
            level = simd.keep_lanes(level, left)
            dot = simd.add_float(dot, simd.multiply_float(x, level))
            square = simd.add_float(square, simd.multiply_float(level, level))
        out[i, 0], out[i, 1] = simd.sum_floats(dot), simd.sum_floats(square)


@kernel
def pack(codes, stride, out):
    """Write the lowest `stride` bits of each code one after another.

    codes (n, count) uint16; out (n, bytes) uint8, zero
    """
    for i in range(codes.shape[0]):
        bits, have, to = np.uint64(0), 0, 0
        for j in range(codes.shape[1]):
            fresh = np.uint64(codes[i, j]) & np.uint64((1 << stride) - 1)
            bits |= fresh << np.uint64(have)
            have += stride
            while have >= 8:
                out[i, to] = np.uint8(bits & np.uint64(255))
                bits, have, to = bits >> np.uint64(8), have - 8, to + 1
        if have > 0:
            out[i, to] = np.uint8(bits)


@kernel
def nearest(values, factors, words, offsets, codes, gains):
    """Write the word of the highest gain for each group: reference.codebook.nearest.

    values   (n, d) float32, which `factors` (n,) float32 multiply; zeros follow the last entry
    words    (ksub, group) float32; offsets (ksub,) float32
    codes    (n, count) uint16; gains (n, count) float32
    """
    group, count = words.shape[1], codes.shape[1]
    padded = (count + LANES - 1) // LANES * LANES
    planes = np.zeros((group, padded), np.float32)  # entry i of every group side by side
    best, found = np.empty(padded, np.float32), np.empty(padded, np.int32)
    for i in range(values.shape[0]):
        for plane in range(group):
            for j in range(plane, values.shape[1], group):
                planes[plane, j // group] = values[i, j] * factors[i]
        for first in range(0, padded, LANES):
            at, step = simd.address_of(planes) + 4 * first, 4 * padded
            _search(
                at,
                step,
                words,
                offsets,
                simd.address_of(best) + 4 * first,
                simd.address_of(found) + 4 * first,
            )
        for j in range(count):
            codes[i, j], gains[i, j] = found[j], best[j]


@inlined
def _search(planes, step, words, offsets, best, found):
    """The words of the highest gain for LANES groups, whose entries are `step` bytes apart."""
    group = words.shape[1]
    b0 = b1 = b2 = b3 = simd.splat_float(np.float32(-np.inf))
    f0 = f1 = f2 = f3 = simd.splat(np.int32(0))
    word = simd.address_of(words)
    for w in range(words.shape[0]):
        s0 = s1 = s2 = s3 = simd.splat_float(offsets[w])
        at = planes
        for _ in range(group):
            entry = simd.splat_float(simd.load_float(word))
            s0 = simd.add_float(s0, simd.multiply_float(simd.load(at), entry))
            s1 = simd.add_float(s1, simd.multiply_float(simd.load(at + 64), entry))
            s2 = simd.add_float(s2, simd.multiply_float(simd.load(at + 128), entry))
            s3 = simd.add_float(s3, simd.multiply_float(simd.load(at + 192), entry))
            word, at = word + 4, at + step
        code = simd.splat(np.int32(w))
        f0, b0 = simd.choose_above(s0, b0, code, f0), simd.max_float(b0, s0)
        f1, b1 = simd.choose_above(s1, b1, code, f1), simd.max_float(b1, s1)
        f2, b2 = simd.choose_above(s2, b2, code, f2), simd.max_float(b2, s2)
        f3, b3 = simd.choose_above(s3, b3, code, f3), simd.max_float(b3, s3)
    _store_four(best, b0, b1, b2, b3)
    _store_four(found, f0, f1, f2, f3)


@inlined
def _store_four(where, v0, v1, v2, v3):
    simd.store(where, v0)
    simd.store(where + 64, v1)
    simd.store(where + 128, v2)
    simd.store(where + 192, v3)
