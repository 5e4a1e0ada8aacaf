"""scikit-learn's own checks, and graphs beside those of its exact transformer."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", reason='scikit-learn is missing: pip install "vqindex[sklearn]"')

from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.manifold import Isomap
from sklearn.neighbors import KNeighborsClassifier, KNeighborsTransformer
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from vqindex.integrations.sklearn import VQTransformer


@parametrize_with_checks([VQTransformer(), VQTransformer(mode="connectivity", metric="cosine")])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def rows():
    """Not centred at the origin, so that squared lengths dwarf gaps; a few are repeated."""
    x = np.random.default_rng(0).normal(5, 1, (1500, 24)).astype(np.float32)
    x[700:705] = x[3]
    return x


def same_graph(graph, exact):
    """Every distance; and every neighbour but those as far as another."""
    np.testing.assert_array_equal(graph.indptr, exact.indptr)
    np.testing.assert_allclose(graph.data, exact.data, rtol=1e-5, atol=1e-7)
    ties = np.isclose(np.diff(exact.data, append=-1), 0) | np.isclose(
        np.diff(exact.data, prepend=-1), 0
    )
    last = np.zeros(len(exact.data), bool)
    last[exact.indptr[1:] - 1] = True  # may be as far as one left out
    unlike = (graph.indices != exact.indices) & ~ties & ~last
    assert not unlike.any()


@pytest.mark.parametrize("metric", ["euclidean", "l2", "sqeuclidean", "cosine"])
@pytest.mark.parametrize("mode", ["distance", "connectivity"])
def test_the_same_graph_as_exact_search(rows, metric, mode):
    options = {"n_neighbors": 7, "mode": mode, "metric": metric}
    ours, exact = VQTransformer(spec="F32", **options), KNeighborsTransformer(**options)
    same_graph(ours.fit_transform(rows), exact.fit_transform(rows.astype(np.float64)))
    queries = np.random.default_rng(1).normal(5, 1, (60, 24))
    same_graph(ours.transform(queries), exact.transform(queries))
    same_graph(ours.kneighbors_graph(mode=mode), exact.kneighbors_graph(mode=mode))
    assert ours.effective_metric_ == ("euclidean" if metric == "l2" else metric)


def test_a_row_is_at_distance_zero_from_itself(rows):
    graph = VQTransformer(n_neighbors=3).fit_transform(rows)
    assert (graph.diagonal() == 0).all()
    starts = graph.indptr[:-1]
    assert (graph.data[starts] == 0).all()  # and stands first, kept though zero
    assert graph.nnz == 4 * len(rows)


def test_codes_find_nearly_all_and_their_distances_are_exact(rows):
    options = {"n_neighbors": 10, "metric": "euclidean"}
    x = np.random.default_rng(2).normal(size=(6000, 32)).astype(np.float32)
    ours = VQTransformer(spec="IVF16,EDEN4,Rerank(f32)", settings={"nprobe": 16}, **options).fit(x)
    exact = KNeighborsTransformer(**options).fit(x)
    distances, ids = ours.kneighbors(x[:300])
    want, truth = exact.kneighbors(x[:300])
    found = [len(set(a) & set(b)) for a, b in zip(ids, truth, strict=True)]
    assert np.mean(found) / 10 > 0.99
    np.testing.assert_allclose(
        distances, np.linalg.norm(x[ids] - x[:300, None].astype(float), axis=2), rtol=1e-12
    )
    assert (distances >= want - 1e-5).all()


def test_no_row_is_its_own_neighbour_unless_asked(rows):
    ids = VQTransformer(n_neighbors=6).fit(rows).kneighbors(return_distance=False)
    assert ids.shape == (1500, 6)
    assert (ids != np.arange(1500)[:, None]).all()
    assert set(ids[3][:5]) == set(range(700, 705))  # its copies are


def test_chunks_change_nothing(rows, monkeypatch):
    fitted = VQTransformer().fit(rows)
    whole = fitted.transform(rows)
    monkeypatch.setattr("vqindex.integrations.sklearn._NUMBERS", 24 * 6 * 100 + 1)
    parts = fitted.transform(rows)
    assert (whole != parts).nnz == 0


def test_in_pipelines():
    x, y = make_blobs(300, 8, centers=3, random_state=0)
    classifier = KNeighborsClassifier(5, metric="precomputed")
    model = make_pipeline(VQTransformer(n_neighbors=5), classifier).fit(x, y)
    exact = make_pipeline(KNeighborsTransformer(n_neighbors=5), clone(classifier)).fit(x, y)
    np.testing.assert_array_equal(model.predict(x), exact.predict(x))
    ours, theirs = (
        make_pipeline(kind(n_neighbors=100), Isomap(n_neighbors=100, metric="precomputed"))
        for kind in (VQTransformer, KNeighborsTransformer)
    )
    np.testing.assert_allclose(
        np.abs(ours.fit_transform(x)), np.abs(theirs.fit_transform(x)), rtol=1e-3, atol=1e-3
    )


def test_pickles_fitted(rows):
    fitted = VQTransformer(spec="EDEN2", random_state=np.random.RandomState(3)).fit(rows)
    again = pickle.loads(pickle.dumps(fitted))
    assert (fitted.transform(rows[:50]) != again.transform(rows[:50])).nnz == 0


def test_the_seed_decides(rows):
    def codes(state):
        index = VQTransformer(spec="EDEN1", random_state=state).fit(rows).index_
        return index.reconstruct(index.ids)

    np.testing.assert_array_equal(codes(1), codes(1))
    assert (codes(1) != codes(2)).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "graph"}, "mode"),
        ({"metric": "manhattan"}, "euclidean, l2, sqeuclidean, cosine"),
        ({"n_neighbors": 0}, "n_neighbors"),
        ({"spec": "EDEN99"}, "bits"),
    ],
)
def test_bad_options_are_refused_by_fit(rows, options, message):
    with pytest.raises(ValueError, match=message):
        VQTransformer(**options).fit(rows)


def test_too_many_neighbours_are_refused(rows):
    fitted = VQTransformer(n_neighbors=1500).fit(rows)
    with pytest.raises(ValueError, match=r"n_neighbors <= n_samples_fit.* 1501"):
        fitted.transform(rows)
    with pytest.raises(ValueError, match=r"n_neighbors < n_samples_fit.* 1500"):
        fitted.kneighbors()
    with pytest.raises(TypeError, match="unknown search setting"):
        VQTransformer(settings={"probes": 1}).fit(rows)
