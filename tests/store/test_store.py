"""A store against a dict and brute force, in memory and in a folder, from empty to lists."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.store.brute import check
from vqindex.errors import (
    DocumentError,
    DtypeError,
    IdError,
    NonFiniteError,
    ShapeError,
    SpecError,
    StoreError,
)
from vqindex.store import Document, VectorStore

D = 6
METRICS = ["cosine", "l2", "ip"]


@pytest.fixture(params=["memory", "folder"])
def store(request, tmp_path):
    path = ":memory:" if request.param == "memory" else tmp_path / "store"
    with VectorStore(path) as opened:
        yield opened


def vectors(n, seed=0, d=D):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def test_empty(store):
    assert (len(store), store.count(), list(store.documents()), store.dim) == (0, 0, [], None)
    assert store.search([1, 2, 3]) == store.get(["a"]) == store.search_mmr([1.0]) == []
    assert store.search_batch(np.ones((2, 3))) == [[], []]
    assert store.search_batch([]) == []
    assert (store.remove(["a"]), store.clear(), store.add([]), "a" in store) == (0, 0, 0, False)
    store.optimize()
    store.verify()


def test_add_and_upsert(store):
    assert store.add(["a", "b"], [[1, 0], [0, 1]], ["x", None], [{"n": 1}, None]) == 2
    with pytest.raises(IdError, match="'b'"):
        store.add(["c", "b"], [[1, 1], [1, 1]])
    assert store.add(["c", "b"], [[1, 1], [5, 5]], skip_existing=True) == 1
    assert [one.id for one in store.documents()] == ["a", "b", "c"]
    assert store.upsert(["d", "b", "b"], [[2, 2], [3, 3], None], ["1", "2", "3"]) == 2
    assert [one.id for one in store.documents()] == ["a", "b", "c", "d"]
    (b,) = store.get("b")
    assert b == Document("b", "3", {}, None)
    assert [hit.document.id for hit in store.search([1, 1], 9)] == ["c", "d", "a"]
    assert store.remove(["a", "zz", "a"]) == 1
    assert [one.id for one in store.get(["d", "a", "c", "d"])] == ["d", "c", "d"]
    store.verify()


def test_update_merges_metadata(store):
    x, odd = np.random.default_rng(0).standard_normal((600, 3)), [0.1, 1e-30, 3]
    store.index_field("meta.n")
    store.add([str(i) for i in range(600)], [*x[:-2], None, odd], metadata=[{"n": 1, "m": 2}] * 600)
    before = {one.id: one for one in store.documents()}
    assert store.update({"n": 5}, ["1", "599", "gone"]) == 2
    assert store.update({"m": [1]}, where={"field": "meta.n", "op": "==", "value": 1}) == 598
    assert store.update({}, ["1"], {"field": "meta.n", "op": "==", "value": 1}) == 0
    for one in store.documents():
        about = {"n": 5, "m": 2} if one.id in ("1", "599") else {"n": 1, "m": [1]}
        was = before[one.id]
        assert one == Document(one.id, None, about, was.vector)
    with pytest.raises(DocumentError):
        store.update({"n": {1, 2}}, where=lambda one: one.id > "5")
    with pytest.raises(ValueError, match="ids or a filter"):
        store.update({"n": 1})
    assert store.count({"field": "meta.n", "op": "==", "value": 5}) == 2
    assert [hit.document.id for hit in store.search(x[7], 1)] == ["7"]
    store.verify()


def test_pages_of_documents(store):
    store.add([str(i) for i in range(1000)], metadata=[{"n": i} for i in range(1000)])
    where = {"field": "meta.n", "op": "<", "value": 900}
    found = [one.id for one in store.documents(where, limit=700, offset=50)]
    assert found == [str(i) for i in range(50, 750)]
    assert [one.id for one in store.documents(offset=990)] == [str(i) for i in range(990, 1000)]
    assert list(store.documents(limit=0)) == []
    pages = store.documents()
    next(pages)
    store.remove(["500"])
    assert len(list(pages)) == 998


def test_of_many_ids_the_one_that_is_there_is_named(store):
    store.add(["d2000"])
    with pytest.raises(IdError, match="'d2000'"):
        store.add([f"d{i}" for i in range(3000)])


@pytest.mark.usefixtures("small")
def test_scattered_rows_change_together(store):
    """Every third row: as many ranges as rows."""
    x, y = vectors(700), vectors(700, 1)
    store.add([str(i) for i in range(700)], x)
    store.upsert([str(i) for i in range(0, 700, 3)], y[::3])
    store.remove([str(i) for i in range(1, 700, 3)])
    there = {str(i): x[i] if i % 3 else y[i] for i in range(700) if i % 3 != 1}
    check(store.search(x[0], 20), x[0], there, "cosine", 20)
    store.verify()


@pytest.mark.parametrize("metric", METRICS)
def test_search_is_exact(metric, tmp_path):
    x, q = vectors(300), vectors(5, 1)
    with VectorStore(tmp_path, metric=metric) as store:
        store.add([str(i) for i in range(300)], x)
        everything = {str(i): x[i] for i in range(300)}
        for k in (1, 10, 400):
            for query, hits in zip(q, store.search_batch(q, k), strict=True):
                check(hits, query, everything, metric, k)
                assert store.search(query, k) == hits
        scores = [hit.score for hit in store.search(q[0], 10)]
        assert len(store.search(q[0], 10, threshold=scores[4])) == 5
        rough = store.search(q[0], 10, rerank=False)
        assert [hit.document.id for hit in rough] == [
            hit.document.id for hit in store.search(q[0], 10)
        ]


def test_ties_go_to_the_first(store):
    store.add(["b", "a", "c"], [[1, 0], [1, 0], [1, 0]])
    assert [hit.document.id for hit in store.search([1, 0], 2)] == ["b", "a"]


def test_filters_before_selection(store):
    x = vectors(500)
    store.add([str(i) for i in range(500)], x, metadata=[{"n": i % 50} for i in range(500)])
    where = {"field": "meta.n", "op": "==", "value": 7}
    some = {str(i): x[i] for i in range(7, 500, 50)}
    for _ in range(2):
        check(store.search(x[0], 10, where), x[0], some, "cosine", 10)
        check(store.search(x[0], 10, lambda one: one.metadata["n"] == 7), x[0], some, "cosine", 10)
    store.remove(["7"])
    del some["7"]
    check(store.search(x[0], 10, where), x[0], some, "cosine", 10)
    assert store.search(x[0], 10, {"or": []}) == []


def test_relevant_and_different(store):
    store.add(["a", "b", "c", "d"], [[1, 0, 0], [1, 0.01, 0], [0.8, 0.6, 0], [0, 0, 1]])
    nearest = [hit.document.id for hit in store.search_mmr([1, 0, 0], 2, lambda_mult=1.0)]
    assert nearest == ["a", "b"]
    assert [h.document.id for h in store.search_mmr([1, 0.1, 0], 2, lambda_mult=0.0)][1] == "d"
    assert len(store.search_mmr([1, 0, 0], 9)) == 4
    assert len(store.search_mmr([1, 0, 0], 3, fetch_k=1)) == 3


def test_texts_are_embedded(tmp_path):
    def embed(texts):
        assert all(isinstance(text, str) for text in texts)
        return np.array([[len(text), text.count("a"), 1.0] for text in texts])

    with VectorStore(tmp_path, embed=embed) as store:
        store.add(["x", "y", "z"], texts=["aaaa", "bb", None])
        assert [hit.document.id for hit in store.search("aaa", 5)] == ["x", "y"]
        assert len(store.search_batch(["aaa", "b"], 1)) == 2
        assert store.search_mmr("aaa", 1)[0].document.id == "x"
        assert store.get("z")[0].vector is None
    with VectorStore(tmp_path) as store, pytest.raises(ValueError, match="embed="):
        store.search("aaa")


def test_bad_questions(store):
    store.add(["a"], [[1, 2]])
    for error, query in (
        (ShapeError, [1, 2, 3]), (ShapeError, [[1, 2]]), (NonFiniteError, [1, np.nan]),
        (DtypeError, [1j, 2]), (ShapeError, []), (DtypeError, None), (DtypeError, {"a": 1}),
    ):  # fmt: skip
        with pytest.raises(error):
            store.search(query)
    for k in (0, -1):
        with pytest.raises(ValueError, match="k must"):
            store.search([1, 2], k)
    for k in (1.5, True, "1"):
        with pytest.raises(TypeError, match="k must"):
            store.search([1, 2], k)
    with pytest.raises(ValueError, match=r"clear\(\)"):
        store.remove()
    assert store.search([1e30, 1e30])[0].score == pytest.approx(3 / 10**0.5)


def test_large_queries_and_rows():
    for metric in METRICS:
        with VectorStore(metric=metric) as store:
            x = np.array([[1e15, 0], [0, 9e14], [1e-30, 1e-30], [0, 0]])
            store.add(list("abcd"), x)
            check(store.search([1, 0.5], 4), [1, 0.5], dict(zip("abcd", x, strict=True)), metric, 4)
            with (
                pytest.raises(NonFiniteError)
                if metric != "cosine"
                else pytest.MonkeyPatch.context()
            ):
                store.search([1e30, 0])


def test_another_dimension_once_all_are_gone(store):
    store.add(["a", "b"], [[1, 2], None])
    store.search([1, 2])
    store.remove(["a"])
    store.upsert(["b"], [[1, 2, 3]])
    assert (store.dim, store.search([1, 2, 3])[0].document.id) == (3, "b")
    with pytest.raises(ShapeError):
        store.search([1, 2])
    store.clear()
    store.add(["a"], [[1]])
    assert store.search([1])[0].score == 1
    store.verify()


def test_choices_of_a_store_stay(tmp_path):
    with VectorStore(tmp_path, metric="l2", originals="f16", spec="F32") as store:
        store.add(["a"], [[3, 4]])
    with VectorStore(tmp_path) as store:
        assert (store.metric, store.originals) == ("l2", "f16")
        assert store.search([0, 0])[0].distance == 25
        store.optimize()
        assert store.info()["index"] == "F32"
    for wrong in ({"metric": "ip"}, {"originals": "f32"}, {"metric": "x"}, {"spec": "EDEN99"}):
        with pytest.raises(SpecError):
            VectorStore(tmp_path, **wrong)
    with VectorStore(tmp_path) as store:
        assert len(store) == 1


def test_closed(store):
    store.add(["a"], [[1]])
    store.close()
    store.close()
    for ask in (lambda: store.search([1]), lambda: len(store), lambda: store.add(["b"])):
        with pytest.raises(ValueError, match="closed"):
            ask()


def test_not_a_store(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError):
        VectorStore(tmp_path / "file")
    with pytest.raises(StoreError, match="no store"):
        VectorStore(tmp_path / "gone", read_only=True)
    assert not os.path.exists(tmp_path / "gone")


class Machine(RuleBasedStateMachine):
    """Any sequence of calls leaves what a dict would have, and finds what brute force does."""

    ids = st.lists(
        st.sampled_from([f"d{i}" for i in range(200)]), min_size=1, max_size=90, unique=True
    )

    @initialize(metric=st.sampled_from(METRICS), folder=st.booleans())
    def begin(self, metric, folder):
        import tempfile

        self.folder = tempfile.TemporaryDirectory() if folder else None
        self.metric, self.model, self.seed = metric, {}, 0
        self.store = VectorStore(self.folder.name if folder else ":memory:", metric=metric)

    def fresh(self, n):
        self.seed += 1
        return np.random.default_rng(self.seed).standard_normal((n, D)).astype(np.float32)

    @rule(ids=ids, bare=st.booleans())
    def upsert(self, ids, bare):
        new = [None if bare and i % 3 == 0 else x for i, x in enumerate(self.fresh(len(ids)))]
        if all(x is None for x in new):
            new = None
        about = [{"n": self.seed, "i": i} for i in range(len(ids))]
        assert self.store.upsert(ids, new, metadata=about) == len(ids)
        for i, name in enumerate(ids):
            self.model[name] = (None if new is None else new[i], about[i])

    @rule(ids=ids)
    def add(self, ids):
        there = [name for name in ids if name in self.model]
        if there:
            with pytest.raises(IdError):
                self.store.add(ids, self.fresh(len(ids)))
        else:
            x = self.fresh(len(ids))
            self.store.add(ids, x)
            self.model |= {name: (row, {}) for name, row in zip(ids, x, strict=True)}

    @rule(n=st.integers(100, 900))
    def add_many(self, n):
        if len(self.model) < 2000:
            ids, x = [f"m{self.seed}-{i}" for i in range(n)], self.fresh(n)
            self.store.add(ids, x)
            self.model |= {name: (row, {}) for name, row in zip(ids, x, strict=True)}

    @rule(ids=ids)
    def remove(self, ids):
        there = [name for name in ids if name in self.model]
        assert self.store.remove(ids) == len(there)
        for name in there:
            del self.model[name]

    @rule(i=st.integers(0, 40))
    def remove_some(self, i):
        where = {"field": "meta.i", "op": ">=", "value": i}
        gone = [name for name, (_, about) in self.model.items() if about.get("i", -1) >= i]
        assert self.store.remove(where=where) == len(gone)
        for name in gone:
            del self.model[name]

    @rule()
    def optimize(self):
        self.store.optimize()

    @rule()
    def reopen(self):
        if self.folder is not None:
            self.store.close()
            self.store = VectorStore(self.folder.name)

    @rule(k=st.integers(1, 20), i=st.none() | st.integers(0, 30))
    def search(self, k, i):
        (query,) = self.fresh(1)
        where = None if i is None else {"field": "meta.i", "op": "<", "value": i}
        there = {
            name: x for name, (x, about) in self.model.items()
            if x is not None and (i is None or about.get("i", 99) < i)
        }  # fmt: skip
        check(self.store.search(query, k, where), query, there, self.metric, k)

    @invariant()
    def same(self):
        assert len(self.store) == len(self.model)

    def teardown(self):
        found = {one.id: one for one in self.store.documents()}
        assert found.keys() == self.model.keys()
        for name, (x, about) in self.model.items():
            assert found[name] == Document(name, None, about, x)
        self.store.verify()
        self.store.close()
        if self.folder is not None:
            self.folder.cleanup()


@pytest.mark.usefixtures("small")
def test_any_sequence_of_calls():
    from hypothesis.stateful import run_state_machine_as_test

    quick = settings(
        max_examples=25, stateful_step_count=15, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(Machine, settings=quick)
