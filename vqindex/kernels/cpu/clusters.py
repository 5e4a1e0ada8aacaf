"""Codebooks on the CPU: the nearest words of rows, and what Lloyd's iteration needs of them.

Rows stand in columns, coordinate by coordinate, so that sixteen lie in a vector and words come
one number at a time: any number of dimensions and words will do, and no sum goes across lanes.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel

ROWS = simd.PRODUCT_LANES  # met at a time
WORDS = simd.PRODUCT_ROWS  # ... each time; a codebook is padded to a multiple, its halves infinite
_LINE = 4 * ROWS  # bytes


@inlined
def _nearest(columns, column_bytes, dims, words, word_bytes, halves, count, scratch):
    """Of ROWS rows: the numbers of their nearest words, and their shortfalls, in two vectors each.

    columns   address of `dims` lines of ROWS float32, `column_bytes` apart
    words     address of `count` words, `word_bytes` apart; halves (count,) float32
    scratch   address of WORDS lines
    Source: reference.clusters.
    """
    low = high = simd.splat_float(np.float32(np.inf))
    first = second = simd.splat(np.int32(0))
    for word in range(0, count, WORDS):
        simd.product_tile(
            words + word * word_bytes, word_bytes, columns, column_bytes, dims, scratch, _LINE
        )
        for r in range(WORDS):
            number = simd.splat(np.int32(word + r))
            half = simd.splat_float(simd.load_float(halves + 4 * (word + r)))
            short = simd.subtract_float(half, simd.load(scratch + _LINE * r))
            kept = simd.at_least(short, low)
            low, first = simd.choose(low, kept, short), simd.choose(first, kept, number)
            short = simd.subtract_float(half, simd.load(scratch + _LINE * r + 64))
            kept = simd.at_least(short, high)
            high, second = simd.choose(high, kept, short), simd.choose(second, kept, number)
    return first, second, low, high


@kernel
def encode(rows, starts, words, halves, numbers):
    """Write the number of the nearest word of each row in each sub-space.

    rows      (n, d) float32
    starts    (m + 1,) int64: sub-space s holds dimensions starts[s] .. starts[s + 1] - 1
    words     (m, k, width) float32, zero beyond a sub-space's dimensions; halves (m, k) float32
    numbers   (n, m) int32
    """
    n, d = rows.shape
    spaces, count, width = words.shape
    columns = np.zeros((d, ROWS), np.float32)
    scratch = np.empty((WORDS, ROWS), np.float32)
    found = np.empty(ROWS, np.int32)
    for top in range(0, n, ROWS):
        here = min(ROWS, n - top)
        for i in range(here):
            for j in range(d):
                columns[j, i] = rows[top + i, j]
        for s in range(spaces):
            start = starts[s]
            first, second, _, _ = _nearest(
                simd.address_of(columns) + _LINE * start, _LINE, starts[s + 1] - start,
                simd.address_of(words) + 4 * width * count * s, 4 * width,
                simd.address_of(halves) + 4 * count * s, count, simd.address_of(scratch),
            )  # fmt: skip
            simd.store(simd.address_of(found), first)
            simd.store(simd.address_of(found) + 64, second)
            for i in range(here):
                numbers[top + i, s] = found[i]


@kernel
def step(columns, start, stop, words, halves, weights, numbers, shortfalls, sums, masses):
    """Find the nearest words of rows start..stop-1, and add those rows up by word.

    columns      (d, n) float32; start and n are multiples of ROWS
    words        (k, d) float32; halves (k,), weights (n,) float32
    numbers      (n,) int32 and shortfalls (n,) float32: written
    sums         (d, k) float64: written, sums of weight * row; masses (k,) float64, of weights
    """
    d, n = columns.shape
    count = words.shape[0]
    scratch = np.empty((WORDS, ROWS), np.float32)
    for top in range(start, stop, ROWS):
        first, second, low, high = _nearest(
            simd.address_of(columns) + 4 * top, 4 * n, d, simd.address_of(words), 4 * d,
            simd.address_of(halves), count, simd.address_of(scratch),
        )  # fmt: skip
        simd.store(simd.address_of(numbers) + 4 * top, first)
        simd.store(simd.address_of(numbers) + 4 * top + 64, second)
        simd.store(simd.address_of(shortfalls) + 4 * top, low)
        simd.store(simd.address_of(shortfalls) + 4 * top + 64, high)
    masses[:] = 0
    for i in range(start, stop):
        masses[numbers[i]] += weights[i]
    for j in range(d):
        for word in range(count):
            sums[j, word] = 0
        for i in range(start, stop):
            sums[j, numbers[i]] += np.float64(weights[i] * columns[j, i])


@kernel
def draw(columns, n, weights, far, draws, words, distances):
    """Choose words among the first n rows, different ones while there are any.

    Each is drawn with a chance of its weight, times its square distance from those before where
    `far` ones are wanted: k-means++.

    columns     (d, >= n) float32; weights (>= n,) float32; draws (k,) float64 in [0, 1)
    words       (k, d) float32: written; distances (n,) float32: of each row in the end
    Source: Arthur and Vassilvitskii, k-means++: the advantages of careful seeding, 2007.
    """
    d = columns.shape[0]
    square = np.empty(n, np.float32)
    distances[:] = np.inf
    for word in range(words.shape[0]):
        total = 0.0
        for i in range(n):
            total += _chance(weights[i], distances[i], far and word)
        left, chosen = draws[word] * total, 0
        for i in range(n):
            share = _chance(weights[i], distances[i], far and word)
            if share > 0:
                chosen = i
                left -= share
                if left < 0:
                    break
        square[:] = 0
        for j in range(d):
            at = columns[j, chosen]
            words[word, j] = at
            for i in range(n):
                gap = columns[j, i] - at
                square[i] += gap * gap
        for i in range(n):
            distances[i] = min(distances[i], square[i])


@inlined
def _chance(weight, distance, far):
    """Of a row, up to a factor; none where a word is the row already."""
    return weight * (distance if far else np.float32(distance > 0))


@kernel
def products(rows, starts, lines, out):
    """reference.table.products: inner products of rows with the words of each sub-space.

    rows    (n, d) float32; starts (m + 1,) int64
    lines   (m, width, k) float32, the words of a sub-space coordinate by coordinate
    out     (n, m, k) float32
    """
    spaces, _, count = lines.shape
    for i in range(rows.shape[0]):
        for s in range(spaces):
            for word in range(count):
                out[i, s, word] = 0
            for j in range(starts[s + 1] - starts[s]):
                x = rows[i, starts[s] + j]
                for word in range(count):
                    out[i, s, word] += lines[s, j, word] * x


@kernel
def decode(numbers, starts, words, out):
    """Write words side by side: numbers (n, m) int32, out (n, d) float32, the others as above."""
    n, spaces = numbers.shape
    for i in range(n):
        for s in range(spaces):
            word = numbers[i, s]
            for j in range(starts[s + 1] - starts[s]):
                out[i, starts[s] + j] = words[s, word, j]
