"""LlamaIndex's filters as a store's."""

from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.vector_stores.types import FilterCondition, MetadataFilter, MetadataFilters
from llama_index.core.vector_stores.utils import build_metadata_filter_fn

from vqindex.integrations.comparisons import Filter, compared
from vqindex.store import Document
from vqindex.store.where import Function

_OPS = {op: op for op in ("==", "!=", ">", "<", ">=", "<=", "in")} | {"nin": "not in"}
Where = Filter | Callable[[Document], bool] | None


def where(
    filters: MetadataFilters | None,
    ids: Sequence[str] | None = None,
    ref_doc_ids: Sequence[str] | None = None,
) -> Where:
    """The store's filter for LlamaIndex's and for ids; a function where it has none."""
    tests = [
        compared(field, "in", list(some))
        for field, some in (("id", ids), (["meta", "ref_doc_id"], ref_doc_ids))
        if some is not None
    ]
    if filters is None or not filters.filters:
        return {"and": tests} if tests else None
    asked = _asked(filters)
    if asked is not None:
        return {"and": [asked, *tests]}
    own = _function(filters)
    few = None if ids is None else set(ids)
    of = None if ref_doc_ids is None else set(ref_doc_ids)

    def test(one: Document) -> bool:
        return (
            (few is None or one.id in few)
            and (of is None or one.metadata.get("ref_doc_id") in of)
            and own(one)
        )

    return Function(f"llama_index {filters!r} {tests!r}", test)


def _asked(filters: MetadataFilters | MetadataFilter) -> Filter | None:
    """What a store can be asked, None for what it cannot."""
    if isinstance(filters, MetadataFilter):
        op = _OPS.get(filters.operator.value)
        if op is None or filters.value is None:
            return None
        return compared(["meta", filters.key], op, filters.value)
    parts = [_asked(part) for part in filters.filters]
    if None in parts:
        return None
    if not parts:  # hold, whatever joins them
        return {"and": []}
    word = "and" if filters.condition in (None, FilterCondition.AND) else "or"
    return {"not": {"or": parts}} if filters.condition == FilterCondition.NOT else {word: parts}


def _function(filters: MetadataFilters | MetadataFilter) -> Callable[[Document], bool]:
    """By LlamaIndex's own function for each filter, of which it takes no nested ones."""
    if isinstance(filters, MetadataFilter):
        alone = MetadataFilters(filters=[filters])
        own: Callable[[Any], bool] = build_metadata_filter_fn(lambda one: one.metadata, alone)
        return own
    parts = [_function(part) for part in filters.filters]
    if filters.condition == FilterCondition.NOT:
        return lambda one: not any(part(one) for part in parts)
    together = any if parts and filters.condition == FilterCondition.OR else all
    return lambda one: together(part(one) for part in parts)
