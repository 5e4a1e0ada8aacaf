"""LangChain's standard suite, and its in-memory store as the measure of the rest."""

import asyncio
import threading
import warnings

import numpy as np
import pytest

pytest.importorskip("langchain_tests", reason="LangChain is missing: --group frameworks")

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import VectorStoreIntegrationTests

from vqindex.integrations.langchain import VQVectorStore
from vqindex.store import VectorStore


class TestStandard(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self):
        return VQVectorStore(embedding=self.get_embeddings())


class TestStandardInAFolder(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path):
        store = VQVectorStore(self.get_embeddings(), tmp_path / "texts", metric="l2")
        yield store
        store.store.close()


EMBEDDING = DeterministicFakeEmbedding(size=24)
WORDS = [f"word {i}" for i in range(200)]
ABOUT = [
    {
        "n": i,
        "odd": bool(i % 2),
        "tag": "abc"[i % 3],
        "in": {"x": i % 5},
        "tags": ["a", "b", "c"][: i % 4],
    }
    for i in range(200)
]


@pytest.fixture
def ours():
    return VQVectorStore.from_texts(WORDS, EMBEDDING, ABOUT, ids=[str(i) for i in range(200)])


@pytest.fixture
def theirs():
    return InMemoryVectorStore.from_texts(WORDS, EMBEDDING, ABOUT, ids=[str(i) for i in range(200)])


def test_the_same_answers_as_in_memory(ours, theirs):
    want = theirs.similarity_search_with_score("word", 20)
    got = ours.similarity_search_with_score("word", 20)
    assert [one for one, _ in got] == [one for one, _ in want]
    np.testing.assert_allclose([s for _, s in got], [s for _, s in want], atol=1e-6)
    vector = EMBEDDING.embed_query("word")
    assert ours.similarity_search_by_vector(vector, 7) == theirs.similarity_search_by_vector(
        vector, 7
    )
    few = {"filter": lambda one: one.metadata["n"] < 5 or one.page_content == "word 77"}
    assert ours.similarity_search("word", 20, **few) == theirs.similarity_search("word", 20, **few)


@pytest.mark.parametrize("lambda_mult", [0.0, 0.3, 0.5, 1.0])
def test_the_same_variety_as_in_memory(ours, theirs, lambda_mult):
    named = {"k": 6, "fetch_k": 40, "lambda_mult": lambda_mult}
    want = theirs.max_marginal_relevance_search("word", **named)
    assert ours.max_marginal_relevance_search("word", **named) == want
    few = {"filter": lambda one: one.metadata["n"] > 150}
    want = theirs.max_marginal_relevance_search("word", **named, **few)
    assert ours.max_marginal_relevance_search("word", **named, **few) == want


FILTERS = [
    ({"n": 7}, lambda m: m["n"] == 7),
    ({"odd": True, "tag": "a"}, lambda m: m["odd"] and m["tag"] == "a"),
    ({"n": {"$gte": 10, "$lt": 12}}, lambda m: 10 <= m["n"] < 12),
    ({"n": {"$gt": 196}}, lambda m: m["n"] > 196),
    ({"n": {"$lte": 1}}, lambda m: m["n"] <= 1),
    ({"tag": {"$ne": "a"}}, lambda m: m["tag"] != "a"),
    ({"tag": {"$neq": "a"}}, lambda m: m["tag"] != "a"),
    ({"n": {"$in": [3, 4, 900]}}, lambda m: m["n"] in (3, 4)),
    ({"tag": {"$nin": ["a", "b"]}}, lambda m: m["tag"] == "c"),
    ({"tags": {"$contains": "c"}}, lambda m: "c" in m["tags"]),
    ({"in.x": 2}, lambda m: m["in"]["x"] == 2),
    ({"none": {"$exists": False}, "n": {"$eq": 5}}, lambda m: m["n"] == 5),
    ({"n": {"$not": {"$lt": 190}}}, lambda m: m["n"] >= 190),
    ({"$or": [{"n": 1}, {"n": 2, "odd": True}]}, lambda m: m["n"] == 1),
    ({"$and": [{"odd": True}, {"$not": {"tag": "b"}}]}, lambda m: m["odd"] and m["tag"] != "b"),
    ({}, lambda m: True),
    ({"in": {}}, lambda m: False),
]  # fmt: skip


@pytest.mark.parametrize(("filter", "means"), FILTERS)
def test_filters_as_dicts(ours, filter, means):
    found = ours.similarity_search("word", 200, filter=filter)
    assert {one.metadata["n"] for one in found} == {m["n"] for m in ABOUT if means(m)}


@pytest.mark.parametrize(
    "filter", [["n"], {"n": {"$near": 1}}, {"$xor": []}, {"$or": {"n": 1}}, {"$not": 3}, {3: 4}]
)
def test_what_is_no_filter_is_refused(ours, filter):
    with pytest.raises(ValueError, match=r"filter|needs|tested"):
        ours.similarity_search("word", filter=filter)


def test_delete(ours):
    ours.delete(["0", "none"])
    ours.delete(filter={"n": {"$lt": 10}})
    ours.delete(["10", "11"], filter={"odd": True})
    assert [one.id for one in ours.get_by_ids(["0", "9", "10", "11", "12"])] == ["10", "12"]
    assert len(ours.store) == 189
    assert ours.delete() is True
    assert ours.similarity_search("word") == []


def test_ids_are_made_where_there_are_none():
    store = VQVectorStore(EMBEDDING)
    given = [Document("a", id="x"), Document("b")]
    ids = store.add_documents(given)
    assert ids[0] == "x"
    assert len(ids[1]) == 36
    assert given[1].id is None
    assert store.add_texts(["c"], ids=["x"]) == ["x"]
    assert {one.page_content for one in store.get_by_ids(ids)} == {"b", "c"}
    assert store.add_documents([]) == []
    assert store.add_documents([Document("d"), Document("e")], ids=["y", "y"]) == ["y", "y"]
    assert store.get_by_ids(["y"])[0].page_content == "e"
    with pytest.raises(ValueError, match="as many as documents, 2, got 1"):
        store.add_texts(["a", "b"], ids=["x"])
    with pytest.raises(ValueError, match="as many as texts, 2, got 1"):
        store.add_texts(["a", "b"], [{}])


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_relevance_is_between_0_and_1(metric):
    class Unit(Embeddings):
        def embed_documents(self, texts):
            return [self.embed_query(text) for text in texts]

        def embed_query(self, text):
            return [np.cos(float(text)), np.sin(float(text))]

    store = VQVectorStore.from_texts(["0", "0.5", "1.5", "3"], Unit(), metric=metric)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scored = store.similarity_search_with_relevance_scores("0")
    assert [one.page_content for one, _ in scored] == ["0", "0.5", "1.5", "3"]
    relevance = np.array([score for _, score in scored])
    far = np.array([0, 0.5, 1.5, 3])
    want = 1 - 2 * np.sin(far / 2) / np.sqrt(2) if metric == "l2" else np.cos(far)
    np.testing.assert_allclose(relevance, np.clip(want, 0, 1), atol=1e-6)
    kind = {"search_type": "similarity_score_threshold"}
    retriever = store.as_retriever(**kind, search_kwargs={"score_threshold": 0.5})
    assert [one.page_content for one in retriever.invoke("0")] == ["0", "0.5"]


def test_retrievers(ours):
    assert "DeterministicFakeEmbedding" in ours.as_retriever().tags
    options = {"k": 3, "fetch_k": 10, "filter": {"odd": True}}
    found = ours.as_retriever(search_type="mmr", search_kwargs=options).invoke("word")
    assert len(found) == 3
    assert all(one.metadata["odd"] for one in found)


def test_langchains_index_keeps_it_up_to_date():
    store, records = VQVectorStore(EMBEDDING), InMemoryRecordManager("texts")
    records.create_schema()
    named = {"cleanup": "full", "source_id_key": "source", "key_encoder": "sha256"}
    texts = [Document(word, metadata={"source": "s"}) for word in WORDS[:5]]
    assert index(texts, records, store, **named)["num_added"] == 5
    assert index(texts[1:], records, store, **named)["num_deleted"] == 1
    assert len(store.store) == 4


def test_a_folder_outlives_the_process(tmp_path):
    store = VQVectorStore.from_texts(WORDS, EMBEDDING, ABOUT, path=tmp_path / "texts")
    want = store.similarity_search_with_score("word")
    store.store.close()
    again = VQVectorStore(EMBEDDING, tmp_path / "texts")
    assert again.similarity_search_with_score("word") == want
    again.store.close()


def test_closed_another_may_write(tmp_path):
    embedding = DeterministicFakeEmbedding(size=8)
    with VQVectorStore(embedding, tmp_path) as store:
        store.add_texts(["a"], ids=["1"])
    with pytest.raises(ValueError, match="closed"):
        store.get_by_ids(["1"])
    again = VQVectorStore(embedding, tmp_path)
    assert len(again.get_by_ids(["1"])) == 1
    again.close()
    VQVectorStore(embedding, tmp_path).close()


def test_a_store_that_is_open():
    store = VectorStore(metric="l2")
    store.add(["a"], [EMBEDDING.embed_query("word")], ["word"], [{"n": 1}])
    texts = VQVectorStore(EMBEDDING, store=store)
    want = Document("word", metadata={"n": 1}, id="a")
    assert texts.similarity_search_with_score("word") == [(want, 0.0)]
    with pytest.raises(ValueError, match="give it alone"):
        VQVectorStore(EMBEDDING, store=store, metric="l2")


class Watched(DeterministicFakeEmbedding):
    """Says in which thread it embeds."""

    async def aembed_documents(self, texts):
        assert threading.current_thread() is threading.main_thread()
        return self.embed_documents(texts)

    async def aembed_query(self, text):
        assert threading.current_thread() is threading.main_thread()
        return self.embed_query(text)


async def test_async_twins_answer_the_same(theirs):
    ids = [str(i) for i in range(200)]
    ours = await VQVectorStore.afrom_texts(WORDS, Watched(size=24), ABOUT, ids=ids)
    vector = EMBEDDING.embed_query("word")
    scored = await ours.asimilarity_search_with_score("word", 5)
    assert scored == ours.similarity_search_with_score("word", 5)
    assert await ours.asimilarity_search("word", 5) == theirs.similarity_search("word", 5)
    assert await ours.asimilarity_search_by_vector(vector, 5) == [one for one, _ in scored]
    found = await ours.amax_marginal_relevance_search("word", 5, filter={"odd": True})
    assert found == ours.max_marginal_relevance_search("word", 5, filter={"odd": True})
    assert await ours.aget_by_ids(["3"]) == theirs.get_by_ids(["3"])
    await ours.adelete(["3"], filter={"odd": False})
    assert len(ours.store) == 200
    await ours.adelete()
    assert len(ours.store) == 0


async def test_the_event_loop_goes_on_meanwhile(ours, monkeypatch):
    """A search that lasts until the loop has turned."""
    turned = threading.Event()
    search = ours.store.search

    def slow(*args, **named):
        assert turned.wait(10)
        return search(*args, **named)

    monkeypatch.setattr(
        type(ours.store), "search", lambda self, *args, **named: slow(*args, **named)
    )
    waiting = asyncio.create_task(ours.asimilarity_search("word"))
    await asyncio.sleep(0.01)
    turned.set()
    assert len(await waiting) == 4
