"""Many readers and one writer; forks; searches side by side."""

import pickle
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial

import numpy as np
import pytest

import vqindex as vq

PATIENCE_S = 30  # only a hang takes so long
D = 8


def vectors(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, D)).astype(np.float32)


def together(*functions):
    """Run all at once; raise the first error of any."""
    errors = []

    def guarded(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(f,), daemon=True) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "hangs"
    if errors:
        raise errors[0]


@pytest.mark.parametrize("spec", ["F32", "EDEN4", "IVF40,F32", "IVF40,EDEN4"])
def test_readers_see_whole_changes_only(spec):
    """Each change adds, replaces or removes a whole group of 40 rows, all of them equal to a
    vector that names the group and its generation: half a group, or two generations of it, would
    be the trace of a half-done change."""
    size, groups = 40, 30
    index = vq.index_factory(spec, metric="l2")
    index.fit(vectors(50))

    def rows(group, generation):
        x = np.zeros((size, D), np.float32)
        x[:, 0], x[:, 1] = 16 * group, generation % 8
        return x

    def write():
        rng, generation = np.random.default_rng(0), 0
        while time.monotonic() < until:
            group, generation = int(rng.integers(groups)), generation + 1
            ids = np.arange(group * size, (group + 1) * size)
            choice = rng.integers(3)
            if choice == 0:
                assert index.remove(ids) in (0, size)
            else:
                index.upsert(rows(group, generation), ids, threads=2)

    def read(seed):
        rng = np.random.default_rng(seed)
        while time.monotonic() < until:
            group = int(rng.integers(groups))
            ids = np.arange(group * size, (group + 1) * size)
            q = np.tile(rows(group, 0)[:1], (int(rng.choice([1, 9])), 1))
            result = index.search(q, k=size, filter=ids, threads=2, stages="off")
            assert set(result.counts.tolist()) <= {0, size}
            if result.counts[0]:
                assert (result.distances == result.distances[0, 0]).all()
                assert (result.ids == ids).all()
                seen.append(group)
            limits, distances, found = index.range_search(q[0], 60.0, filter=ids)
            assert limits[1] in (0, size)
            assert np.unique(distances).size <= 1
            assert len(found) == limits[1]
            assert len(index) % size == 0
            assert len(index.ids) % size == 0
            assert index.nbytes["total"] > 0

    seen = []
    index.upsert(rows(0, 0), np.arange(size))
    index.search(np.zeros((9, D)), filter=[0], stages="off")  # compiles before the clock runs
    until = time.monotonic() + 1.0
    together(write, *(lambda seed=seed: read(seed) for seed in range(4)))
    assert seen


@pytest.mark.parametrize("spec", ["F32", "EDEN1", "EDEN4", "TQprod3", "IVF64,EDEN4"])
def test_searches_side_by_side_find_what_one_finds(spec):
    index = vq.index_factory(spec)
    index.add(vectors(6000))
    q = vectors(200, seed=1)
    parts = [q, q[:20], q[:1], q[0], q[:5]]
    want = [index.search(part, k=20, threads=1) for part in parts]

    def check():
        for _ in range(3):
            for part, expected in zip(parts, want, strict=True):
                got = index.search(part, k=20, threads=3)
                np.testing.assert_array_equal(got.ids, expected.ids)
                np.testing.assert_array_equal(got.scores, expected.scores)

    together(*[check] * 6)


def test_writers_take_turns():
    index = vq.index_factory("EDEN4", metric="ip")
    given = []

    def write(seed):
        given.extend(index.add(vectors(30, seed=1000 * seed + i)) for i in range(20))

    together(*(lambda seed=seed: write(seed) for seed in range(4)))
    ids = np.concatenate(given)
    assert len(index) == len(ids) == 2400
    assert np.unique(ids).size == 2400
    assert index.is_fitted


@pytest.mark.parametrize("change", ["add", "upsert", "fit"])
def test_two_first_writers_of_different_dimensions(change):
    """Whoever comes second is told, though it looked when there was no dimension yet."""
    index = vq.index_factory("F32")

    class Slow:
        """While its rows are checked, another writer comes first."""

        shape, dtype = (2, 3), np.dtype(np.float32)

        def __getitem__(self, rows):
            if not len(index):
                index.add(np.ones((5, 4)))
            return np.ones((2, 3), np.float32)[rows]

    arguments = ([7, 8],) if change == "upsert" else ()
    with pytest.raises(vq.ShapeError, match=r"must have shape \(n, 4\), got \(n, 3\)"):
        getattr(index, change)(Slow(), *arguments)
    assert index.ids.tolist() == [0, 1, 2, 3, 4]


def test_readers_wait_for_a_change_to_end(tmp_path):
    index = vq.index_factory("F32", metric="l2")
    x = vectors(3000)
    index.add(x[:10])
    calls = {
        "search": lambda: index.search(x[0], k=5000).counts,
        "range_search": lambda: len(index.range_search(x[0], np.inf)[2]),
        "reconstruct": lambda: len(index.reconstruct(np.arange(3000))),
        "ids": lambda: len(index.ids),
        "contains": lambda: 3000 * (2999 in index),
        "nbytes": lambda: index.nbytes["codes"] // index.bytes_per_row // 3000 * 3000,
        "save": lambda: index.save(tmp_path / "x.vqi") or len(vq.load(tmp_path / "x.vqi")),
        "pickle": lambda: len(pickle.loads(pickle.dumps(index))),
    }
    found, threads = {}, []

    def during(done, total):
        if threads:
            return
        for name, call in calls.items():
            ask = partial(lambda name, call: found.update({name: call()}), name, call)
            threads.append(threading.Thread(target=ask, daemon=True))
            threads[-1].start()
        time.sleep(0.2)
        assert found == {}

    index.add(x[10:], progress=during, threads=1)
    for thread in threads:
        thread.join(PATIENCE_S)
    assert found == dict.fromkeys(calls, 3000)


def test_changes_wait_for_searches_to_end():
    index = vq.index_factory("F32", metric="l2")
    index.add(vectors(10))
    done, threads = [], []

    def during(*_):
        if threads:
            return
        for change in (
            lambda: done.append(len(index.add(vectors(5)))),
            lambda: done.append(len(index.upsert(vectors(5), np.arange(5)))),
            lambda: done.append(index.remove([9])),
        ):
            threads.append(threading.Thread(target=change, daemon=True))
            threads[-1].start()
        time.sleep(0.2)
        assert done == []

    result = index.search(vectors(5000), k=20, progress=during)
    assert (result.counts == 10).all()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(done) == [1, 5, 5]
    assert len(index) == 14


def test_saving_while_others_search(tmp_path):
    index = vq.index_factory("F32")
    index.add(vectors(3000))

    def save():
        for i in range(5):
            index.save(tmp_path / f"{i}.vqi")
            index.add(vectors(10))

    def search():
        for _ in range(30):
            index.search(vectors(9), k=3)

    together(save, search, search)
    assert [len(vq.load(tmp_path / f"{i}.vqi")) for i in range(5)] == [
        3000 + 10 * i for i in range(5)
    ]


def test_a_progress_function_may_search_what_is_being_changed():
    index = vq.index_factory("F32", metric="l2")
    x = vectors(5000)
    index.add(x[:1000])
    seen = []
    index.add(x[1000:], progress=lambda *_: seen.append(index.search(x[0], k=1).ids[0]), threads=1)
    assert set(seen) == {0}


def script(body):
    """Run in a fresh interpreter, whose threads are ours alone; fails if it hangs."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(body)],
        timeout=4 * PATIENCE_S, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="forks are POSIX")
def test_a_child_searches_after_a_fork():
    script("""
        import os, threading, warnings
        import numpy as np
        import vqindex as vq

        x = np.random.default_rng(0).standard_normal((6000, 8)).astype(np.float32)
        index = vq.index_factory("EDEN4")
        index.add(x, threads=4)
        want = index.search(x[:200], k=5, threads=4)  # the pool has threads now
        assert threading.active_count() > 1
        stop = threading.Event()

        def keep_busy():
            while not stop.is_set():
                index.search(x[:200], k=5, threads=4)

        busy = [threading.Thread(target=keep_busy, daemon=True) for _ in range(2)]
        for thread in busy:
            thread.start()
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is the point
        for _ in range(3):
            child = os.fork()
            if child == 0:
                got = index.search(x[:200], k=5, threads=4)
                same = (got.ids == want.ids).all() and (got.scores == want.scores).all()
                one = index.search(x[0], k=5, threads=2)
                same = same and (one.ids == want.ids[0]).all()
                index.add(x[:10], threads=4)
                index.remove([0])
                os._exit(0 if same and len(index) == 6009 else 1)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        for thread in busy:
            thread.join()
        assert len(index) == 6000
    """)
