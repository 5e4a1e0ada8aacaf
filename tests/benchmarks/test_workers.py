"""A trial may take its process with it, or for ever; it is recorded, not shared."""

import multiprocessing
import os
import time

import pytest

from benchmarks import workers
from benchmarks.workers import RemoteTrial, Request
from vqindex.evaluate import TrialError

REQUEST = Request(
    system="FAISS", spec="Flat", dataset="sample", queries=5, seed=0, level=None, k=10,
    threads=1, singles=3,
)  # fmt: skip


@pytest.fixture
def trial():
    made = RemoteTrial(REQUEST, patience_s=600)
    yield made
    made.stop()


def dies(pipe, request, log):
    with open(log, "w") as file:
        file.write("something\nillegal instruction\n\n")
    os._exit(4)


def sleeps(pipe, request, log):
    time.sleep(60)


def test_a_process_answers(trial):
    assert trial.build().bytes_per_row == 384 * 4
    assert trial.quality({}, 5).recall["10"] == 1
    assert trial.round({}, 1)[0] == 3
    with pytest.raises(TrialError, match="ValueError: nprobe=3 is none of Flat"):
        trial.round({"nprobe": 3}, 1)
    assert trial.round({}, 5)[0] == 5


def test_a_death_is_told_with_the_last_words(trial, monkeypatch):
    monkeypatch.setattr(workers, "_serve", dies)
    with pytest.raises(TrialError, match="ended with exit code 4: illegal instruction"):
        trial.build()
    with pytest.raises(TrialError, match="ended with exit code 4: illegal instruction"):
        trial.quality({}, 1)


def test_a_process_that_cannot_start_is_not_stopped(trial, monkeypatch):
    def no_memory(*_):
        raise OSError("Cannot allocate memory")

    context = multiprocessing.get_context("spawn")
    monkeypatch.setattr(context.Process, "start", no_memory)
    with pytest.raises(OSError, match="Cannot allocate"):
        trial.build()


def test_patience_ends(monkeypatch):
    monkeypatch.setattr(workers, "_serve", sleeps)
    trial = RemoteTrial(REQUEST, patience_s=0.5)
    with pytest.raises(TrialError, match=r"build took longer than 0.5 s"):
        trial.build()
    assert not trial._process.is_alive()
    with pytest.raises(TrialError, match=r"build took longer than 0.5 s"):
        trial.round({}, 1)
