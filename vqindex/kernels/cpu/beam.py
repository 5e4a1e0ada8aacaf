"""Beam search on the CPU for the words of residual codebooks, one of each stage.

Half the square distance of a row from a sum of words, but for the row's own square, is
    sum_s (|w_s|^2 / 2 - <row, w_s>) + sum_{s < t} <w_s, w_t>,
so that a stage looks up products instead of going through dimensions.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel


@kernel
def extend(products, column, gram, halves, stage, kept, codes, scores):
    """Take every sum kept on by a word of `stage`, and keep the best; see reference.beam.

    products   (n, width) float32: of rows with the words of this stage from `column` on
    gram       (words, words) float32: of words with each other; halves (words,), half squares
    kept       sums that there are of each row before: 1 at stage 0, of score 0
    codes      (n, beam, stages) uint8, best first, those of stages before this one; rewritten
    scores     (n, beam) float32, rewritten
    returns how many sums there are of each row now
    """
    n, beam, _ = codes.shape
    size = gram.shape[0] // codes.shape[2]
    first = size * stage
    after = min(beam, kept * size)
    best, origin = np.empty(beam + 1, np.float32), np.empty(beam + 1, np.int64)
    new = np.empty(size, np.float32)
    old = np.empty((beam, codes.shape[2]), np.uint8)
    for i in range(n):
        best[:] = np.inf
        for place in range(kept):
            for word in range(0, size, 16):
                at = 4 * (first + word)
                own = 4 * (products.shape[1] * i + column + word)
                total = simd.subtract_float(
                    simd.load(simd.address_of(halves) + at),
                    simd.load(simd.address_of(products) + own),
                )
                for s in range(stage):
                    row = size * s + codes[i, place, s]
                    other = simd.load(simd.address_of(gram) + 4 * gram.shape[1] * row + at)
                    total = simd.add_float(total, other)
                total = simd.add_float(total, simd.splat_float(scores[i, place]))
                simd.store(simd.address_of(new) + 4 * word, total)
            for word in range(size):
                if new[word] < best[after - 1]:
                    _insert(best, origin, after, new[word], size * place + word)
        old[:] = codes[i]
        for place in range(after):
            before, word = divmod(origin[place], size)
            for s in range(stage):
                codes[i, place, s] = old[before, s]
            codes[i, place, stage] = word
            scores[i, place] = best[place]
    return after


@kernel
def decode(codes, size, starts, words, out):
    """Write the sums of words.

    codes    (n, groups * stages) uint8, group by group
    starts   (groups + 1,): where the dimensions of each group begin
    words    (groups, stages * size, width) float32; out (n, d) float32
    """
    groups, count, _ = words.shape
    stages = count // size
    for i in range(codes.shape[0]):
        out[i] = 0
        for group in range(groups):
            for stage in range(stages):
                word = size * stage + codes[i, stages * group + stage]
                for j in range(starts[group + 1] - starts[group]):
                    out[i, starts[group] + j] += words[group, word, j]


@inlined
def _insert(best, origin, count, score, number):
    """Into a list of `count` that ascends, behind its equals; the last one falls out."""
    place = count - 1
    while place > 0 and score < best[place - 1]:
        best[place], origin[place] = best[place - 1], origin[place - 1]
        place -= 1
    best[place], origin[place] = score, number
