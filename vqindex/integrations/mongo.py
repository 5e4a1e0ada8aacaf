"""Filters in the language of MongoDB, which LangChain's stores share, as filters of a store.

    {"year": {"$gte": 1999, "$lt": 2010}, "$or": [{"genre": "drama"}, {"cast.lead": "Ada"}]}

A field is a key of metadata, or the keys that lead to a value with dots between them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from vqindex.errors import FilterError

_TESTS = {
    "$eq": "==", "$ne": "!=", "$neq": "!=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<=",
    "$in": "in", "$nin": "not in", "$contains": "contains", "$exists": "exists",
}  # fmt: skip


def parse(filter: Any) -> dict[str, Any]:
    """The store's filter for one of MongoDB's; FilterError says what is wrong with it."""
    if not isinstance(filter, Mapping):
        raise FilterError(f"a filter must be a dict or a function of a Document, got {filter!r}.")
    return {"and": [test for key, value in filter.items() for test in _tests(key, value)]}


def _tests(key: Any, value: Any) -> Iterator[dict[str, Any]]:
    if key in ("$and", "$or"):
        if not isinstance(value, list | tuple):
            raise FilterError(f"{key} needs a list of filters, got {value!r}.")
        yield {key[1:]: [parse(part) for part in value]}
    elif key == "$not":
        yield {"not": parse(value)}
    elif not isinstance(key, str) or key.startswith("$"):
        raise FilterError(f"a filter has fields, $and, $or and $not for keys, got {key!r}.")
    elif isinstance(value, Mapping) and value:
        for name, wanted in value.items():
            yield _test(key, name, wanted)
    else:
        yield _test(key, "$eq", value)


def _test(field: str, name: Any, value: Any) -> dict[str, Any]:
    if name == "$not":
        return {"not": {"and": list(_tests(field, value))}}
    if name not in _TESTS:
        raise FilterError(f"{field} is tested by {', '.join(_TESTS)} or $not, got {name!r}.")
    return {"field": f"meta.{field}", "op": _TESTS[name], "value": value}
