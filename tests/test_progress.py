import numpy as np
import pytest

import vqindex as vq
from vqindex import progress
from vqindex.indexes.scan import QUERIES
from vqindex.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is told."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_function_is_told_each_step(capsys):
    seen = []
    tell = Progress(lambda *step: seen.append(step), 10, "add")
    for done in (3, 6, 10):
        tell(done)
    assert seen == [(3, 10), (6, 10), (10, 10)]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("wanted", [False, None])
def test_nothing_is_said_unless_asked_for(wanted, capsys):
    Progress(wanted, 10, "add")(10)
    assert capsys.readouterr() == ("", "")


def test_the_bar(clock, capsys):
    tell = Progress(True, 24_000, "add")
    clock.now += 2
    tell(6_000)
    assert capsys.readouterr().err == (
        "\radd [######..................] 6,000/24,000 2.0 s, 6.0 s left "
    )
    clock.now += 6
    tell(24_000)
    assert capsys.readouterr() == (
        "", "\radd [########################] 24,000/24,000 8.0 s, 0.0 s left \n",
    )  # fmt: skip


def test_the_bar_is_drawn_a_few_times_a_second_and_at_the_end(clock, capsys):
    tell = Progress(True, 1000, "search")
    for done in range(1, 1001):
        clock.now += 0.003
        tell(done)
    drawn = capsys.readouterr().err
    assert 10 <= drawn.count("\r") <= 16  # 3 seconds, every 0.2 or a little more
    assert drawn.count("\n") == 1
    assert drawn.endswith("1,000/1,000 3.0 s, 0.0 s left \n")


def test_nothing_done_yet_and_nothing_to_do(clock, capsys):
    tell = Progress(True, 10, "add")
    clock.now += 1
    tell(0)
    assert capsys.readouterr().err == "\radd [........................] 0/10 1.0 s, 0.0 s left "
    Progress(True, 0, "add")(0)
    assert capsys.readouterr().err.endswith("0/0 0.0 s, 0.0 s left \n")


def test_progress_of_an_index(capsys):
    index = vq.index_factory("F32")
    x = np.eye(4)
    index.add(x, progress=True)
    index.upsert(x, [3, 4, 5, 6], progress=True)
    index.search(x, k=1, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.strip("\r").split(" [")[0] for line in lines if line] == [
        "add",
        "upsert",
        "search",
    ]
    assert all("4/4" in line for line in lines if line)
    index.add(x, progress=False)
    index.search(x)
    assert capsys.readouterr() == ("", "")


def test_progress_of_a_search_counts_queries():
    index, seen = vq.index_factory("F32"), []
    index.add(np.eye(4))
    nq = 2 * QUERIES + 808
    index.search(np.ones((nq, 4)), k=1, progress=lambda *step: seen.append(step))
    assert seen == [(QUERIES, nq), (2 * QUERIES, nq), (nq, nq)]
