"""Folders of the store for LlamaIndex: made again from dicts, pickles and copies."""

import pickle

import pytest

pytest.importorskip(
    "llama_index.core", reason='LlamaIndex is missing: pip install "vqindex[llama-index]"'
)

import fsspec
from llama_index.core import StorageContext
from llama_index.core.vector_stores.types import VectorStoreQuery

from tests.integrations.test_llama_index import QUERY, nodes
from vqindex.errors import ReadOnlyError
from vqindex.integrations.llama_index import VQVectorStore


def test_a_folder_is_made_again_from_a_dict(tmp_path):
    store = VQVectorStore(tmp_path / "nodes", "l2", originals="f16")
    store.add(nodes())
    want = store.query(VectorStoreQuery(QUERY, similarity_top_k=5))
    told = store.to_dict()
    store.client.close()
    again = VQVectorStore.from_dict(told)
    assert again.to_dict() == told
    assert (again.client.metric, again.client.originals) == ("l2", "f16")
    assert again.query(VectorStoreQuery(QUERY, similarity_top_k=5)).ids == want.ids
    again.client.close()


def test_persist_makes_a_copy(tmp_path):
    store, folder = VQVectorStore(metric="l2"), tmp_path / "copy"
    store.add(nodes())
    store.persist(str(folder))
    store.delete("d1")
    store.add([node for node in nodes() if node.node_id == "n1"])
    store.persist(str(folder))  # over the first
    again = VQVectorStore.from_persist_path(str(folder))
    query = VectorStoreQuery(QUERY, similarity_top_k=80)
    assert again.query(query) == store.query(query)
    assert again.get_nodes(["n1"]) == store.get_nodes(["n1"])
    again.delete_nodes(["n0"])
    again.persist(str(folder))  # is there already
    again.client.close()
    assert len(VQVectorStore(folder, options={"read_only": True}).client) == len(store.client) - 1


def test_pickled_it_is_its_folder(tmp_path):
    with VQVectorStore(tmp_path, metric="l2", originals="f16") as store:
        store.add(nodes())
        again = pickle.loads(pickle.dumps(store))
        assert again.get_nodes() == store.get_nodes()
        assert again.client.originals == "f16"
        with again, pytest.raises(ReadOnlyError):
            again.clear()
    with pytest.raises(ValueError, match="closed"):
        again.get_nodes()
    with pytest.raises(TypeError, match="in memory"):
        pickle.dumps(VQVectorStore())


def test_closed_another_may_write(tmp_path):
    store = VQVectorStore(tmp_path)
    store.add(nodes(2))
    store.close()
    with VQVectorStore(tmp_path) as again:
        assert len(again.get_nodes()) == 2
    VQVectorStore(tmp_path).close()


def test_a_storage_context_persists_it(tmp_path):
    store = VQVectorStore()
    store.add(nodes(3))
    StorageContext.from_defaults(vector_store=store).persist(tmp_path)
    again = VQVectorStore.from_persist_dir(str(tmp_path))
    assert again.get_nodes() == store.get_nodes()
    again.client.close()


def test_where_no_copy_can_be_is_refused(tmp_path):
    ours = VQVectorStore()
    ours.add(nodes(3))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot be made"):
        ours.persist(str(tmp_path / "file"))
    with pytest.raises(ValueError, match="local folder, not in memory"):
        ours.persist("copy", fs=fsspec.filesystem("memory"))
    with pytest.raises(ValueError, match="no folder of a store"):
        VQVectorStore.from_persist_path(str(tmp_path / "none"))
