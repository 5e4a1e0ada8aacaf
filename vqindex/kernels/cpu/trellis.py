"""The best path through a bitshift trellis, for rows that codes of a codebook wrap round.

Codes overlap: the lowest bits of code j + 1 but `stride` new ones are the highest of code j. Paths
run from the last code to the first, so that a step shifts a state up and new bits come in below:

    state = (state before << stride | new bits) mod 2**window

The states before that differ in their highest `stride` bits alone lead to the same states, and the
best of them is found sixteen at a time.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel

MARGIN = 64  # steps after which a path hardly depends on where it began
ANY = -1  # no bits that the ends of a path must share


@kernel
def encode(values, factors, words, stride, codes):
    """Write the codes of rows: reference.trellis.encode.

    values    (n, d) float32, which `factors` (n,) float32 multiply; zeros follow the last entry
    words     (2, states) float32, the first entries and the second
    codes     (n, steps) uint16; states = 2**window, 2 <= stride <= window - 4
    """
    steps, states = codes.shape[1], words.shape[1]
    z = np.zeros((2, steps), np.float32)
    gains, before = np.empty(states, np.float32), np.empty(states >> stride, np.float32)
    choices = np.empty((steps, states >> stride), np.uint8)
    span = min(steps, 2 * MARGIN)
    half = span // 2
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            z[j % 2, steps - 1 - j // 2] = values[i, j] * factors[i]
        # A path begun and ended anywhere, but far off, shows what a row's two ends share.
        _forward(z, words, stride, steps - half, span, ANY, gains, before, choices)
        state = _best_state(gains, 0, 1)
        for t in range(span - 1, half, -1):
            state = _state_before(state, stride, choices, t)
        shared = state >> stride
        _forward(z, words, stride, 0, steps, shared, gains, before, choices)
        state = _best_state(gains, shared, states >> stride)
        for t in range(steps - 1, 0, -1):
            codes[i, steps - 1 - t] = state
            state = _state_before(state, stride, choices, t)
        codes[i, steps - 1] = state


@inlined
def _forward(z, words, stride, first, span, shared, gains, before, choices):
    """Gains of the best paths to every state, and the choices that led there.

    first    the step begun with; `span` follow, the first after the last
    shared   the highest window - stride bits of the first state, or ANY
    """
    states, sets = gains.size, before.size
    at = simd.address_of(gains), simd.address_of(before)
    for a in range(sets):
        before[a] = 0 if shared in (ANY, a) else -np.inf
    for t in range(span):
        if t > 0:
            _choose(at[0], at[1], simd.address_of(choices) + t * sets, sets, states // sets)
        j = (t + first) % z.shape[1]
        _extend(
            at[0], at[1], simd.address_of(words), stride, states, z[0, j], z[1, j]
        )  # fmt: skip


@kernel
def _choose(gains, before, choices, sets, ways):
    """The best of `ways` states that lead to the same ones, for each of the sets of those."""
    for a in range(0, sets, 16):
        best, choice = simd.load(gains + 4 * a), simd.splat(np.int32(0))
        for way in range(1, ways):
            gain = simd.load(gains + 4 * (way * sets + a))
            choice = simd.choose_above(gain, best, simd.splat(np.int32(way)), choice)
            best = simd.max_float(best, gain)
        simd.store(before + 4 * a, best)
        simd.store_low_bytes(choices + a, choice)


@kernel
def _extend(gains, before, words, stride, states, z0, z1):
    """Add the gain of a step's words to that of the best states before them."""
    x, y = simd.splat_float(z0), simd.splat_float(z1)
    for s in range(0, states, 16):
        at = before + 4 * (s >> stride)
        if stride == 2:
            path = simd.load_fours(at)
        elif stride == 3:
            path = simd.load_eights(at)
        else:
            path = simd.splat_float(simd.load_float(at))
        near = simd.subtract_float(x, simd.load(words + 4 * s))
        far = simd.subtract_float(y, simd.load(words + 4 * (states + s)))
        path = simd.subtract_float(path, simd.multiply_float(near, near))
        path = simd.subtract_float(path, simd.multiply_float(far, far))
        simd.store(gains + 4 * s, path)


@inlined
def _best_state(gains, first, step):
    """The state of the highest gain, of first, first + step, ...: the lowest one of equals."""
    best = first
    for s in range(first, gains.size, step):
        if gains[s] > gains[best]:
            best = s
    return best


@inlined
def _state_before(state, stride, choices, t):
    """The state before that of step t on the best path to it."""
    above = state >> stride
    return np.int64(choices[t, above]) * choices.shape[1] + above
