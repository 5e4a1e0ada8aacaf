"""VQANN as txtai uses it; where txtai is not installed, on a likeness of its base class."""

import importlib
import importlib.util
import sys
from types import ModuleType

import numpy as np
import pytest

BACKEND = "vqindex.integrations.txtai.VQANN"


class Likeness:
    """What txtai.ann.ANN gives those who derive from it."""

    def __init__(self, config):
        self.backend, self.config = None, config

    def close(self):
        self.backend = None

    def setting(self, name, default=None):
        backend = self.config.get(self.config["backend"])
        setting = backend.get(name) if backend else None
        return setting if setting or (backend and name in backend) else default

    def metadata(self, settings=None):
        if settings:
            self.config["build"] = {"settings": settings}
        self.config["update"] = "now"


@pytest.fixture
def create(monkeypatch):
    """Makes an ANN of a configuration, by name, as txtai does."""
    if importlib.util.find_spec("txtai"):
        from txtai.ann import ANNFactory

        yield lambda **config: ANNFactory.create({"backend": BACKEND, **config})
        return
    for name in ("txtai", "txtai.ann"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["txtai.ann"].ANN = Likeness
    monkeypatch.delitem(sys.modules, "vqindex.integrations.txtai", raising=False)
    kind = importlib.import_module("vqindex.integrations.txtai").VQANN
    yield lambda **config: kind({"backend": BACKEND, **config})
    del sys.modules["vqindex.integrations.txtai"]


def vectors(n, d=48, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def brute(base, queries, k, gone=()):
    scores = queries.astype(np.float64) @ base.T
    scores[:, list(gone)] = -np.inf
    order = np.argsort(-scores, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, 1)


def test_life_of_an_index(create, tmp_path):
    base, queries = vectors(3000), vectors(20, seed=1)
    ann = create(dimensions=48)
    ann.index(base[:2500])
    ann.append(base[2500:])
    assert (ann.count(), ann.config["offset"]) == (3000, 3000)
    ann.delete([0, 1, 100_000])
    ann.delete(np.array([7, 8]))
    assert ann.count() == 2996
    ann.save(str(tmp_path / "embeddings"))
    ann.close()
    ann.load(str(tmp_path / "embeddings"))
    assert ann.count() == 2996
    results = ann.search(queries, 5)
    want, scores = brute(base, queries, 5, gone=(0, 1, 7, 8))
    assert [[i for i, _ in row] for row in results] == want.tolist()
    np.testing.assert_allclose([[s for _, s in row] for row in results], scores, atol=2e-4)
    ann.append(vectors(1, seed=2))
    assert ann.config["offset"] == 3001
    assert ann.search(vectors(1, seed=2), 1)[0][0][0] == 3000


def test_more_wanted_than_there_are(create):
    ann = create(dimensions=48)
    ann.index(vectors(50))
    assert [len(row) for row in ann.search(vectors(2, seed=1), 100)] == [50, 50]
    ann.delete(range(50))
    assert ann.search(vectors(2, seed=1), 100) == [[], []]
    ann.append(vectors(1))
    assert [i for i, _ in ann.search(vectors(1), 3)[0]] == [50]
    assert isinstance(ann.search(vectors(1), 3)[0][0][1], float)


def test_settings_come_from_the_configuration(create):
    ann = create(dimensions=48, **{BACKEND: {"spec": "EDEN2"}})
    ann.index(vectors(10))
    assert ann.config["build"]["settings"] == {"spec": "EDEN2"}
    assert ann.config["update"]


def test_indexing_again_begins_anew(create):
    ann = create(dimensions=48)
    ann.index(vectors(10))
    ann.index(vectors(4, seed=1))
    assert (ann.count(), ann.config["offset"]) == (4, 4)


def test_packed_bits_are_refused(create):
    with pytest.raises(ValueError, match="quantize"):
        create(dimensions=48, quantize=1).index(np.zeros((3, 6), np.uint8))


def test_missing_txtai_is_said_aloud(monkeypatch):
    monkeypatch.setitem(sys.modules, "txtai.ann", None)
    monkeypatch.delitem(sys.modules, "vqindex.integrations.txtai", raising=False)
    with pytest.raises(ImportError, match=r'pip install "vqindex\[txtai\]"'):
        importlib.import_module("vqindex.integrations.txtai")


def test_an_embeddings_database_of_txtai(tmp_path):
    txtai = pytest.importorskip("txtai", reason='txtai is missing: pip install "vqindex[txtai]"')
    rows = vectors(30, 16)
    config = {"method": "external", "backend": BACKEND}
    embeddings = txtai.Embeddings(**config)
    embeddings.index((f"id{i}", row, None) for i, row in enumerate(rows[:20]))
    embeddings.upsert((f"id{i}", rows[i], None) for i in range(20, 30))
    assert embeddings.search(rows[27], 1)[0][0] == "id27"
    embeddings.delete(["id27"])
    assert "id27" not in [i for i, _ in embeddings.search(rows[27], 30)]
    assert embeddings.count() == 29
    embeddings.save(str(tmp_path / "saved"))
    again = txtai.Embeddings()
    again.load(str(tmp_path / "saved"))
    assert again.search(rows[12], 1) == embeddings.search(rows[12], 1)
