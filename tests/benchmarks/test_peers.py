import numpy as np
import pytest

from benchmarks.peers import Turbovec
from vqindex.datasets import synthetic
from vqindex.evaluate import recall


def test_turbovec_refuses_l2():
    with pytest.raises(ValueError, match="not l2"):
        Turbovec("4", "l2")


def test_turbovec_finds_neighbours(monkeypatch):
    pytest.importorskip("turbovec")
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")
    data = synthetic(2000, 64, 50, "cosine")
    lengths = np.linspace(0.5, 2, len(data.base), dtype=np.float32)[:, None]
    system = Turbovec("4", "cosine")
    with system.threads(1):
        system.fit(data.base[:10])
        system.add(data.base[:500] * lengths[:500])
        system.add(data.base[500:] * lengths[500:])
        found = system.search(data.queries, 10)
    assert recall(found, data.neighbors, 10) > 0.7
    assert system.bytes_per_row in range(64 * 4 // 8, 64 * 4 // 8 + 9)
    assert (system.library, system.name) == ("turbovec", "4")


def test_turbovec_has_its_threads_from_the_environment(monkeypatch):
    pytest.importorskip("turbovec")
    monkeypatch.delenv("RAYON_NUM_THREADS", raising=False)
    with pytest.raises(ValueError, match="RAYON_NUM_THREADS=1"), Turbovec("2", "ip").threads(1):
        pass
