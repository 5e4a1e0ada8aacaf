"""Ctrl-C at any line of a change: it has happened whole, or not at all."""

import hashlib
import signal
import sys

import numpy as np
import pytest

import vqindex as vq
from vqindex.indexes import rows

SPECS = ["EDEN4", "IVF6,EDEN2,Rerank(SQ8)"]
D = 6


def digest(index):
    """Of the bytes of the file that `save` would write."""
    return hashlib.sha256(index.__reduce__()[1][1]).digest()


def vectors(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, D)).astype(np.float32)


def filled(spec, n):
    """An index of rows under any ids, some of which have come and gone; fitted from 1,024 on."""
    index = vq.index_factory(spec, metric="l2")
    index.add(vectors(n), np.random.default_rng(1).permutation(2 * n)[:n])
    index.remove(index.ids[: n // 4])
    return index


def pressed(call, line):
    """Whether SIGINT reached a call as it came to its `line`-th line of what changes rows."""
    left = line

    def trace(frame, event, argument):
        nonlocal left
        if frame.f_code.co_filename != rows.__file__:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                signal.raise_signal(signal.SIGINT)
        return trace

    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    return left <= 0


CHANGES = {
    "add": lambda index: index.add(vectors(300, seed=2), np.arange(2200, 2500)),
    "upsert": lambda index: index.upsert(vectors(300, seed=2), np.arange(100, 400)),
    "remove": lambda index: index.remove(np.arange(0, 900, 3)),
    "compact": lambda index: index.compact(),
    "fit": lambda index: index.fit(vectors(1200, seed=2)),
}
CASES = [
    (spec, change, n)
    for spec in SPECS
    for change in ("add", "upsert", "remove")
    for n in (1000, 1100)
] + [(SPECS[0], "fit", 150), (SPECS[1], "fit", 150), (SPECS[1], "compact", 1100)]


@pytest.mark.parametrize(("spec", "change", "n"), CASES)
def test_at_any_line(spec, change, n):
    whole, before = filled(spec, n), digest(filled(spec, n))
    CHANGES[change](whole)
    after, line, outcomes = digest(whole), 0, set()
    while True:
        line += 1
        index = filled(spec, n)
        if not pressed(lambda index=index: CHANGES[change](index), line):
            break
        now = digest(index)
        assert now in (before, after), line
        outcomes.add(now == after)
        known = np.fromiter((i in index for i in range(2500)), bool)
        assert sorted(index.ids.tolist()) == np.flatnonzero(known).tolist(), line
    assert outcomes == {False, True}
