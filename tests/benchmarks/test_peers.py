import numpy as np
import pytest

from benchmarks import peers
from benchmarks.peers.base import options
from benchmarks.systems import competitor
from vqindex.datasets import synthetic
from vqindex.evaluate import LocalTrial, recall

# Library, what it is imported as, index, a search's parameters of little and of much effort.
CASES = [
    ("rabitqlib", "rabitqlib", "IVF16,RaBitQ32", {"nprobe": 1}, {"nprobe": 99}),
    ("rabitqlib", "rabitqlib", "HNSW(M=4,bits=9)", {"ef": 1}, {"ef": 200}),
    ("rabitqlib", "rabitqlib", "SymphonyQG(degree=32,ef_construction=60)", {"ef": 1}, {"ef": 200}),
    ("ScaNN", "scann", "Tree(leaves=16)", {"leaves": 1}, {"leaves": 99, "reorder": 200}),
    ("ScaNN", "scann", "Tree(leaves=0)", {"reorder": 10}, {"reorder": 200}),
    ("SVS", "svs", "Vamana(degree=8,window=20)", {"ef": 10}, {"ef": 200}),
    ("hnswlib", "hnswlib", "HNSW(M=4,ef_construction=20)", {"ef": 10}, {"ef": 200}),
    ("usearch", "usearch", "HNSW(connectivity=4,dtype=f16)", {"ef": 10}, {"ef": 200}),
]


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize(("library", "module", "spec", "little", "much"), CASES)
def test_more_effort_finds_more(library, module, spec, little, much, metric):
    pytest.importorskip(module)
    pytest.importorskip("faiss")
    data = synthetic(2000, 64, 50, metric)
    system = competitor(library, spec, metric, 0)
    trial = LocalTrial(system, data, k=10, singles=5)
    build = trial.build()
    assert build.file_bytes > 2000 * 64 // 4
    assert build.version[0].isdecimal()
    assert (system.library, system.name, dict(system.stages)) == (library, spec, {})
    least, most = trial.quality(little, 50), trial.quality(much, 50)
    single = trial.quality(much, 1)
    assert least.recall["10"] < most.recall["10"]
    assert most.recall["10"] > 0.95
    assert single.recall["10"] == pytest.approx(most.recall["10"], abs=0.005)
    assert [len(calls) for _, calls in (trial.round(much, 1), trial.round(much, 50))] == [5, 1]
    with pytest.raises(ValueError, match="no speed"):
        system.configure(speed=3)


def test_options_have_defaults_and_kinds():
    defaults = {"M": 16, "dtype": "f32", "threshold": 0.2}
    assert options("HNSW", "HNSW", defaults) == defaults
    found = options("HNSW(dtype=f16,M=8)", "HNSW", defaults)
    assert found == {"M": 8, "dtype": "f16", "threshold": 0.2}
    for bad in ("HNSW(m=8)", "Tree", "HNSW(M=8"):
        with pytest.raises(ValueError, match=r"HNSW\(M=16,dtype=f32,threshold=0.2\), got"):
            options(bad, "HNSW", defaults)


def test_turbovec_refuses_l2():
    with pytest.raises(ValueError, match="not l2"):
        peers.Turbovec("4", "l2")


def test_turbovec_finds_neighbours(monkeypatch):
    pytest.importorskip("turbovec")
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")
    data = synthetic(2000, 64, 50, "cosine")
    lengths = np.linspace(0.5, 2, len(data.base), dtype=np.float32)[:, None]
    system = peers.Turbovec("4", "cosine")
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
    system = peers.Turbovec("2", "ip")
    with pytest.raises(ValueError, match="RAYON_NUM_THREADS=1"), system.threads(1):
        pass


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr(peers.Hnswlib, "module", "none_such")
    with pytest.raises(ImportError, match="hnswlib is missing: pip install hnswlib"):
        peers.Hnswlib("HNSW", "l2")


def test_rabitqlib_pads_where_there_are_too_few():
    pytest.importorskip("rabitqlib")
    pytest.importorskip("faiss")
    system = peers.RabitqlibLists("IVF4,RaBitQ5", "l2")
    system.add(synthetic(200, 64, 1, "l2").base)
    ids = system.search(np.zeros((1, 64), np.float32), 150)
    assert (ids.min(), ids.max() < 200) == (-1, True)


def test_rabitqlib_has_names_of_its_own():
    for name in ("IVF16,RaBitQ10", "IVF,RaBitQ5", "RaBitQ5"):
        with pytest.raises(ValueError, match=f"1 to 9 or 32>, got '{name}'"):
            peers.RabitqlibLists(name, "l2")
