import copy
import os
import pickle
import random
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from functools import partial

import pytest

from vqindex.locks import ReadWriteLock
from vqindex.threads import run

PATIENCE_S = 20  # only a hang takes so long


def script(body):
    """Run in a fresh interpreter, whose threads are ours alone; fails if it hangs."""
    prelude = """
        import os, queue, random, signal, sys, threading, time
        from vqindex.locks import ReadWriteLock
        from vqindex.threads import default_threads, run
        """
    code = textwrap.dedent(prelude) + textwrap.dedent(body)
    done = subprocess.run(
        [sys.executable, "-c", code], timeout=60, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def start(function):
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def wait_until(condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_many_read_at_once():
    lock = ReadWriteLock()
    meeting = threading.Barrier(3, timeout=PATIENCE_S)

    def read():
        with lock.read():
            return meeting.wait()

    assert sorted(run([read] * 3, 3)) == [0, 1, 2]


def test_readers_never_see_half_a_write():
    lock = ReadWriteLock()
    state = [0, 0]
    torn = []
    counts = []

    def write():
        for _ in range(100):
            with lock.write():
                count = state[0] + 1
                time.sleep(1e-5)
                state[0] = count
                time.sleep(1e-5)
                state[1] = count

    def read():
        rng = random.Random(0)
        while state[1] < 200:
            with lock.read():
                before = tuple(state)
                time.sleep(rng.choice([0, 1e-5]))
                torn.append(before != tuple(state) or before[0] != before[1])
        counts.append(1)

    workers = [start(f) for f in (write, write, read, read, read)]
    for thread in workers:
        thread.join(PATIENCE_S)
    assert state == [200, 200]
    assert len(counts) == 3
    assert not any(torn)


def test_a_waiting_writer_goes_before_new_readers_but_not_before_reading_again():
    lock = ReadWriteLock()
    order = []

    def enter(guard, name):
        with guard:
            order.append(name)

    with lock.read():
        writer = start(partial(enter, lock.write(), "writer"))
        wait_until(lambda: lock._waiting)
        reader = start(partial(enter, lock.read(), "reader"))
        with lock.read():
            time.sleep(0.05)
            assert order == []
    writer.join(PATIENCE_S)
    reader.join(PATIENCE_S)
    assert order == ["writer", "reader"]


def test_readers_without_pause_do_not_starve_a_writer():
    lock = ReadWriteLock()
    stop = threading.Event()

    def read():
        while not stop.is_set():
            with lock.read():
                time.sleep(0.002)

    readers = [start(read) for _ in range(6)]
    entered = []

    def write():
        for i in range(20):
            with lock.write():
                entered.append(i)

    writer = start(write)
    writer.join(PATIENCE_S)
    stop.set()
    for thread in readers:
        thread.join(PATIENCE_S)
    assert len(entered) == 20


def test_a_writer_may_write_and_read_again():
    lock = ReadWriteLock()
    with lock.write():
        with lock.write(), lock.read(), lock.read():
            pass
        other = start(lock.read().__enter__)
        other.join(0.05)
        assert other.is_alive()
    other.join(PATIENCE_S)
    assert not other.is_alive()


def test_a_reader_cannot_write():
    lock = ReadWriteLock()
    with lock.read(), pytest.raises(RuntimeError, match="change it after the read has ended"):
        lock.write().__enter__()
    with lock.write():
        pass


def test_errors_release_the_lock():
    lock = ReadWriteLock()
    for guard in (lock.read, lock.write):
        with pytest.raises(KeyError), guard():
            raise KeyError
    with lock.write():
        pass


@pytest.mark.skipif(os.name == "nt", reason="signals to a thread are POSIX")
def test_readers_go_on_when_a_waiting_writer_is_interrupted():
    script("""
        lock = ReadWriteLock()
        held, release, read = (threading.Event() for _ in range(3))

        def hold():
            with lock.read():
                held.set()
                release.wait()

        def interrupt():
            while not lock._waiting:
                time.sleep(0.001)
            threading.Thread(target=late, daemon=True).start()
            time.sleep(0.05)
            assert not read.is_set()
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        def late():
            with lock.read():
                read.set()

        threading.Thread(target=hold, daemon=True).start()
        held.wait()
        threading.Thread(target=interrupt, daemon=True).start()
        try:
            with lock.write(): pass
        except KeyboardInterrupt:
            assert read.wait(20)
        else:
            sys.exit("not interrupted")
    """)


def test_copies_are_new_locks():
    lock = ReadWriteLock()
    with lock.write():
        for twin in (pickle.loads(pickle.dumps(lock)), copy.copy(lock), copy.deepcopy(lock)):
            assert twin is not lock
            taken = start(twin.write().__enter__)
            taken.join(PATIENCE_S)
            assert not taken.is_alive()


def test_locks_are_forgotten_with_their_owner():
    lock = ReadWriteLock()
    alive = weakref.ref(lock)
    with lock.read():
        pass
    del lock
    assert alive() is None
