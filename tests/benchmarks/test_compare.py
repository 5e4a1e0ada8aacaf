from dataclasses import replace

import pytest

from benchmarks import compare
from tests.evaluate.test_record import POINT
from vqindex.evaluate import Speed, append_points


def point(system, median, *, iqr=0.0, recall=0.9, failed=None):
    speed = Speed(best=median, median=median, low=median - iqr / 2, high=median + iqr / 2, rounds=4)
    return replace(POINT, system=system, qps=speed, recall={"10": recall}, failed=failed)


@pytest.fixture
def files(tmp_path):
    def write(name, *points):
        append_points(tmp_path / name, points)
        return str(tmp_path / name)

    return write


def test_ratios_beside_their_noise(files):
    old = files("old", point("vqindex", 100.0, iqr=1.349), point("FAISS", 50.0))
    new = files("new", point("FAISS", 60.0), point("vqindex", 150.0, recall=0.91))
    faiss, ours = compare.read(old, new)
    assert (ours.ratio, faiss.ratio) == (pytest.approx(1.5), pytest.approx(1.2))
    # A deviation of 1 % over 4 rounds, of a median.
    assert ours.error == pytest.approx(0.01 / 2 * 1.2533, rel=1e-3)
    text = compare.report([faiss, ours])
    assert "1.500  0.009400  *  +0.0100" in text
    assert "1 points: x 1.200 on average" in text
    assert "vqindex over them: x 1.250 on average" in text


def test_peers_tell_how_far_nothing_strays(files):
    peers = [replace(point("FAISS", 50.0), spec=name) for name in ("a", "b", "c")]
    slower = [replace(peer, qps=point("", speed).qps) for peer, speed in
              zip(peers, (40.0, 50.0, 62.5), strict=True)]  # fmt: skip
    old = files("old", point("vqindex", 100.0), *peers)
    new = files("new", point("vqindex", 130.0), *slower)
    text = compare.report(compare.read(old, new))
    assert "3 points: x 1.000 on average, each +- 0.223" in text
    assert "*" not in text


@pytest.mark.parametrize(("ours", "marked"), [(80.0, False), (100.0, True)])
def test_a_ratio_is_judged_by_what_the_machine_did_to_peers(files, ours, marked):
    peers = [replace(point("FAISS", 50.0), spec=name) for name in ("a", "b")]
    slower = [replace(peer, qps=point("", 40.0).qps) for peer in peers]
    old = files("old", point("vqindex", 100.0, iqr=2), *peers)
    new = files("new", point("vqindex", ours, iqr=2), *slower)
    text = compare.report(compare.read(old, new))
    assert "2 points: x 0.800 on average" in text
    assert ("*" in text) == marked


def test_of_one_file_the_last_two(files):
    path = files("one", *(point("vqindex", speed) for speed in (10.0, 100.0, 200.0)))
    (pair,) = compare.read(path, path)
    assert pair.ratio == pytest.approx(2)


def test_what_failed_is_left_out(files):
    old = files("old", point("vqindex", 1.0, failed="no"), point("FAISS", 5.0))
    new = files("new", point("vqindex", 1.0), replace(point("FAISS", 5.0), k=3))
    assert compare.report(compare.read(old, new)) == "no point is in both"
