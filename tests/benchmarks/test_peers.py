import numpy as np
import pytest

from benchmarks.peers import Rabitqlib, Turbovec
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


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_rabitqlib_finds_neighbours(metric):
    pytest.importorskip("rabitqlib")
    pytest.importorskip("faiss")
    data = synthetic(2000, 64, 50, metric)
    lengths = np.linspace(0.5, 2, len(data.base), dtype=np.float32)[:, None]
    base = data.base * lengths if metric == "cosine" else data.base
    found = {}
    for bits in (5, 32):
        system = Rabitqlib(f"IVF16,RaBitQ{bits}", metric)
        with system.threads(1):
            system.fit(base)
            system.add(base)
            for nprobe in (1, 16, 99):
                system.configure(nprobe=nprobe)
                ids = system.search(data.queries, 10)
                found[bits, nprobe] = recall(ids, data.neighbors, 10)
        assert system.bytes_per_row in range(64 * bits // 8, 64 * bits // 8 + 64)
        assert (system.library, system.name) == ("rabitqlib", f"IVF16,RaBitQ{bits}")
    assert found[5, 1] < 0.7 < 0.8 < found[5, 16] == found[5, 99]
    assert found[32, 16] > 0.97


def test_rabitqlib_pads_where_there_are_too_few():
    pytest.importorskip("rabitqlib")
    pytest.importorskip("faiss")
    system = Rabitqlib("IVF4,RaBitQ5", "l2")
    system.add(synthetic(200, 64, 1, "l2").base)
    ids = system.search(np.zeros((1, 64), np.float32), 150)
    assert (ids.min(), ids.max() < 200) == (-1, True)


def test_rabitqlib_has_names_and_settings_of_its_own():
    for name in ("IVF16,RaBitQ10", "IVF,RaBitQ5", "RaBitQ5"):
        with pytest.raises(ValueError, match=f"1 to 9 or 32>, got '{name}'"):
            Rabitqlib(name, "l2")
    pytest.importorskip("rabitqlib")
    pytest.importorskip("faiss")
    with pytest.raises(ValueError, match="no oversample"):
        Rabitqlib("IVF4,RaBitQ5", "l2").configure(nprobe=2, oversample=4)
