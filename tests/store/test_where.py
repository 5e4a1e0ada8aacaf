"""What filters mean, and that the database means the same."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vqindex.errors import FilterError
from vqindex.store import Document, VectorStore, matches, sql
from vqindex.store.where import OPS, Function, parse

EDGES = [
    0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**30, 10**30 + 1,
    0.0, -0.0, 0.1, 0.1 + 0.2, 1.0, 1e15, 1e16, 1e22, 1e23, 5e-324, 1.7976931348623157e308,
    3.0000000000000004, 1 / 3, 9007199254740993.0,
    True, False, None, "", "a", "A", "true", "null", "1", "é", "\U0001f600", "\x00", "a\x00b", "a",
    '"', "\\", "'", "'; DROP TABLE documents; --", "%", "_", "\n", "\u2028", "ab",
]  # fmt: skip
KEYS = ["k", "a.b", "", "é", 'q"', "b\\", "'", "\x00", "\n", "$", "[0]", "k k"]
scalars = (
    st.sampled_from(EDGES) | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=5,
)  # fmt: skip
metadata = st.dictionaries(st.sampled_from(KEYS), values, max_size=4)
fields = (
    st.sampled_from(["id", "text", "meta.k", "meta.k.k"])
    | st.lists(st.sampled_from(KEYS), min_size=1, max_size=2).map(lambda keys: ["meta", *keys])
)  # fmt: skip


def test_of(field, op, value):
    return {"field": field, "op": op, "value": value}


tests = (
    st.builds(test_of, fields, st.sampled_from(["==", "!=", "contains"]), values)
    | st.builds(test_of, fields, st.sampled_from(["<", "<=", ">", ">="]),
                scalars.filter(lambda v: v is not None and not isinstance(v, bool)))
    | st.builds(test_of, fields, st.sampled_from(["in", "not in"]), st.lists(values, max_size=3))
    | st.builds(test_of, fields, st.sampled_from(["in", "not in"]), st.lists(scalars, max_size=12))
    | st.builds(test_of, fields, st.just("exists"), st.booleans())
)  # fmt: skip
filters = st.recursive(
    tests,
    lambda inner: (
        st.builds(lambda parts: {"and": parts}, st.lists(inner, max_size=3))
        | st.builds(lambda parts: {"or": parts}, st.lists(inner, max_size=3))
        | st.builds(lambda part: {"not": part}, inner)
    ),
    max_leaves=5,
)
test_of.__test__ = False


@pytest.mark.parametrize("indexed", [False, True])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    about=st.lists(metadata, min_size=1, max_size=6),
    wheres=st.lists(filters, min_size=1, max_size=4),
)
def test_the_database_means_what_python_means(indexed, about, wheres):
    texts = [None if i % 3 == 0 else EDGES[-1 - i] for i in range(len(about))]
    with VectorStore() as store:
        if indexed:
            for key in KEYS:
                store.index_field(["meta", key])
        store.add([f"d{i}" for i in range(len(about))], texts=texts, metadata=about)
        everything = list(store.documents())
        for where in wheres:
            wanted = [one.id for one in everything if matches(where, one)]
            assert [one.id for one in store.documents(where)] == wanted
            assert store.count(where) == len(wanted)


DOCUMENT = Document("d1", "some text", {
    "year": 1999, "score": 0.5, "ok": True, "none": None, "name": "abc", "tags": ["a", 1, None],
    "in": {"deep": [1, {"x": 2}]}, "a.b": 7, "big": 10**40,
})  # fmt: skip


@pytest.mark.parametrize(("field", "op", "value", "passes"), [
    ("meta.year", "==", 1999, True), ("meta.year", "==", 1999.0, True),
    ("meta.year", "==", "1999", False), ("meta.year", ">", 1998.5, True),
    ("meta.ok", "==", True, True), ("meta.ok", "==", 1, False), ("meta.ok", ">=", 0, False),
    ("meta.none", "==", None, True), ("meta.gone", "==", None, False),
    ("meta.none", "exists", True, True), ("meta.gone", "exists", True, False),
    ("meta.gone", "exists", False, True), ("meta.gone", "!=", 1, True),
    ("meta.gone", "<", 1, False), ("meta.gone", "not in", [1], True),
    ("meta.gone", "in", [1], False),
    ("meta.name", ">", "abb", True), ("meta.name", ">", 1, False),
    ("meta.name", "contains", "bc", True),
    ("meta.name", "contains", 1, False), ("meta.name", "contains", "", True),
    ("meta.tags", "contains", 1, True), ("meta.tags", "contains", True, False),
    ("meta.tags", "contains", None, True), ("meta.tags", "==", ["a", 1, None], True),
    ("meta.tags", "==", ["a", True, None], False), ("meta.in", "==", {"deep": [1, {"x": 2}]}, True),
    ("meta.in.deep", "contains", {"x": 2.0}, True), ("meta.in.deep.0", "exists", True, False),
    ("meta.a.b", "exists", True, False), (["meta", "a.b"], "==", 7, True),
    ("meta.big", "==", 10**40, True), ("meta.big", "==", 10**40 + 1, False),
    ("meta.big", "<", 10**40 + 1, True), ("meta.big", "in", [10**40], True),
    ("id", "==", "d1", True), ("id", "in", ["d1", "d2"], True), ("id", "<", "d2", True),
    ("text", "contains", "me te", True), ("text", "==", None, False), ("text", "!=", None, True),
    ("text", "exists", True, True), ("id", "==", 1, False),
])  # fmt: skip
def test_what_tests_mean(field, op, value, passes):
    where = {"field": field, "op": op, "value": value}
    with VectorStore() as store:
        store.add([DOCUMENT.id], texts=[DOCUMENT.text], metadata=[DOCUMENT.metadata])
        assert (matches(where, DOCUMENT), store.count(where)) == (passes, int(passes))
        assert (matches({"not": where}, DOCUMENT), store.count({"not": where})) == (
            not passes, int(not passes),
        )  # fmt: skip


@pytest.mark.parametrize("where", [
    1, "x", [], {}, {"field": "meta.a"}, {"field": "meta.a", "op": "=="},
    {"field": "meta.a", "op": "=", "value": 1}, {"field": "a", "op": "==", "value": 1},
    {"field": "meta", "op": "==", "value": 1}, {"field": ["meta", 1], "op": "==", "value": 1},
    {"field": "meta.a", "op": "<", "value": None}, {"field": "meta.a", "op": "<", "value": [1]},
    {"field": "meta.a", "op": "<", "value": True}, {"field": "meta.a", "op": "in", "value": 1},
    {"field": "meta.a", "op": "exists", "value": 1}, {"and": {}}, {"and": [], "or": []},
    {"field": "meta.a", "op": "==", "value": float("nan")}, {"not": []},
    {"field": "meta.a", "op": "==", "value": {1, 2}}, {"field": "meta.a", "op": "==", "value": b""},
    {"field": "meta.a", "op": "==", "value": 1, "more": 2},
    {"field": "meta.a", "op": "in", "value": [float("inf")]},
    {"field": "meta.a", "op": [], "value": 1}, {"field": "meta.a", "op": "==", "value": {1: 2}},
])  # fmt: skip
def test_what_is_no_filter(where):
    with VectorStore() as store:
        with pytest.raises(FilterError):
            store.count(where)
        with pytest.raises(FilterError):
            store.remove(where=where)
        with pytest.raises(FilterError):
            store.search([1.0], where=where)


def test_wide_and_deep_filters():
    one = {"field": "meta.n", "op": "==", "value": 3}
    deep, many = one, {"or": [one | {"value": i} for i in range(5000)]}
    for _ in range(30):
        deep = {"not": {"not": {"and": [deep]}}}
    with VectorStore() as store:
        store.add(list("abcdef"), metadata=[{"n": i} for i in range(6)])
        assert [d.id for d in store.documents(deep)] == ["d"]
        assert store.count(many) == 6
        assert store.count(one | {"op": "in", "value": list(range(2, 100_000))}) == 4
        for _ in range(3000):
            deep = {"not": deep}
        with pytest.raises(FilterError, match="100"):
            store.count(deep)


@pytest.mark.parametrize("fields", [{}, {("meta", "secret"): 31337}])
def test_nothing_of_a_filter_is_in_a_statement(fields):
    """What is asked for is bound, in whatever test and whatever field."""
    lists = ["secret"] * 9, [31337] * 9, [313.37] * 9, ["secret", 31337, None, True]
    values = "secret", "secret' OR 1 --", 31337, 313.37, True, None, *lists, {"secret": 31337}
    asked = 0
    for field in ["id"], ["text"], ["meta", "secret"], ["meta", "secret'"], ["meta", 'secret"']:
        for op in OPS:
            for value in values:
                where = {"field": field, "op": op, "value": value}
                try:
                    node = parse({"not": {"or": [where, where]}})
                except FilterError:
                    continue
                statement, bound = sql.rows(node, json.dumps(where), fields)
                assert "secret" not in statement.lower()
                assert "313" not in statement
                assert statement.count("?") == len(bound)
                asked += 1
    assert asked > 250


def test_injection():
    nasty = ["'; DROP TABLE documents; --", '"); DELETE FROM documents; --', "') OR 1=1 --"]
    with VectorStore() as store:
        store.add(nasty, texts=nasty, metadata=[{one: one} for one in nasty])
        for one in nasty:
            for field in ["id"], ["text"], ["meta", one]:
                assert store.count({"field": field, "op": "==", "value": one}) == 1
        assert len(store) == 3


def test_a_function_in_place_of_a_filter():
    with VectorStore() as store:
        store.add(["a", "b", "c"], [[1, 0], [0, 1], None], metadata=[{"x": 1}, {"x": 2}, {"x": 3}])
        odd = lambda one: one.metadata["x"] % 2 == 1  # noqa: E731
        assert [one.id for one in store.documents(odd)] == ["a", "c"]
        assert [hit.document.id for hit in store.search([0, 1], where=odd)] == ["a"]
        assert store.remove(where=odd) == 2
        with pytest.raises(ZeroDivisionError):
            store.remove(where=lambda one: 1 // 0)
        assert len(store) == 1


def test_rows_with_exact_numbers_only_are_asked_in_sql(monkeypatch):
    """Ordinary metadata never come to Python's filter, which would be slow."""
    from vqindex.store import database

    def fail(*_):
        raise AssertionError

    monkeypatch.setattr(database, "_passes", fail)
    about = {"year": 1999, "time": 1_700_000_000_123_456_789, "score": 0.25, "name": "\" \n c",
             "id": "550e8400-e29b-41d4-a716-446655440000", "tags": ["x", "1e5"], "none": None,
    }  # fmt: skip
    with VectorStore() as store:
        store.add(["a"], metadata=[about])
        for key, value in about.items():
            if key != "tags":
                assert store.count({"field": f"meta.{key}", "op": "==", "value": value}) == 1
        assert store.count({"field": "meta.tags", "op": "contains", "value": "1e5"}) == 1
        assert store.count({"field": "meta.year", "op": "in", "value": list(range(3000))}) == 1


def test_what_a_function_lets_pass_is_remembered_if_it_says_so():
    asked = []

    def odd(document):
        asked.append(document.id)
        return document.metadata["i"] % 2 == 1

    with VectorStore() as store:
        store.add([f"d{i}" for i in range(9)], np.eye(9), metadata=[{"i": i} for i in range(9)])
        for where, times in ((odd, 18), (Function("odd", odd), 9)):
            asked.clear()
            for i in (1, 2):
                hits = store.search(np.eye(9)[i], 9, where)
                assert sorted(hit.document.id for hit in hits) == ["d1", "d3", "d5", "d7"]
            assert len(asked) == times
        assert len(store.search(np.eye(9)[0], 9, Function("even", lambda one: not odd(one)))) == 5
        store.add(["d9"], np.eye(9)[:1], metadata=[{"i": 9}])
        assert len(store.search(np.eye(9)[0], 9, Function("odd", odd))) == 5
