"""Settings are tried until enough is found, and only those that find a good part are timed."""

import pytest

from vqindex.datasets import synthetic
from vqindex.evaluate import LocalTrial, Ours, Quality, worth_timing

LADDER = [{"nprobe": n} for n in (1, 4, 8, 9, 10, 12)]


class Finds:
    """A trial whose recall is a tenth of nprobe, up to a limit; it keeps what it was asked."""

    def __init__(self, most=1.0):
        self.most, self.asked, self.built = most, [], 0

    def build(self):
        self.built += 1

    def quality(self, parameters, batch):
        self.asked.append((parameters["nprobe"], batch))
        share = min(parameters["nprobe"] / 10, self.most)
        return Quality(recall={"10": share, "1": 0.0}, recall_by_distance={}, stages={})


def test_from_the_least_recall_to_enough():
    trial = Finds()
    assert worth_timing(trial, LADDER, 10, 20) == [{"nprobe": n} for n in (8, 9, 10)]
    assert trial.asked == [(n, 20) for n in (1, 4, 8, 9, 10)]
    assert trial.built == 1


def test_what_more_effort_does_not_help_is_not_timed():
    assert worth_timing(Finds(most=0.9), LADDER, 10, 1) == [{"nprobe": 8}, {"nprobe": 9}]


def test_one_is_left_where_none_finds_so_many():
    assert worth_timing(Finds(most=0.5), LADDER, 10, 1) == [{"nprobe": 9}]
    assert worth_timing(Finds(), LADDER[:2], 10, 1) == [{"nprobe": 4}]


def test_of_what_fails_the_first_is_left():
    class Broken(Finds):
        def build(self):
            raise RuntimeError("no build")

    assert worth_timing(Broken(), LADDER, 10, 1) == LADDER[:1]


def test_ours():
    data = synthetic(600, 16, 20, "cosine")
    trial = LocalTrial(Ours("IVF8,EDEN4,Rerank(f32)", "cosine"), data, k=10)
    ladder = [{"nprobe": n, "oversample": 4} for n in (1, 2, 4, 8)]
    chosen = worth_timing(trial, ladder, 10, 20)
    recalls = [trial.quality(one, 20).recall["10"] for one in chosen]
    assert recalls == sorted(recalls)
    assert recalls[-1] > 0.97
    assert recalls[0] == pytest.approx(0.9, abs=0.1)
