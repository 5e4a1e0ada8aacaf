"""The protocol of MTEB's search indexes, beside brute force and, in MTEB itself, FAISS."""

from enum import StrEnum
from types import SimpleNamespace

import numpy as np
import pytest

from vqindex.integrations.mteb import VQSearchIndex


class Scoring(StrEnum):
    COSINE = "cosine"
    DOT_PRODUCT = "dot"
    EUCLIDEAN = "euclidean"
    MAX_SIM = "MaxSim"


def model(name):
    meta = SimpleNamespace(similarity_fn_name=Scoring(name))
    return SimpleNamespace(mteb_model_meta=meta, similarity=lambda a, b: similarity(name, a, b))


def similarity(name, a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    if name == "euclidean":
        return -np.linalg.norm(a[:, None] - b, axis=2)
    if name == "cosine":
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return a @ b.T


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 16)).astype(np.float32), rng.normal(size=(7, 16)).astype("f")


@pytest.fixture(params=["cosine", "dot", "euclidean"])
def name(request):
    return request.param


def filled(name, base, spec="F32"):
    index = VQSearchIndex(model(name), spec=spec)
    index.add_documents(base[:100], [f"d{i}" for i in range(100)])
    index.add_documents(base[100:], [f"d{i}" for i in range(100, len(base))])
    return index


def test_the_whole_corpus(name, data):
    base, queries = data
    scores, positions = filled(name, base).search(queries, 10, model(name).similarity)
    want = similarity(name, queries, base)
    np.testing.assert_array_equal(positions, np.argsort(-want, kind="stable")[:, :10])
    np.testing.assert_allclose(scores, -np.sort(-want)[:, :10], rtol=1e-5, atol=1e-5)
    assert isinstance(scores[0][0], float)
    assert isinstance(positions[0][0], int)


def test_ranked_lists(name, data):
    """Positions are those in the query's own list."""
    base, queries = data
    rng = np.random.default_rng(1)
    lists = [rng.permutation(300)[: 5 + i] for i in range(len(queries))]
    ranked = {f"q{i}": [f"d{j}" for j in rows] for i, rows in enumerate(lists)}
    names = {i: f"q{i}" for i in range(len(queries))}
    scores, positions = filled(name, base).search(queries, 6, None, ranked, names)
    for i, rows in enumerate(lists):
        want = similarity(name, queries[i : i + 1], base[rows])[0]
        np.testing.assert_array_equal(positions[i], np.argsort(-want)[:6])
        np.testing.assert_allclose(scores[i], -np.sort(-want)[:6], rtol=1e-5, atol=1e-5)


def test_a_query_without_a_list_is_said_aloud(data):
    base, queries = data
    index = filled("dot", base)
    with pytest.warns(UserWarning, match="no top-ranked documents for query a"):
        scores, positions = index.search(queries[:2], 3, None, {"b": ["d9"]}, {0: "a", 1: "b"})
    assert (scores[0], positions) == ([], [[], [0]])
    with pytest.raises(ValueError, match="query_idx_to_id"):
        index.search(queries, 3, None, {"b": ["d9"]})


def test_fewer_documents_than_wanted(name, data):
    base, queries = data
    index = filled(name, base, "EDEN4,Rerank(f16)")
    assert [len(row) for row in index.search(queries, 1000, None)[1]] == [300] * 7
    index.clear()
    assert index.search(queries, 5, None) == ([[]] * 7, [[]] * 7)
    index.add_documents(base[:2, :8], ["x", "y"])  # of any dimension again
    assert [len(row) for row in index.search(queries[:, :8], 5, None)[0]] == [2] * 7


def test_tensors(data):
    torch = pytest.importorskip("torch", reason="torch is missing, so there are no tensors to give")
    base, queries = data
    index = VQSearchIndex(model("dot"), spec="F32")
    index.add_documents(torch.tensor(base, requires_grad=True), [str(i) for i in range(300)])
    asked = torch.tensor(queries).to(torch.bfloat16)
    positions = index.search(asked, 4, None)[1]
    want = similarity("dot", asked.float().numpy(), base)
    np.testing.assert_array_equal(positions, np.argsort(-want)[:, :4])


def test_what_cannot_be_is_refused(data):
    with pytest.raises(ValueError, match="cosine, dot, euclidean, got 'MaxSim'"):
        VQSearchIndex(model("MaxSim"))
    with pytest.raises(ValueError, match="one id for each of 300, got 2"):
        VQSearchIndex(model("dot")).add_documents(data[0], ["a", "b"])


def test_beside_faiss_in_mteb_itself(name, data):
    backends = pytest.importorskip(
        "mteb.models.search_encoder_index", reason='MTEB is missing: pip install "vqindex[mteb]"'
    )
    pytest.importorskip("faiss", reason='FAISS is missing: pip install "vqindex[faiss]"')
    from mteb.models.model_meta import ScoringFunction

    base, queries = data
    judge = SimpleNamespace(
        mteb_model_meta=SimpleNamespace(similarity_fn_name=ScoringFunction(name))
    )
    documents = [f"d{i}" for i in range(300)]
    ranked = {f"q{i}": documents[i * 9 : i * 9 + 12] for i in range(7)}
    names = {i: f"q{i}" for i in range(7)}
    answers = []
    for index in (VQSearchIndex(judge, spec="F32"), backends.FaissSearchIndex(judge)):
        index.add_documents(base.copy(), documents)
        answers.append(index.search(queries.copy(), 10, None))
        answers.append(index.search(queries.copy(), 5, None, ranked, names))
    for ours, theirs in zip(answers[:2], answers[2:], strict=True):
        assert ours[1] == theirs[1]
        np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-4, atol=1e-4)
