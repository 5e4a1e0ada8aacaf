"""Haystack's own suites, whole; then what they leave out."""

import asyncio
import threading

import numpy as np
import pytest

pytest.importorskip("haystack", reason='Haystack is missing: pip install "vqindex[haystack]"')

from haystack import Document, Pipeline
from haystack.dataclasses import ByteStream, SparseEmbedding
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError
from haystack.testing import document_store as suite
from haystack.testing import document_store_async as async_suite
from haystack.utils.filters import document_matches_filter
from hypothesis import given
from hypothesis import strategies as st

from vqindex.integrations.haystack import VQDocumentStore, VQEmbeddingRetriever


class TestSuite(
    suite.DocumentStoreBaseExtendedTests,
    suite.CountDocumentsByFilterTest,
    suite.CountUniqueMetadataByFilterTest,
    suite.GetMetadataFieldsInfoTest,
    suite.GetMetadataFieldMinMaxTest,
    suite.GetMetadataFieldUniqueValuesTest,
    async_suite.CountDocumentsAsyncTest,
    async_suite.WriteDocumentsAsyncTest,
    async_suite.DeleteDocumentsAsyncTest,
    async_suite.FilterDocumentsAsyncTest,
    async_suite.DeleteAllAsyncTest,
    async_suite.DeleteByFilterAsyncTest,
    async_suite.UpdateByFilterAsyncTest,
    async_suite.CountDocumentsByFilterAsyncTest,
    async_suite.CountUniqueMetadataByFilterAsyncTest,
    async_suite.GetMetadataFieldsInfoAsyncTest,
    async_suite.GetMetadataFieldMinMaxAsyncTest,
    async_suite.GetMetadataFieldUniqueValuesAsyncTest,
):
    """All of it; what writing does without a policy is for each store to say."""

    @pytest.fixture
    def document_store(self):
        return VQDocumentStore()

    def test_write_documents(self, document_store):
        documents = [Document(content="a"), Document(content="b")]
        assert document_store.write_documents(documents) == 2
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([Document(content="c"), documents[0]])
        assert document_store.filter_documents() == documents  # and "c" is not there

    async def test_write_documents_async(self, document_store):
        documents = [Document(content="a"), Document(content="b")]
        assert await document_store.write_documents_async(documents) == 2
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([Document(content="c"), documents[0]])
        assert await document_store.filter_documents_async() == documents


TEXTS = st.sampled_from(["", "a", "b", "1", "x-y", "2020-01-01", "2020-01-01T00:00:00", "1970-5"])
NUMBERS = st.sampled_from([0, 1, -1, 2, 0.0, 1.0, 0.5, 2**70, 1e300])
PLAIN = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.one_of(PLAIN, st.lists(PLAIN, max_size=3), st.just({"y": 1}))
NAMES = st.sampled_from(["meta.a", "meta.b", "meta.c.y", "a", "content", "id", "score", "meta.no"])
ORDERED = ["==", "!=", ">", ">=", "<", "<="]
TESTS = st.one_of(
    st.builds(
        lambda field, op, value: {"field": field, "operator": op, "value": value},
        NAMES, st.sampled_from(ORDERED), VALUES,
    ),
    st.builds(
        lambda field, op, value: {"field": field, "operator": op, "value": value},
        NAMES, st.sampled_from(["in", "not in"]), st.lists(PLAIN, max_size=4),
    ),
)  # fmt: skip
FILTERS = st.recursive(
    TESTS,
    lambda parts: st.builds(
        lambda word, several: {"operator": word, "conditions": several},
        st.sampled_from(["AND", "OR", "NOT"]),
        st.lists(parts, min_size=1, max_size=3),
    ),
    max_leaves=5,
)
METAS = st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, max_size=3)


def outcome(filters, document):
    """True, False, or None where Haystack's own function raises."""
    try:
        return document_matches_filter(filters, document)
    except (FilterError, TypeError, OverflowError):
        return None


@given(metas=st.lists(METAS, min_size=1, max_size=6), filters=FILTERS)
def test_filters_are_haystacks_own(metas, filters):
    documents = [
        Document(id=f"{i}", content=[None, "a", "b"][i % 3], meta=meta)
        for i, meta in enumerate(metas)
    ]
    store = VQDocumentStore()
    store.write_documents(documents)
    want = [outcome(filters, document) for document in documents]
    try:
        found = {document.id for document in store.filter_documents(filters)}
    except (FilterError, TypeError, OverflowError):
        assert None in want or outcome(filters, Document(id="none")) is None
        return
    for document, passes in zip(documents, want, strict=True):
        if passes is not None:
            assert (document.id in found) is passes


@pytest.mark.parametrize(
    "filters",
    [
        {"conditions": []},
        {"operator": "AND"},
        {"operator": "XOR", "conditions": []},
        {"field": "meta.a", "value": 1},
        {"field": "meta.a", "operator": "==="},
        {"field": "meta.a", "operator": "in", "value": 1},
        {"field": "embedding", "operator": "==", "value": None},
    ],
)
def test_malformed_filters_are_refused_by_an_empty_store_too(filters):
    with pytest.raises(FilterError):
        VQDocumentStore().filter_documents(filters)


@pytest.mark.parametrize("filters", [None, {}])
def test_no_filters_remove_nothing(filters):
    store = VQDocumentStore()
    store.write_documents([Document(content="a")])
    with pytest.raises(FilterError, match="delete_all_documents"):
        store.delete_by_filter(filters)
    with pytest.raises(FilterError):
        store.update_by_filter(filters, {"a": 1})
    assert store.count_documents() == 1


def documents_with_embeddings(n=60, d=8):
    x = np.random.default_rng(0).normal(size=(n, d))
    return [
        Document(id=f"{i}", content=f"text {i}", meta={"i": i}, embedding=row.tolist())
        for i, row in enumerate(x)
    ]


@pytest.mark.parametrize(("metric", "name"), [("cosine", "cosine"), ("ip", "dot_product")])
@pytest.mark.parametrize("scale_score", [False, True])
def test_retrieval_is_that_of_the_in_memory_store(metric, name, scale_score):
    ours = VQDocumentStore(metric=metric)
    theirs = InMemoryDocumentStore(embedding_similarity_function=name, shared=False)
    documents = [*documents_with_embeddings(), Document(content="without")]
    for store in (ours, theirs):
        store.write_documents(documents)
    filters = {"field": "meta.i", "operator": "<", "value": 40}
    query = np.random.default_rng(1).normal(size=8).tolist()
    named = {"top_k": 12, "filters": filters, "scale_score": scale_score, "return_embedding": True}
    got, want = (store.embedding_retrieval(query, **named) for store in (ours, theirs))
    assert [one.id for one in got] == [one.id for one in want]
    np.testing.assert_allclose([one.score for one in got], [one.score for one in want], rtol=1e-6)
    assert [one.embedding for one in got] == [one.embedding for one in want]
    assert ours.embedding_retrieval(query)[0].embedding is None
    assert ours.embedding_retrieval(query, top_k=0) == []


def test_scaled_scores_of_l2():
    store = VQDocumentStore(metric="l2")
    store.write_documents([Document(content="a", embedding=[0.0, 3.0])])
    (found,) = store.embedding_retrieval([0.0, 1.0], scale_score=True)
    assert found.score == pytest.approx(1 / (1 + 4))


def test_a_document_comes_back_whole():
    whole = Document(
        content=None,
        blob=ByteStream(b"\x00\xff", {"a": 1}, "image/png"),
        meta={"deep": [{"é": None}], "n": 2**60},
        score=0.25,
        embedding=[0.1, 1 / 3],
        sparse_embedding=SparseEmbedding([1, 5], [0.5, 0.1]),
    )
    store = VQDocumentStore()
    store.write_documents([whole])
    assert store.filter_documents() == [whole]
    assert store.get_metadata_fields_info().keys() == {"deep", "n"}
    store.update_by_filter({"field": "meta.n", "operator": ">", "value": 1}, {"n": 1})
    (after,) = store.filter_documents()
    assert (after.meta["n"], after.embedding, after.blob) == (1, whole.embedding, whole.blob)


def test_embeddings_stay_away_where_they_are_not_wanted():
    store = VQDocumentStore(return_embedding=False)
    store.write_documents(documents_with_embeddings(3))
    assert {one.embedding for one in store.filter_documents()} == {None}


def test_the_retriever_in_a_pipeline(tmp_path):
    store = VQDocumentStore(tmp_path / "documents", metric="l2")
    store.write_documents(documents_with_embeddings(), DuplicatePolicy.OVERWRITE)
    few = {"field": "meta.i", "operator": "<", "value": 5}
    pipeline = Pipeline()
    pipeline.add_component(
        "retriever", VQEmbeddingRetriever(store, few, top_k=3, filter_policy="merge")
    )
    query = documents_with_embeddings()[4].embedding
    found = pipeline.run({"retriever": {"query_embedding": query}})["retriever"]["documents"]
    assert found[0].id == "4"
    assert len(found) == 3
    text = pipeline.dumps()
    store.store.close()
    again = Pipeline.loads(text, allowed_modules=["vqindex.*"])
    assert again.dumps() == text
    more = {"field": "content", "operator": "!=", "value": "text 4"}
    asked = {"query_embedding": query, "filters": more, "top_k": 9}
    found = again.run({"retriever": asked})["retriever"]["documents"]
    assert {one.id for one in found} == {"0", "1", "2", "3"}
    again.get_component("retriever").document_store.store.close()


async def test_the_retriever_answers_the_same_async():
    store = VQDocumentStore()
    store.write_documents(documents_with_embeddings())
    retriever = VQEmbeddingRetriever(store, top_k=4, scale_score=True)
    query = [1.0] * 8
    assert await retriever.run_async(query) == retriever.run(query)


async def test_the_event_loop_goes_on_meanwhile(monkeypatch):
    """A search that lasts until the loop has turned."""
    turned = threading.Event()
    store = VQDocumentStore()
    monkeypatch.setattr(type(store.store), "search", lambda *a, **n: turned.wait(10) and [])
    waiting = asyncio.create_task(store.embedding_retrieval_async([1.0]))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    turned.set()
    assert await waiting == []


def test_what_cannot_be_is_refused():
    store = VQDocumentStore()
    for wrong in ("text", 3, [{"content": "a"}]):
        with pytest.raises(ValueError, match="list of Documents"):
            store.write_documents(wrong)
    with pytest.raises(ValueError, match="'_haystack' is taken"):
        store.write_documents([Document(content="a", meta={"_haystack": {"id": "b"}})])
    with pytest.raises(TypeError, match="VQDocumentStore"):
        VQEmbeddingRetriever(InMemoryDocumentStore())
    with pytest.raises(ValueError, match="top_k"):
        VQEmbeddingRetriever(store, top_k=0)


def test_closed_another_may_write(tmp_path):
    with VQDocumentStore(tmp_path) as store:
        store.write_documents([Document(id="a", content="b")])
    with pytest.raises(ValueError, match="closed"):
        store.count_documents()
    with VQDocumentStore(tmp_path) as again:
        assert again.count_documents() == 1
