"""The multiple of a row whose rounding to half-integers is nearest to it in direction.

As t grows from nothing, the levels u(t) = min(trunc(t a), M) + 1/2 change one by one, each at an
event. With N = <a, u> and D = <u, u>, a step at t moves (D, N) along a line of slope 1 / (2 t), so
the path is concave, and a stretch of it lies below the tangents at its ends. As N / sqrt(D) has no
maximum inside a line, its most there is at an end or where the tangents meet: a bound that two
sums give. Stretches whose bound is below what is reached elsewhere are skipped, others halved, and
those of few events walked event by event, in float64.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel

FEW = 16  # events that are walked rather than halved
# Where stretches end at first, over the multiple that is best on average.
SPLITS = (1.6, 1.3, 1.18, 1.11, 1.06, 1.03, 1.0, 0.97, 0.94, 0.89, 0.82, 0.7, 0.5)
_STRETCHES = 64  # waiting at most: SPLITS, and the halves of one, which are 32 where it is widest


@kernel
def best_factors(values, guesses, top, out):
    """reference.rescale.best of each row: 0 where the guess is 0.

    values    (n, d) float32; top, M: the largest magnitude, at least 1
    guesses   (n,) float32: multiples near which the best is likely; they only save work
    out       (n,) float32
    """
    dims = values.shape[1]
    a = np.zeros(dims + 63 - (dims + 63) % 64, np.float32)
    ends = np.empty((_STRETCHES, 4))  # of stretches to come, the next one last: t, N, D, sum of u
    events = np.empty((2, dims + FEW), np.float32)  # t and entry
    for i in range(values.shape[0]):
        largest = np.float32(0)
        for j in range(dims):
            a[j] = abs(values[i, j])
            largest = max(largest, a[j])
        out[i] = _best(a, dims, largest, guesses[i], top, ends, events) if guesses[i] > 0 else 0


@inlined
def _best(a, dims, largest, guess, top, ends, events):
    slack = (a.size // 64 + 12) * 2.0**-24  # what positive terms err by, added as in _evaluate
    t = np.float32(np.float32(1) / largest * np.float32(1 - 2.0**-20))  # before the first event
    n, d = _exact_sums(a, dims, top, t)
    best, found, exact = n * n / d, t, True
    left_n, left_d, left_steps = n, d, 0.0
    depth, least = _first_ends(a, dims, guess, top, slack, t, ends)
    while depth > 0:
        e = depth - 1
        end, right_n, right_d, steps = ends[e, 0], ends[e, 1], ends[e, 2], ends[e, 3]
        if steps > left_steps:
            most = _most(t, left_n, left_d, end, right_n, right_d, slack)
            middle = np.float32(np.sqrt(t * end))
            if most < least:
                exact = False
            elif steps - left_steps > FEW and t < middle < end:
                least = max(least, _evaluate(a, dims, middle, top, slack, ends, depth))
                depth += 1
                continue
            else:
                if not exact:
                    n, d = _exact_sums(a, dims, top, t)
                count = _events(a, np.float32(t), np.float32(end), top, events)
                n, d, best, found = _walk(events, count, n, d, best, found)
                least, exact = max(least, best), True
        t, left_n, left_d, left_steps = end, right_n, right_d, steps
        depth -= 1
    return found


@inlined
def _first_ends(a, dims, guess, top, slack, start, ends):
    """Put the ends of the first stretches after `start`; how many, and the most reached at one.

    Past the last one every step is downwards, as D / N cannot pass its t any more.
    """
    least = np.float64(0)
    last = max(np.float32(guess * np.float32(SPLITS[0])), np.float32(2) * start)
    _evaluate(a, dims, last, top, slack, ends, 0)
    past = dims * (top + 0.5) ** 2 / ends[0, 1] * (1 + 2 * slack)
    least = _evaluate(a, dims, max(last, np.float32(past)), top, slack, ends, 0)
    depth = 1
    for s in range(len(SPLITS)):
        t = np.float32(guess * np.float32(SPLITS[s]))
        if start < t < ends[depth - 1, 0]:
            least = max(least, _evaluate(a, dims, t, top, slack, ends, depth))
            depth += 1
    return depth, least


@inlined
def _evaluate(a, dims, t, top, slack, ends, e):
    """Write t and, at t, N, D and the sum of u up to a constant; N^2 / D, never too much."""
    half, most = simd.splat_float(np.float32(0.5)), simd.splat_float(np.float32(top))
    factor, at = simd.splat_float(t), simd.address_of(a)
    n = d = simd.splat_float(np.float32(0))
    steps = simd.splat(np.int32(0))
    for j in range(0, 4 * a.size, 256):
        more_n = more_d = simd.splat_float(np.float32(0))
        for v in range(0, 256, 64):
            x = simd.load(at + j + v)
            index = simd.to_int(simd.min_float(simd.multiply_float(x, factor), most))
            steps = simd.add(steps, index)
            u = simd.add_float(simd.to_float(index), half)
            more_n = simd.add_float(more_n, simd.multiply_float(x, u))
            more_d = simd.add_float(more_d, simd.multiply_float(u, u))
        n, d = simd.add_float(n, more_n), simd.add_float(d, more_d)
    ends[e, 0], ends[e, 1] = t, simd.sum_floats(n)
    ends[e, 2] = simd.sum_floats(d) - np.float32(0.25) * np.float32(a.size - dims)
    ends[e, 3] = simd.sum_lanes(steps)
    return ends[e, 1] * ends[e, 1] / ends[e, 2] * (1 - 3 * slack)


@inlined
def _most(t, left_n, left_d, end, right_n, right_d, slack):
    """N^2 / D on the path between two points, never too little: at them or where tangents meet."""
    left_n, left_d = left_n * (1 + slack), left_d * (1 - slack)
    right_n, right_d = right_n * (1 + slack), right_d * (1 - slack)
    width = right_d - left_d
    along = t * (2 * (right_n - left_n) * end - width) / (end - t)
    along = min(max(along, 0.0), width)
    meeting = left_n + along / (2 * t)
    most = max(left_n * left_n / left_d, right_n * right_n / right_d)
    return max(most, meeting * meeting / (left_d + along))


@inlined
def _exact_sums(a, dims, top, t):
    """N and D at t."""
    n = d = 0.0
    t = np.float32(t)
    for j in range(dims):
        u = np.int32(min(t * a[j], np.float32(top))) + 0.5
        n += a[j] * u
        d += u * u
    return n, d


@inlined
def _events(a, t, end, top, events):
    """Write the events after t up to `end`, ascending, and the entries that step; how many."""
    most, at = simd.splat_float(np.float32(top)), simd.address_of(a)
    one = simd.splat_float(np.float32(1))
    count = 0
    for j in range(0, a.size, 16):
        x = simd.load(at + 4 * j)
        low = simd.min_float(simd.multiply_float(x, simd.splat_float(t)), most)
        high = simd.min_float(simd.multiply_float(x, simd.splat_float(end)), most)
        low, high = simd.to_float(simd.to_int(low)), simd.to_float(simd.to_int(high))
        hits = simd.at_least(high, simd.add_float(low, one))
        while hits != 0:
            entry = a[j + simd.lowest_bit(hits)]
            hits &= hits - np.uint32(1)
            k = np.float32(np.int32(min(t * entry, np.float32(top)))) + np.float32(1)
            while k <= np.float32(top) and end * entry >= k:
                _insert(events, count, _event(k, entry), entry)
                count += 1
                k += np.float32(1)
    return count


@inlined
def _event(k, entry):
    """The least float32 t for which t * entry, rounded, is at least k: k / entry or beside it."""
    t = k / entry
    if t * entry < k:
        return simd.next_float(t, np.int32(1))
    below = simd.next_float(t, np.int32(-1))
    return below if below * entry >= k else t


@inlined
def _insert(events, count, t, entry):
    at = count
    while at > 0 and events[0, at - 1] > t:
        events[0, at], events[1, at] = events[0, at - 1], events[1, at - 1]
        at -= 1
    events[0, at], events[1, at] = t, entry


@inlined
def _walk(events, count, n, d, best, found):
    """N and D after the events, the most of N^2 / D so far, and its t."""
    for e in range(count):
        t, entry = events[0, e], events[1, e]
        n += entry
        d += 2 * np.rint(t * entry)
        if (e + 1 == count or events[0, e + 1] > t) and n * n > best * d:
            best, found = n * n / d, t
    return n, d, best, found
