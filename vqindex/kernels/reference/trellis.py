"""Paths through a bitshift trellis, by Viterbi's method."""

import numpy as np
import numpy.typing as npt

from vqindex.kernels.reference.codebook import Floats

Codes = npt.NDArray[np.int64]


def encode(z: Floats, words: Floats, stride: int, margin: int) -> Codes:
    """Codes of rows, which overlap by all bits but `stride` and wrap round.

    From the last code to the first, state = (state before << stride | new bits) mod states. A path
    begun and ended anywhere, at most `margin` steps off, gives the bits that the row's ends share.

    z         (n, 2 * steps); words (states, 2)
    returns   (n, steps)

    Source: QTIP, arXiv 2406.11235, section 4 and Algorithm 4 (tail-biting).
    """
    found = np.empty((len(z), z.shape[1] // 2), np.int64)
    for i, row in enumerate(z):
        groups = row.reshape(-1, 2)[::-1]
        span = min(len(groups), 2 * margin)
        around = np.roll(groups, span // 2, axis=0)[:span]
        shared = int(path(around, words, stride, None)[span // 2]) >> stride
        found[i] = path(groups, words, stride, shared)[::-1]
    return found


def path(groups: Floats, words: Floats, stride: int, shared: int | None) -> Codes:
    """The states of the highest gain, each the lowest of equals.

        gain = (best gain before - (z_0 - word_0)^2) - (z_1 - word_1)^2, every step in float32

    groups    (steps, 2); shared, the highest bits of the first state and the lowest of the last
    returns   (steps,)
    """
    sets = len(words) >> stride
    above = np.arange(len(words)) >> stride
    before = np.zeros(sets, np.float32)
    if shared is not None:
        before[np.arange(sets) != shared] = -np.inf
    choices = []
    for z in groups:
        near, far = (z - words).T
        gains = before[above] - near * near - far * far
        choices.append(gains.reshape(-1, sets).argmax(axis=0))
        before = gains.reshape(-1, sets).max(axis=0)
    ends = np.arange(len(words)) if shared is None else np.arange(shared, len(words), sets)
    states = [ends[gains[ends].argmax()]]
    for choice in choices[-2::-1]:
        tail = states[-1] >> stride
        states.append(choice[tail] * sets + tail)
    return np.array(states[::-1])
