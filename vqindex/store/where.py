"""Filters: a small language as plain data, and what it means.

    {"field": "meta.year", "op": ">=", "value": 1999}
    {"and": [...]}   {"or": [...]}   {"not": {...}}

A field is "id", "text", or "meta." and the keys that lead to a value, or the same path as a list
where keys have dots in them: ["meta", "a.b"]. Values are of six kinds: null, bool, number, string,
array and object; values of different kinds are never equal, so true is not 1, while 1 equals 1.0.

    == !=         the same kind and equal, arrays and objects by what is in them
    < <= > >=     two numbers by size, or two strings by code points
    in, not in    equal to one of a list
    contains      a string has the value within, an array has an equal item
    exists        the field is there, as null too; with the value False, that it is not

A field that is not there equals nothing, so tests of it are false, `!=` and `not in` true: they are
exactly the opposites of `==` and `in`, and `not` of what is in it. An empty `and` is true, an empty
`or` false. A Python function from a Document to a bool may stand in place of a filter. It is asked
of every document at every search, for what it says may depend on anything; what a filter or a
`Function` lets pass is remembered until the store changes.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

from vqindex.errors import FilterError
from vqindex.store.documents import Document

OPS = ("==", "!=", ">", ">=", "<", "<=", "in", "not in", "contains", "exists")
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip
DEEPEST = 100
_MISSING: Any = object()


@final
@dataclass(frozen=True)
class Test:
    """One comparison; path is ("id",), ("text",) or ("meta", key, ...)."""

    path: tuple[str, ...]
    op: str
    value: Any


@final
@dataclass(frozen=True)
class Group:
    """All of the parts, or any; `word` is "and" or "or"."""

    word: str
    parts: tuple["Node", ...]


@final
@dataclass(frozen=True)
class Not:
    """The opposite."""

    part: "Node"


Node = Test | Group | Not


@final
@dataclass(frozen=True)
class Function:
    """A function of documents that always says the same of the same document.

    name  that no other such function of the process has
    """

    name: str
    test: Callable[[Document], bool]

    def __call__(self, document: Document) -> bool:
        return self.test(document)


def parse(where: Any, depth: int = 0) -> Node:
    """A filter, checked; FilterError says what is wrong with it."""
    if depth > DEEPEST:
        raise FilterError(f"a filter must be nested at most {DEEPEST} deep.")
    if not isinstance(where, Mapping):
        raise FilterError(f"a filter must be a dict or a function of a Document, got {where!r}.")
    names = set(where)
    if names in ({"and"}, {"or"}):
        word = "and" if "and" in names else "or"
        parts = where[word]
        if not isinstance(parts, list | tuple):
            raise FilterError(f"{word!r} needs a list of filters, got {parts!r}.")
        return Group(word, tuple(parse(part, depth + 1) for part in parts))
    if names == {"not"}:
        return Not(parse(where["not"], depth + 1))
    if not {"field", "op"} <= names <= {"field", "op", "value"}:
        raise FilterError(
            'a filter is {"field": ..., "op": ..., "value": ...}, or has "and", "or" or "not" '
            f"alone; got the keys {sorted(map(str, names))}."
        )
    return _test(where)


def _test(where: Mapping[Any, Any]) -> Test:
    path, op = field_path(where["field"]), where["op"]
    if op not in OPS:
        raise FilterError(f"op must be one of {', '.join(OPS)}, got {op!r}.")
    if "value" not in where and op != "exists":
        raise FilterError(f"{op!r} needs a value.")
    value = where.get("value", True)
    _check(value, 0)
    if op in ORDERS and kind(value) not in ("number", "string"):
        raise FilterError(f"{op!r} needs a number or a string, got {value!r}.")
    if op in ("in", "not in") and not isinstance(value, list | tuple):
        raise FilterError(f"{op!r} needs a list, got {value!r}.")
    if op == "exists" and not isinstance(value, bool):
        raise FilterError(f"'exists' needs true or false, got {value!r}.")
    return Test(path, op, value)


def field_path(field: Any) -> tuple[str, ...]:
    """The path that a field names, given as "meta.a.b" or as a list of its parts."""
    path = tuple(field.split(".")) if isinstance(field, str) else field
    if (
        isinstance(path, list | tuple)
        and all(isinstance(part, str) for part in path)
        and (tuple(path) in (("id",), ("text",)) or (len(path) > 1 and path[0] == "meta"))
    ):
        return tuple(path)
    raise FilterError(f'a field is "id", "text" or "meta." and a key, got {field!r}.')


def _check(value: Any, depth: int) -> None:
    """Refuse what JSON has no form for."""
    if depth > DEEPEST:
        raise FilterError(f"a filter's value must be nested at most {DEEPEST} deep.")
    if isinstance(value, list | tuple):
        for part in value:
            _check(part, depth + 1)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            if not isinstance(key, str):
                raise FilterError(f"a filter's objects must have strings as keys, got {key!r}.")
            _check(part, depth + 1)
    elif value is not None and not isinstance(value, str | bool | int | float):
        raise FilterError(f"a filter's value must be of JSON's types, got {value!r}.")
    elif value != value or value in (float("inf"), float("-inf")):
        raise FilterError(f"a filter's value must be finite, got {value}.")


def kind(value: Any) -> str:
    """Which of the six kinds a value is of."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, Mapping) else "array"


def equal(a: Any, b: Any) -> bool:
    """Whether two values are of one kind and equal."""
    of = kind(a)
    if of != kind(b):
        return False
    if of == "array":
        return len(a) == len(b) and all(map(equal, a, b))
    if of == "object":
        return a.keys() == b.keys() and all(equal(value, b[key]) for key, value in a.items())
    return bool(a == b)


def matches(where: Any, document: Document) -> bool:
    """Whether a document passes a filter, or a function of documents."""
    return bool(where(document)) if callable(where) else holds(parse(where), document)


def holds(node: Node, document: Document) -> bool:
    """Whether a document passes a filter that has been parsed."""
    if isinstance(node, Not):
        return not holds(node.part, document)
    if isinstance(node, Group):
        together = all if node.word == "and" else any
        return together(holds(part, document) for part in node.parts)
    found, op, value = _value(node.path, document), node.op, node.value
    if op == "exists":
        return (found is not _MISSING) is value
    if op in ("!=", "not in"):
        return not holds(Test(node.path, "==" if op == "!=" else "in", value), document)
    if found is _MISSING:
        return False
    if op == "==":
        return equal(found, value)
    if op == "in":
        return any(equal(found, one) for one in value)
    if op == "contains":
        if isinstance(found, str):
            return isinstance(value, str) and value in found
        return isinstance(found, list) and any(equal(one, value) for one in found)
    return kind(found) == kind(value) != "bool" and ORDERS[op](found, value)


def _value(path: tuple[str, ...], document: Document) -> Any:
    if path == ("id",):
        return document.id
    if path == ("text",):
        return _MISSING if document.text is None else document.text
    found: Any = document.metadata
    for key in path[1:]:
        if not isinstance(found, Mapping) or key not in found:
            return _MISSING
        found = found[key]
    return found
