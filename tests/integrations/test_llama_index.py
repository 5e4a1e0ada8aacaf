"""LlamaIndex's simple store as the measure, and its own filter function."""

import asyncio
import threading

import numpy as np
import pytest

pytest.importorskip(
    "llama_index.core", reason='LlamaIndex is missing: pip install "vqindex[llama-index]"'
)

from hypothesis import given
from hypothesis import strategies as st
from llama_index.core import MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.schema import (
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)
from llama_index.core.vector_stores.utils import build_metadata_filter_fn, node_to_metadata_dict

from vqindex.integrations.llama_index import VQVectorStore


def nodes(n=80, d=6):
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    return [
        TextNode(
            id_=f"n{i}",
            text=f"text {i}",
            metadata={"i": i, "tag": "abc"[i % 3], "tags": ["x", "y"][: i % 3], "f": i / 2},
            embedding=row.tolist(),
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"d{i % 7}")},
        )
        for i, row in enumerate(x)
    ]


QUERY = np.random.default_rng(1).normal(size=6).astype(np.float32).tolist()


@pytest.fixture
def both():
    ours, theirs = VQVectorStore(), SimpleVectorStore()
    assert ours.add(nodes()) == theirs.add(nodes())
    return ours, theirs


def same(ours, theirs, query, **named):
    got, want = ours.query(query, **named), theirs.query(query, **named)
    assert got.ids == want.ids
    np.testing.assert_allclose(got.similarities, want.similarities, atol=1e-6)
    assert [one.node_id for one in got.nodes] == got.ids
    assert all(one.text == f"text {one.metadata['i']}" for one in got.nodes)


MODES = [VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR, VectorStoreQueryMode.SVM]
NARROW = [
    {},
    {"node_ids": ["n1", "n2", "n30", "none"]},
    {"filters": MetadataFilters(filters=[MetadataFilter(key="tag", value="a")])},
    {
        "node_ids": [f"n{i}" for i in range(9)],
        "filters": MetadataFilters(
            filters=[MetadataFilter(key="tags", value="y", operator=FilterOperator.CONTAINS)]
        ),
    },
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("narrow", NARROW)
@pytest.mark.parametrize("k", [1, 7, 200])
def test_queries_are_answered_as_by_the_simple_store(both, mode, narrow, k):
    query = VectorStoreQuery(QUERY, similarity_top_k=k, mode=mode, **narrow)
    named = {"mmr_prefetch_k": 80} if mode == VectorStoreQueryMode.MMR else {}
    same(*both, query, **named)


@pytest.mark.parametrize("threshold", [0.1, 0.3, 1.0])
def test_the_threshold_of_mmr_comes_either_way(both, threshold):
    ours, theirs = both
    query = VectorStoreQuery(QUERY, similarity_top_k=5, mode=VectorStoreQueryMode.MMR)
    want = theirs.query(query, mmr_threshold=threshold)
    assert ours.query(query, mmr_threshold=threshold, mmr_prefetch_factor=16).ids == want.ids
    query.mmr_threshold = threshold
    assert ours.query(query, mmr_prefetch_factor=16).ids == want.ids
    query.mmr_threshold = 0.5
    assert ours.query(query, mmr_threshold=threshold, mmr_prefetch_factor=16).ids == want.ids


def test_nodes_of_some_documents(both):
    ours, _ = both
    query = VectorStoreQuery(QUERY, similarity_top_k=80, doc_ids=["d1", "d3"])
    found = ours.query(query).nodes
    assert {one.ref_doc_id for one in found} == {"d1", "d3"}
    assert len(found) == len([one for one in nodes() if one.ref_doc_id in ("d1", "d3")])
    query.filters = MetadataFilters(
        filters=[MetadataFilter(key="tags", value=["x"], operator=FilterOperator.ALL)]
    )
    query.node_ids = ["n1", "n2", "n3", "n8"]
    assert set(ours.query(query).ids) == {"n1", "n8"}


TEXTS = st.sampled_from(["", "a", "b", "ab", "A"])
NUMBERS = st.sampled_from([0, 1, -1, 2, 0.0, 1.0, 0.5, 2**70])
PLAIN = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
METAS = st.dictionaries(
    st.sampled_from(["a", "b", "c.d"]), st.one_of(PLAIN, st.lists(PLAIN, max_size=3)), max_size=3
)
WANTED = st.one_of(
    st.none(), NUMBERS, TEXTS, st.lists(TEXTS, max_size=3),
    st.lists(st.sampled_from([0, 1, 2]), max_size=3), st.lists(st.sampled_from([0.5, 1.0])),
)  # fmt: skip
ONE = st.builds(
    lambda key, value, operator: MetadataFilter(key=key, value=value, operator=operator),
    st.sampled_from(["a", "b", "c.d", "no", "doc_id"]), WANTED, st.sampled_from(FilterOperator),
)  # fmt: skip
GROUPS = st.builds(
    lambda filters, condition: MetadataFilters(filters=filters, condition=condition),
    st.lists(ONE, max_size=3), st.sampled_from([None, *FilterCondition]),
)  # fmt: skip


def passes(filters, metadata):
    """By LlamaIndex's own function; None where that raises."""
    try:
        return build_metadata_filter_fn(lambda _: metadata, filters)("")
    except (TypeError, ValueError):
        return None


@given(metas=st.lists(METAS, min_size=1, max_size=5), filters=GROUPS)
def test_filters_are_llama_indexs_own(metas, filters):
    given = [TextNode(id_=f"{i}", metadata=m, embedding=[1.0]) for i, m in enumerate(metas)]
    store = VQVectorStore()
    store.add(given)
    want = [passes(filters, node_to_metadata_dict(node)) for node in given]
    try:
        found = {node.node_id for node in store.get_nodes(filters=filters)}
    except (TypeError, ValueError):
        assert None in want
        return
    for node, expected in zip(given, want, strict=True):
        if expected is not None:
            assert (node.node_id in found) is bool(expected)


def test_filters_may_be_nested(both):
    ours, _ = both
    few = MetadataFilters(
        filters=[
            MetadataFilter(key="i", value=10, operator=FilterOperator.LT),
            MetadataFilters(
                filters=[
                    MetadataFilter(key="tag", value="a"),
                    MetadataFilter(key="tags", value="y", operator=FilterOperator.CONTAINS),
                ],
                condition=FilterCondition.OR,
            ),
            MetadataFilters(
                filters=[MetadataFilter(key="i", value=[0, 2], operator=FilterOperator.IN)],
                condition=FilterCondition.NOT,
            ),
        ]
    )
    assert [node.metadata["i"] for node in ours.get_nodes(filters=few)] == [3, 5, 6, 8, 9]
    for condition in FilterCondition:  # none hold, as in LlamaIndex's own where they stand alone
        few.filters[1:] = [MetadataFilters(filters=[], condition=condition)]
        assert len(ours.get_nodes(filters=few)) == 10
        empty = MetadataFilter(key="tags", value=None, operator=FilterOperator.IS_EMPTY)
        few.filters.append(empty)
        assert len(ours.get_nodes(filters=few)) == 4


def test_removing_is_that_of_the_simple_store(both):
    ours, theirs = both
    few = MetadataFilters(filters=[MetadataFilter(key="tag", value="b")])

    def left():
        query = VectorStoreQuery(QUERY, similarity_top_k=100)
        assert {one.node_id for one in ours.get_nodes()} == set(theirs.query(query).ids)
        same(ours, theirs, query)

    for store in both:
        store.delete("d2")
        store.delete("none")
    left()
    for store in both:
        store.delete_nodes(["n3", "n4", "n7"], few)
    left()
    for store in both:
        store.delete_nodes(["n3", "none"])
        store.delete_nodes(filters=few)
    left()
    assert ours.get_nodes()
    for store in both:
        store.delete_nodes()
    left()
    ours.add(nodes(3, 2))  # of another dimension
    ours.clear()
    assert ours.get_nodes() == []
    assert ours.query(VectorStoreQuery([1.0, 0.0])).ids == []


def test_adding_again_replaces(both):
    ours, _ = both
    new = nodes(1)[0]
    new.text, new.metadata = "new", {"a": None}
    old = nodes(2)[1]
    assert ours.add([old, new, old]) == ["n1", "n0", "n1"]
    (found,) = ours.get_nodes(["n0"])
    assert (found.text, found.metadata) == ("new", {"a": None})
    assert len(ours.client) == 80
    assert ours.add([]) == []


@pytest.mark.parametrize(
    "node",
    [
        TextNode(
            text="é\n" * 3, metadata={"deep": [{"a": None}]}, excluded_embed_metadata_keys=["a"]
        ),
        TextNode(text=""),
        IndexNode(text="t", index_id="i"),
        ImageNode(text="", image="aGk=", metadata={"w": 3}),
        Node(text_resource=MediaResource(text="t"), image_resource=MediaResource(data=b"aGk=")),
    ],
)
def test_nodes_come_back_whole(node):
    store = VQVectorStore()
    node.embedding = [1.0, 2.0]
    store.add([node])
    (found,) = store.get_nodes()
    node.embedding = None
    assert type(found) is type(node)
    assert found.model_dump() == node.model_dump()


def test_in_an_index_of_llama_index():
    store = VQVectorStore()
    context = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex(nodes(8), storage_context=context, embed_model=MockEmbedding(6))
    found = index.as_retriever(similarity_top_k=3).retrieve("anything")
    assert [one.node.text.split()[0] for one in found] == ["text"] * 3
    index.delete_ref_doc("d0")
    assert {one.ref_doc_id for one in store.get_nodes()} == {f"d{i}" for i in range(1, 7)}
    again = VectorStoreIndex.from_vector_store(store, embed_model=MockEmbedding(6))
    assert len(again.as_retriever(similarity_top_k=50).retrieve("anything")) == 6


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_other_metrics(metric):
    store = VQVectorStore(metric=metric)
    store.add(nodes())
    x = np.array([node.embedding for node in nodes()])
    want = x @ QUERY if metric == "ip" else -((x - QUERY) ** 2).sum(axis=1)
    found = store.query(VectorStoreQuery(QUERY, similarity_top_k=80))
    assert found.ids == [f"n{i}" for i in np.argsort(-want)]
    np.testing.assert_allclose(found.similarities, -np.sort(-want), rtol=1e-5, atol=1e-6)


def test_what_a_filter_lets_pass_is_remembered_by_all_of_it(both):
    ours, theirs = both
    for key, value in (("tags", "x"), ("tags", "y"), ("tags", "x")):
        one = MetadataFilter(key=key, value=value, operator=FilterOperator.CONTAINS)
        for ids in (None, [f"n{i}" for i in range(40)], None):
            query = VectorStoreQuery(
                QUERY, similarity_top_k=80, filters=MetadataFilters(filters=[one]), node_ids=ids
            )
            same(ours, theirs, query)


async def test_async_twins_answer_the_same(both):
    ours, _ = both
    store = VQVectorStore()
    assert await store.async_add(nodes()) == [f"n{i}" for i in range(80)]
    query = VectorStoreQuery(QUERY, similarity_top_k=4)
    assert (await store.aquery(query)).ids == ours.query(query).ids
    few = MetadataFilters(filters=[MetadataFilter(key="tag", value="b")])
    assert await store.aget_nodes(["n1"], few) == ours.get_nodes(["n1"], few)
    await store.adelete("d1")
    await store.adelete_nodes(["n2"], few)
    await store.adelete_nodes(["n0"])
    left = {node.node_id for node in await store.aget_nodes()}
    assert left == {n.node_id for n in nodes() if n.ref_doc_id != "d1" and n.node_id != "n0"}
    await store.aclear()
    assert len(store.client) == 0


async def test_the_event_loop_goes_on_meanwhile(both, monkeypatch):
    """A search that lasts until the loop has turned."""
    ours, _ = both
    turned = threading.Event()
    monkeypatch.setattr(type(ours.client), "search", lambda *a, **n: turned.wait(10) and [])
    waiting = asyncio.create_task(ours.aquery(VectorStoreQuery(QUERY)))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    turned.set()
    assert (await waiting).ids == []


def test_what_cannot_be_is_refused(both):
    ours, _ = both
    with pytest.raises(ValueError, match="query_embedding"):
        ours.query(VectorStoreQuery(query_str="text"))
    with pytest.raises(ValueError, match="hybrid"):
        ours.query(VectorStoreQuery(QUERY, mode=VectorStoreQueryMode.HYBRID))
    with pytest.raises(ValueError, match="embedding not set"):
        ours.add([TextNode(text="a")])
    assert len(ours.client) == 80
