import signal
import threading

import numpy as np
import pytest

import vqindex as vq
from vqindex.codes import Codes
from vqindex.indexes.id_map import IdMap
from vqindex.interrupts import uninterrupted

X = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)


def test_an_interrupt_waits_for_the_end_of_the_block():
    def block():
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            reached.append(True)

    reached = []
    with pytest.raises(KeyboardInterrupt):
        block()
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_blocks_nest_and_errors_pass():
    with pytest.raises(ValueError, match="own"), uninterrupted(), uninterrupted():
        raise ValueError("own")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nothing_is_held_back_in_another_thread():
    def enter():
        with uninterrupted():
            handlers.append(signal.getsignal(signal.SIGINT))

    handlers = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]


@pytest.mark.parametrize(
    ("owner", "name"),
    [(Codes, "put"), (Codes, "truncate"), (IdMap, "remove"), (IdMap, "assign"), (IdMap, "insert")],
)
def test_changes_are_whole_or_not_at_all(monkeypatch, owner, name):
    """Ctrl-C in the middle of what remove, upsert and add write last."""
    original = getattr(owner, name)

    def struck(self, *arguments):
        signal.raise_signal(signal.SIGINT)
        return original(self, *arguments)

    index = vq.index_factory("F32", metric="l2")
    index.add(X, ids=np.arange(300) * 3)
    monkeypatch.setattr(owner, name, struck)
    calls = (
        lambda: index.remove([0, 6, 9, 895, 897]),
        lambda: index.upsert(X[:40] + 1, ids=np.arange(40) * 5),
        lambda: index.add(X[:5], ids=[1001, 1002, 1003, 1004, 1005]),
    )
    for call in calls:
        try:
            call()
        except KeyboardInterrupt:
            ids = index.ids
            assert len(np.unique(ids)) == len(index)
            assert (
                index.reconstruct(ids) == index._rows.codes.take(np.arange(len(ids)))["rows"][:, :8]
            ).all()
    monkeypatch.undo()
    ids = index.ids
    found = index.search(index.reconstruct(ids), k=1).distances
    assert (found <= 1e-4).all()
