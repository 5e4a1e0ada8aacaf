import gc
import math
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from functools import partial

import numpy as np
import pytest

from vqindex import threads
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


@pytest.mark.parametrize("count", [0, 1, 2, 100])
@pytest.mark.parametrize("budget", [1, 2, 3, 200])
def test_results_come_in_the_order_of_the_tasks(count, budget):
    assert run([partial(pow, i, 2) for i in range(count)], budget) == [i * i for i in range(count)]


def test_tasks_run_at_the_same_time():
    meeting = threading.Barrier(3, timeout=PATIENCE_S)
    assert sorted(run([meeting.wait] * 3, 3)) == [0, 1, 2]


def test_a_task_is_called_once_though_a_thread_comes_to_its_batch_twice():
    script("""
        held = threading.Barrier(3)
        meeting = threading.Barrier(2, timeout=10)
        calls = []

        def hold():
            held.wait()
            time.sleep(60)

        def meet(i):
            calls.append(i)
            meeting.wait()

        run([int] * 3, 3)  # a pool of two threads, of which the next line takes one
        threading.Thread(target=run, args=([hold] * 2, 2), daemon=True).start()
        held.wait()
        run([lambda: meet(0), lambda: meet(1), int], 3)
        run([lambda: meet(2), lambda: meet(3)], 2)  # the other thread is past the first batch
        assert sorted(calls) == [0, 1, 2, 3], calls
    """)


def test_no_more_threads_than_asked_for():
    run([partial(time.sleep, 0)] * 4, 4)  # the pool is larger than the next call may use
    seen = set()

    def task():
        seen.add(threading.get_ident())
        time.sleep(0.001)

    run([task] * 30, 2)
    assert len(seen) <= 2


def test_no_pool_is_made_for_one_thread_or_one_task():
    script("""
        run([int, int], 1), run([int], 8), run([], 8)
        assert threading.active_count() == 1
        run([int, int, int], 8)
        assert threading.active_count() == 3
    """)


def test_the_first_error_in_order_is_raised_and_later_tasks_are_not_started():
    meeting = threading.Barrier(2, timeout=PATIENCE_S)
    started = []

    def fail(error, delay):
        meeting.wait()
        time.sleep(delay)
        raise error

    tasks = [partial(fail, ValueError("first"), 0.02), partial(fail, KeyError("second"), 0)]
    with pytest.raises(ValueError, match="first"):
        run([*tasks, *[partial(started.append, i) for i in range(9)]], 2)
    assert started == []


def test_an_error_keeps_no_array_alive():
    def fail(array):
        raise ValueError(len(array))

    array = np.zeros(3)
    alive = weakref.ref(array)
    tasks = [partial(fail, array)] * 3
    gc.disable()
    try:
        with pytest.raises(ValueError, match="3"):
            run(tasks, 3)
        del array, tasks
        wait_until(lambda: alive() is None)  # a helper may just be leaving the batch
    finally:
        gc.enable()


def test_the_pool_keeps_no_array_alive():
    array = np.zeros(3)
    alive = weakref.ref(array)
    run([partial(len, array)] * 3, 3)
    del array
    wait_until(lambda: alive() is None)


def test_nested_runs_end():
    def outer(i):
        return sum(run([partial(int, i)] * 3, 3))

    assert run([partial(outer, i) for i in range(20)], 3) == [3 * i for i in range(20)]


def test_a_thread_of_the_pool_runs_nested_tasks_itself():
    meeting = threading.Barrier(2, timeout=PATIENCE_S)

    def inner():
        time.sleep(0.005)
        return threading.get_ident()

    def outer():
        meeting.wait()
        return threading.get_ident(), set(run([inner] * 9, 9))

    me = threading.get_ident()
    for thread, nested in run([outer, outer], 2):
        assert thread == me or nested == {thread}


def test_many_callers_share_the_pool():
    def caller():
        for _ in range(50):
            assert run([partial(int, i) for i in range(8)], 3) == list(range(8))
        finished.append(True)

    finished = []
    callers = [start(caller) for _ in range(6)]
    for thread in callers:
        thread.join(PATIENCE_S)
    assert len(finished) == 6


@pytest.mark.skipif(os.name == "nt", reason="signals to a thread are POSIX")
def test_an_interrupt_waits_for_running_tasks():
    script("""
        main = threading.main_thread()
        meeting = threading.Barrier(2)
        ended = []

        def task():
            meeting.wait()
            if threading.current_thread() is not main:
                for _ in range(3):
                    signal.pthread_kill(main.ident, signal.SIGINT)
                    time.sleep(0.05)
                ended.append(True)

        try:
            run([task, task, lambda: ended.append("too late")], 2)
        except KeyboardInterrupt:
            assert ended == [True], ended
        else:
            sys.exit("not interrupted")
    """)


@pytest.mark.skipif(os.name == "nt", reason="signals to a thread are POSIX")
def test_an_interrupt_at_any_moment_leaves_nothing_running_and_the_pool_usable():
    script("""
        main = threading.main_thread()
        go = queue.SimpleQueue()
        began, ended = [], []

        def task():
            helps = threading.current_thread() is not main
            began.extend([1] * helps)
            time.sleep(1e-4)
            ended.extend([1] * helps)

        def interrupt():
            rng = random.Random(0)
            while True:
                go.get()
                end = time.perf_counter() + rng.uniform(0, 4e-4)
                while time.perf_counter() < end:
                    pass
                signal.pthread_kill(main.ident, signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()
        sys.setswitchinterval(1e-6)
        run([task] * 3, 3)
        struck = 0
        for _ in range(1000):
            inside = True
            try:
                go.put(1)
                run([task] * 4, 3)
                inside = False
                while True:
                    time.sleep(1e-4)
            except KeyboardInterrupt:
                struck += inside
            assert len(began) == len(ended)
        assert struck >= 100, struck
        assert run([int, int], 2) == [0, 0]
    """)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_nothing_hangs_in_a_forked_child():
    script("""
        run([int] * 4, 4)
        locks = [ReadWriteLock() for _ in range(3)]
        held = threading.Barrier(4)

        def hold(guard):
            with guard:
                held.wait()
                time.sleep(60)

        for guard in (locks[0].write(), locks[1].read()):
            threading.Thread(target=hold, args=(guard,), daemon=True).start()
        threading.Thread(target=lambda: held.wait() and run([lambda: time.sleep(60)] * 2, 4),
                         daemon=True).start()
        held.wait()
        with locks[2].read():
            child = os.fork()
        if child == 0:
            signal.alarm(30)
            for lock in locks:
                with lock.read(): pass
                with lock.write(): pass
            meeting = threading.Barrier(3, timeout=20)
            os._exit(sorted(run([meeting.wait] * 3, 3)) != [0, 1, 2])
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert locks[0]._writer and locks[1]._readers  # the parent's are as they were
    """)


def test_the_interpreter_exits_while_tasks_run():
    begun = time.monotonic()
    script("""
        threading.Thread(target=lambda: run([lambda: time.sleep(50)] * 3, 3), daemon=True).start()
        time.sleep(0.05)
    """)
    assert time.monotonic() - begun < 40


def test_the_number_of_threads(monkeypatch):
    monkeypatch.delenv("VQINDEX_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "_cgroup_quota", lambda: math.inf)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert threads.default_threads() == threads.resolve(None) == cpus
    monkeypatch.setattr(threads, "_cgroup_quota", lambda: 0.5)
    assert threads.default_threads() == 1
    monkeypatch.setenv("VQINDEX_NUM_THREADS", "37")
    assert threads.default_threads() == threads.resolve(None) == 37
    assert threads.resolve(3) == 3
    for wrong in ("0", "-1", "two", "1.5"):
        monkeypatch.setenv("VQINDEX_NUM_THREADS", wrong)
        with pytest.raises(ValueError, match=f"VQINDEX_NUM_THREADS must be .* got '{wrong}'"):
            threads.resolve(None)
    with pytest.raises(ValueError, match="threads must be an integer >= 1, got 0"):
        threads.resolve(0)


def test_the_tightest_cgroup_quota_counts(tmp_path):
    membership = tmp_path / "membership"
    (tmp_path / "a" / "b").mkdir(parents=True)

    def quota(text, **cpu_max):
        membership.write_text(text)
        for folder, limit in cpu_max.items():
            (tmp_path / folder.replace("_", "/") / "cpu.max").write_text(limit)
        threads._cgroup_quota.cache_clear()
        return threads._cgroup_quota(membership, tmp_path)

    try:
        assert quota("0::/a/b\n") == math.inf
        assert quota("0::/a/b\n", a_b="max 100000\n") == math.inf
        assert quota("3:cpu:/x\n0::/a/b\n", a_b="350000 100000\n") == 3.5
        assert quota("0::/a/b\n", a="150000 100000\n") == 1.5
        assert quota("0::/\n") == math.inf
        assert quota("0::/gone\n") == math.inf
        threads._cgroup_quota.cache_clear()
        assert threads._cgroup_quota(tmp_path / "none", tmp_path) == math.inf
    finally:
        threads._cgroup_quota.cache_clear()


def test_held_threads_are_the_default_inside_alone(monkeypatch):
    monkeypatch.setenv("VQINDEX_NUM_THREADS", "5")
    with threads.held(3):
        assert threads.default_threads() == threads.resolve(None) == 3
        assert threads.resolve(2) == 2
    assert threads.default_threads() == 5
