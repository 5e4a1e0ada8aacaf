"""Filters as SQL. No text of a filter is ever part of a statement: all of it is bound.

Rows whose metadata SQLite might read otherwise than Python (`odd`) are left to a function of
Python's, which also takes filters whose values SQLite might read otherwise. So a filter means the
same everywhere, and is fast where it can be.
"""

import json
from collections.abc import Mapping
from typing import Any

from vqindex.store.documents import is_odd
from vqindex.store.where import Group, Node, Not, Test, kind

LARGEST = 200  # parts of a filter that is asked in SQL, whose expressions have limits
DEEPEST = 16  # ... and its levels: parsers of SQL have a stack of 100
Sql = tuple[str, list[Any]]
Fields = Mapping[tuple[str, ...], int]  # indexed fields and their numbers
_TYPES = {"bool": ("true", "false"), "number": ("integer", "real"), "string": ("text",)}


class _NotSql(Exception):
    """A filter that SQLite cannot be asked."""


def rows(node: Node, text: str, fields: Fields) -> Sql:
    """A statement for the rows that pass a filter, whose JSON text is also given."""
    try:
        if _size(node) > LARGEST or _depth(node) > DEEPEST:
            raise _NotSql
        test, values = _sql(node, fields)
    except _NotSql:
        return f"SELECT row FROM documents WHERE {_BY_PYTHON} ORDER BY row", [text]
    return (
        f"SELECT row FROM documents WHERE NOT odd AND ({test}) UNION ALL "
        f"SELECT row FROM documents WHERE odd AND {_BY_PYTHON} ORDER BY row"
    ), [*values, text]


_BY_PYTHON = "passes(id, text, metadata, ?)"


def _size(node: Node) -> int:
    if isinstance(node, Group):
        return 1 + sum(map(_size, node.parts))
    return 1 + _size(node.part) if isinstance(node, Not) else 1


def _depth(node: Node) -> int:
    if isinstance(node, Group):
        return 1 + max(map(_depth, node.parts), default=0)
    return 1 + _depth(node.part) if isinstance(node, Not) else 1


def _sql(node: Node, fields: Fields) -> Sql:
    """A test that is 0 or 1, never null."""
    if isinstance(node, Not):
        test, values = _sql(node.part, fields)
        return f"NOT ({test})", values
    if isinstance(node, Group):
        parts = [_sql(part, fields) for part in node.parts]
        if not parts:
            return ("1" if node.word == "and" else "0"), []
        joined = f" {node.word.upper()} ".join(f"({test})" for test, _ in parts)
        return joined, [value for _, some in parts for value in some]
    if node.op in ("!=", "not in"):
        test, values = _sql(Test(node.path, {"!=": "=="}.get(node.op, "in"), node.value), fields)
        return f"NOT ({test})", values
    if node.op == "in":
        same = Group("or", tuple(Test(node.path, "==", one) for one in node.value))
        return _sql(same, fields) if len(node.value) < 8 else _in(node)
    if node.path == ("id",) or node.path == ("text",):
        return _column(node)
    if node.path in fields and node.op not in ("contains", "exists"):
        return _indexed(node, fields[node.path])
    return _metadata(node)


def _column(node: Test) -> Sql:
    """A test of an id or a text, which is a string or missing."""
    (name,), op, value = node.path, node.op, node.value
    if op == "exists":
        return f"({name} IS NOT NULL) = ?", [value]
    if not isinstance(value, str):
        return "0", []
    if op == "contains":
        return f"ifnull(instr(CAST({name} AS BLOB), CAST(? AS BLOB)), 0) > 0", [value]
    return f"ifnull({name} {op} ?, 0)", [value]


def _indexed(node: Test, field: int) -> Sql:
    """A test of a field that has an index: by numbers and kinds, see `Field` rows."""
    of = kind(node.value)
    if of not in _KINDS:
        raise _NotSql
    test = f"row IN (SELECT row FROM fields WHERE field = ? AND kind = ? AND value {node.op} ?)"
    return test, [field, *entry(_plain(node.value))]


_KINDS = {"null": 0, "bool": 1, "number": 2, "string": 3}


def entry(value: Any) -> tuple[int, Any]:
    """The kind and the value of a field, as an index holds them; -1 for what it cannot hold."""
    of = _KINDS.get(kind(value), -1)
    return of, 0 if of < 1 else value


def _metadata(node: Test) -> Sql:
    """A test of a value in metadata."""
    path, op, value = _json_path(node.path), node.op, node.value
    if op == "exists":
        return "(json_type(metadata, ?) IS NOT NULL) = ?", [path, value]
    if op == "contains":
        return _contains(path, value)
    of = kind(_plain(value))
    if of == "null":
        return "json_type(metadata, ?) IS 'null'", [path]
    if of == "bool":
        return "json_type(metadata, ?) IS ?", [path, _TYPES["bool"][not value]]
    if of not in _TYPES:
        raise _NotSql
    types = ", ".join(f"'{name}'" for name in _TYPES[of])
    right = "?" if of == "string" else "json_extract(?, '$')"
    test = (
        f"ifnull(json_type(metadata, ?), '') IN ({types}) "
        f"AND json_extract(metadata, ?) {op} {right}"
    )
    return test, [path, path, value if of == "string" else json.dumps(value)]


def _contains(path: str, value: Any) -> Sql:
    of = kind(_plain(value))
    if of in ("array", "object"):
        raise _NotSql
    item, values = _item(value)
    test = (
        "json_type(metadata, ?) IS 'array' AND EXISTS "
        f"(SELECT 1 FROM json_each(metadata, ?) WHERE {item})"
    )
    if of != "string":
        return test, [path, path, *values]
    within = "json_type(metadata, ?) IS 'text' AND instr(json_extract(metadata, ?), ?) > 0"
    return f"({test}) OR ({within})", [path, path, *values, path, path, value]


def _item(value: Any) -> Sql:
    """A test of an item of json_each."""
    of = kind(value)
    if of == "null":
        return "type = 'null'", []
    if of == "bool":
        return "type = ?", [_TYPES["bool"][not value]]
    if of == "string":
        return "type = 'text' AND value = ?", [value]
    return "type IN ('integer', 'real') AND value = json_extract(?, '$')", [json.dumps(value)]


def _in(node: Test) -> Sql:
    """One of many strings, or of many numbers; other lists are taken one by one."""
    kinds = {kind(_plain(value)) for value in node.value}
    if len(kinds) != 1 or not kinds <= {"string", "number"}:
        raise _NotSql
    values = json.dumps(list(node.value), ensure_ascii=False)
    many = "(SELECT value FROM json_each(?))"
    if node.path[0] != "meta":
        return (
            (f"ifnull({node.path[0]} IN {many}, 0)", [values]) if kinds == {"string"} else ("0", [])
        )
    path = _json_path(node.path)
    types = ", ".join(f"'{name}'" for name in _TYPES[kinds.pop()])
    test = (
        f"ifnull(json_type(metadata, ?), '') IN ({types}) AND json_extract(metadata, ?) IN {many}"
    )
    return test, [path, path, values]


def _json_path(path: tuple[str, ...]) -> str:
    """SQLite's name of a path; it knows no escapes in keys, so rows that have some are odd."""
    if any(not key or '"' in key or "\\" in key or min(key) < " " for key in path[1:]):
        raise _NotSql
    return "$" + "".join(f'."{key}"' for key in path[1:])


def _plain(value: Any) -> Any:
    """A value that SQLite reads as Python does."""
    if kind(value) in ("string", "number"):
        try:
            text = json.dumps([value], ensure_ascii=False)
            text.encode()
        except ValueError:
            raise _NotSql from None
        if is_odd(text):
            raise _NotSql
    return value
