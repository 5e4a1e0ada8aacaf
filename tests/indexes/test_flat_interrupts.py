"""Whatever stops a change half-way, the index is, to the last byte, what it was before."""

import numpy as np
import pytest

import vqindex as vq

SPECS = ["F32", "EDEN4", "EDEN1,Keep(f16)", "TQprod3"]
D = 9


class Interrupted(Exception):
    pass


class FailingFile:
    """Stands for a dataset in a file: sliced by rows, until it fails at one."""

    def __init__(self, values, error):
        self.values, self.error = values, error
        self.shape, self.dtype = values.shape, values.dtype
        self.reads, self.spared, self.fails_at = 0, 0, None

    def __getitem__(self, rows):
        self.reads += 1
        if self.fails_at is not None and rows.stop > self.fails_at and self.reads > self.spared:
            raise self.error
        return self.values[rows]

    def fail_after_checking(self, row):
        """Let the first reading of all rows pass, in which numbers are checked."""
        self.reads, self.spared, self.fails_at = 0, 1, row
        return self


def state(index):
    """The bytes of the file that `save` would write."""
    return index.__reduce__()[1][1]


def vectors(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, D)).astype(np.float32)


def filled(spec, n):
    index = vq.index_factory(spec, metric="l2")
    index.add(vectors(n))
    return index


def check_as_it_was(index, before, spec, n, x):
    """Untouched, and what comes next is as if nothing had ever gone wrong."""
    assert state(index) == before
    assert len(index) == n
    assert n not in index
    plain = filled(spec, n)
    for each in (index, plain):
        assert each.add(x).tolist() == list(range(n, n + len(x)))
    assert state(index) == state(plain)


@pytest.mark.parametrize("error", [KeyboardInterrupt, Interrupted])
@pytest.mark.parametrize("n", [0, 10, 1000, 1024, 1500])
@pytest.mark.parametrize("spec", SPECS)
def test_a_progress_function_that_raises(spec, n, error):
    index, x = filled(spec, n), vectors(9000, seed=1)
    before = state(index)
    seen = []

    def stop(done, total):
        seen.append((done, total))
        if done > 3000:
            raise error

    with pytest.raises(error):
        index.add(x, progress=stop, threads=2)
    assert seen[-1][0] > 3000
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert {total for _, total in seen} == {9000}
    check_as_it_was(index, before, spec, n, x[:40])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("row", [0, 30, 1023, 1024, 5000])
@pytest.mark.parametrize("n", [0, 10, 1030])
@pytest.mark.parametrize("spec", SPECS)
def test_a_file_that_cannot_be_read_to_its_end(spec, n, row, threads):
    index, x = filled(spec, n), vectors(6000, seed=1)
    before = state(index)
    file = FailingFile(x, OSError("the disk is gone"))
    with pytest.raises(OSError, match="the disk is gone"):
        index.add(file.fail_after_checking(row), threads=threads)
    with pytest.raises(OSError, match="the disk is gone"):
        index.upsert(file.fail_after_checking(row), np.arange(6000), threads=threads)
    check_as_it_was(index, before, spec, n, x[:40])


def test_a_file_that_cannot_be_read_at_all():
    index = filled("F32", 5)
    before = state(index)
    file = FailingFile(vectors(10), KeyboardInterrupt())
    file.fails_at = 0
    with pytest.raises(KeyboardInterrupt):
        index.add(file)
    assert state(index) == before


def test_a_file_that_changes_while_it_is_read():
    index, x = filled("F32", 5), vectors(3000)
    before = state(index)
    for changed, error, message in (
        (x[:, :5], vq.ShapeError, "the array changed while it was read"),
        (np.full_like(x, np.nan), vq.NonFiniteError, "must be finite in float32, got nan in row"),
    ):
        file = FailingFile(x, None)

        def stop(done, total, file=file, changed=changed):
            file.values = changed

        with pytest.raises(error, match=message):
            index.add(file, progress=stop, threads=1)
        assert state(index) == before


@pytest.mark.parametrize("spec", SPECS)
def test_an_upsert_that_is_stopped(spec):
    index, x = filled(spec, 3000), vectors(9000, seed=1)
    before = state(index)
    for limit in (0, 2000, 8999):

        def stop(done, total, limit=limit):
            assert total == 9000
            if done > limit:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            index.upsert(x, np.arange(9000), progress=stop)
        assert state(index) == before
    check_as_it_was(index, before, spec, 3000, x[:40])


def test_progress_ends_with_all_rows():
    index, seen = filled("F32", 3000), []
    for upsert_from in (0, 2000, 3000):
        seen.clear()
        index.upsert(
            vectors(4000),
            np.arange(upsert_from, upsert_from + 4000),
            progress=lambda done, total: seen.append(done),
        )
        assert seen[-1] == 4000
        assert seen == sorted(set(seen))


def test_a_search_that_is_stopped_leaves_the_index_free():
    index = filled("F32", 50)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.search(vectors(5000), k=1, progress=stop)
    assert index.add(vectors(1)).tolist() == [50]


def test_a_filter_that_fails_leaves_the_index_free():
    index = filled("F32", 50)

    def fail(ids):
        raise Interrupted

    with pytest.raises(Interrupted):
        index.search(vectors(3), filter=fail)
    with pytest.raises(Interrupted):
        index.range_search(vectors(3), 1, filter=fail)
    assert index.add(vectors(1)).tolist() == [50]
