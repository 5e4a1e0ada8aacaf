"""Haystack's documents and filters in the forms of a store, and back."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from haystack.dataclasses import Document
from haystack.errors import FilterError
from haystack.utils.filters import document_matches_filter

from vqindex.errors import DocumentError
from vqindex.integrations.comparisons import Filter, compared
from vqindex.store import Document as Kept
from vqindex.store.where import Function

Filters = Mapping[str, Any] | None
Where = Filter | Callable[[Kept], bool] | None

REST = "_haystack"  # the key in metadata of what else a document has
FIELDS = ("blob", "score", "sparse_embedding")


def columns(documents: Sequence[Document]) -> dict[str, Any]:
    """What a store is given."""
    metadata = []
    for one in documents:
        if REST in one.meta:
            raise DocumentError(
                f"{REST!r} is taken; name that key in meta of {one.id!r} otherwise."
            )
        there = {name: getattr(one, name) for name in FIELDS if getattr(one, name) is not None}
        rest = {name: part if name == "score" else part.to_dict() for name, part in there.items()}
        metadata.append(one.meta | {REST: rest} if rest else one.meta)
    return {
        "ids": [one.id for one in documents],
        "vectors": [one.embedding for one in documents],
        "texts": [one.content for one in documents],
        "metadata": metadata,
    }


def meta(one: Kept) -> dict[str, Any]:
    """The metadata that Haystack knows of."""
    return {name: value for name, value in one.metadata.items() if name != REST}


def document(one: Kept, with_embedding: bool, score: float | None = None) -> Document:
    """The document that a store holds, with the numbers that were given as its embedding."""
    fields = dict(one.metadata.get(REST, {}))
    if with_embedding and one.vector is not None:
        fields["embedding"] = one.vector.tolist()
    if score is not None:
        fields["score"] = score
    named = {"id": one.id, "content": one.text, "meta": meta(one)}
    return Document.from_dict(named | fields)


def where(filters: Filters) -> Where:
    """The store's filter for Haystack's; a function where it has none."""
    if not filters:
        return None
    document_matches_filter(filters, Document(id="none"))  # or in an empty store none would raise
    asked = _asked(filters)
    if asked is not None:
        return asked

    def test(one: Kept) -> bool:
        return bool(document_matches_filter(filters, document(one, False)))

    try:
        json.dumps(filters)
    except TypeError:  # other objects may look alike
        return test
    return Function(f"haystack {filters!r}", test)


def _asked(filters: Mapping[str, Any]) -> Filter | None:
    """What a store can be asked, None for what it cannot."""
    if "field" in filters:
        return _compared(filters["field"], filters["operator"], filters["value"])
    parts = [_asked(part) for part in filters["conditions"]]
    if None in parts:
        return None
    every = {"or" if filters["operator"] == "OR" else "and": parts}
    return {"not": every} if filters["operator"] == "NOT" else every


def _compared(name: str, op: str, value: Any) -> Filter | None:
    """Strings have an order, and some are equal, as dates: those are left to Haystack."""
    several = value if isinstance(value, list) else [value]
    texts = [one for one in several if isinstance(one, str)]
    if texts and (op not in ("==", "!=", "in", "not in") or any(one[4:5] == "-" for one in texts)):
        return None
    root, *keys = name.split(".")
    if root == "embedding":
        raise FilterError("documents of a VQDocumentStore are not filtered by their embeddings.")
    if root == "meta" and keys:
        return compared([root, *keys], op, value)
    if keys or root in ("meta", *FIELDS):
        return None
    own = {"id": "id", "content": "text"}
    return compared(own.get(root, ["meta", root]), op, value)
