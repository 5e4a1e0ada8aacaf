"""Whatever is kept comes back; whatever cannot be kept is refused, and nothing with it."""

import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vqindex.errors import DocumentError, DtypeError, IdError, NonFiniteError, ShapeError
from vqindex.store import Document, VectorStore
from vqindex.store.documents import _flat_json, is_odd

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    [
        "",
        "\x00",
        "'",
        '"',
        "'; DROP TABLE documents; --",
        "\U0010ffff",
        "\u2028",
        "a\x00b",
        "%s",
        "?",
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
numbers = st.floats(-1e10, 1e10) | st.floats(-1, 1, width=32)
documents = st.lists(
    st.tuples(
        words, st.none() | words, st.dictionaries(words, values, max_size=3),
        st.none() | st.lists(numbers, min_size=3, max_size=3),
    ), max_size=5, unique_by=lambda one: one[0],
)  # fmt: skip


def columns(several):
    return [list(column) for column in zip(*several, strict=True)] or [[], [], [], []]


def alike(a, b):
    """Equal, and of the same types all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(value, b[key]) for key, value in a.items())
    if isinstance(a, list):
        return len(a) == len(b) and all(map(alike, a, b))
    return a == b and (not isinstance(a, float) or math.copysign(1, a) == math.copysign(1, b))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(several=documents, again=st.booleans())
def test_round_trip(several, again):
    ids, texts, metadata, vectors = columns(several)
    with VectorStore() as store:
        if again:
            store.add(ids, texts=["old"] * len(ids))
        write = store.upsert if again else store.add
        assert write(ids, vectors, texts, metadata) == len(ids) == len(store)
        found = store.get(ids)
        assert [one.id for one in found] == ids == [one.id for one in store.documents()]
        assert [one.text for one in found] == texts
        for one, about, vector in zip(found, metadata, vectors, strict=True):
            assert alike(one.metadata, about)
            assert (None if one.vector is None else one.vector.tolist()) == vector
            assert one.id in store
        store.verify()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4", "u1", "i8"])
def test_vectors_come_back_as_they_were(dtype):
    x = np.array([[1, 2, 3], [100, 0, 7]]).astype(dtype)
    if dtype == "f8":
        x[0] += 0.1
    with VectorStore() as store:
        store.add(["a", "b"], x)
        found = np.stack([one.vector for one in store.get(["a", "b"])])
        np.testing.assert_array_equal(found.astype(dtype), x)
        assert store.get("b")[0].vector.dtype == np.float32


def test_half_precision_by_choice():
    with VectorStore(originals="f16") as store:
        store.add(["a"], [[0.1, 1000.0]])
        (found,) = store.get("a")
        assert found.vector.dtype == np.float16
        np.testing.assert_array_equal(found.vector, np.array([0.1, 1000.0], np.float16))
        with pytest.raises(NonFiniteError):
            store.add(["b"], [[1e6, 0]])


def test_large_things():
    text, deep = "x" * 2**20 + "\U0001f600", []
    for _ in range(90):
        deep = [deep]
    about = {"deep": deep, "wide": list(range(10_000)), "big": 10**4000}
    with VectorStore() as store:
        store.add(["a"], texts=[text], metadata=[about])
        (found,) = store.get("a")
        assert found == Document("a", text, about)


REFUSED = [
    (DtypeError, {"ids": [1]}), (DtypeError, {"ids": "ab"}), (DtypeError, {"ids": [b"a"]}),
    (DtypeError, {"ids": None}), (DocumentError, {"ids": ["\ud800"]}),
    (IdError, {"ids": ["new", "new"]}), (IdError, {"ids": ["new", "old"]}),
    (DtypeError, {"texts": [1, 2]}), (ShapeError, {"texts": ["a"]}), (DtypeError, {"texts": "ab"}),
    (DocumentError, {"texts": ["ok", "\udfff"]}), (ShapeError, {"metadata": [{}]}),
    (DtypeError, {"metadata": [{}, 1]}), (DtypeError, {"metadata": {"a": 1}}),
    (DocumentError, {"metadata": [{}, {"x": math.nan}]}),
    (DocumentError, {"metadata": [{}, {"x": [math.inf]}]}),
    (DocumentError, {"metadata": [{}, {1: 2}]}), (DocumentError, {"metadata": [{}, {"x": {1: 2}}]}),
    (DocumentError, {"metadata": [{}, {"x": {1, 2}}]}),
    (DocumentError, {"metadata": [{}, {"x": b""}]}),
    (DocumentError, {"metadata": [{}, {"x": np.float32(1)}]}),
    (DocumentError, {"metadata": [{}, {"\ud800": 1}]}),
    (DocumentError, {"metadata": [{}, {"x": 10**5000}]}),
    (NonFiniteError, {"vectors": [[1, 2], [math.nan, 1]]}),
    (NonFiniteError, {"vectors": [[1, 2], [1, math.inf]]}),
    (NonFiniteError, {"vectors": [[1, 2], [1e300, 1]]}),
    (NonFiniteError, {"vectors": [[1, 2], [1e30, 1]]}),
    (ShapeError, {"vectors": [[1, 2], [1, 2, 3]]}), (ShapeError, {"vectors": [[1, 2]]}),
    (ShapeError, {"vectors": [[1, 2, 3], [1, 2, 3]]}), (ShapeError, {"vectors": [1, 2]}),
    (ShapeError, {"vectors": [[], []]}), (DtypeError, {"vectors": [["a", "b"], ["c", "d"]]}),
    (DtypeError, {"vectors": [[1j, 2], [1, 2]]}), (ShapeError, {"vectors": [None, [1, 2, 3]]}),
    (ShapeError, {"vectors": [None]}),
    (DtypeError, {"vectors": "ab"}), (ShapeError, {"vectors": 3}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "error", "what"),
    [("add", *one) for one in REFUSED]
    + [("upsert", *one) for one in REFUSED if one[0] is not IdError],
)
def test_what_is_refused_changes_nothing(method, error, what):
    with VectorStore() as store:
        store.add(["old"], [[1, 2]], ["text"], [{"a": 1}])
        before, version = list(store.documents()), store.info()["version"]
        with pytest.raises(error) as caught:
            getattr(store, method)(**({"ids": ["x", "y"]} | what))
        assert len(str(caught.value)) < 400
        assert list(store.documents()) == before
        assert store.info()["version"] == version
        store.verify()


def test_too_deep():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with VectorStore() as store:
        with pytest.raises(DocumentError, match="100 deep"):
            store.add(["a"], metadata=[{"x": deep}])
        assert len(store) == 0
    while deep:  # or its end would recurse as deep
        deep = deep[0]


def test_what_callers_gave_is_left_alone():
    about, ids, vectors = [{"a": [1]}], ["a"], [[0.1, 0.2]]
    with VectorStore() as store:
        store.add(ids, vectors, ["t"], about)
        (found,) = store.get(ids)
        found.metadata["a"].append(2)
        assert store.get(ids)[0].metadata == {"a": [1]} == about[0]
    assert (ids, vectors) == (["a"], [[0.1, 0.2]])


def test_equality():
    with VectorStore() as store:
        store.add(["a"], [[1, 2]])
        (one,) = store.get("a")
    assert one == Document("a", None, {}, np.array([1.0, 2.0]))
    assert one != Document("a", None, {}, None)
    assert one != Document("a", None, {}, np.array([1.0, 3.0]))
    assert one != "a"


def test_metadata_of_many_escapes_take_time_by_their_length():
    """A megabyte of lines once took minutes to look through."""
    about = {"lines": "a line of text\n" * 70_000, "quoted": json.dumps(["x"] * 70_000)}
    with VectorStore() as store:
        store.add(["a"], metadata=[about])
        assert store.get("a")[0].metadata == about
    text = json.dumps(about)
    assert not is_odd(text)
    assert is_odd(text + json.dumps({"a\nb": 1}))
    assert not is_odd(json.dumps({"a": "b\\", "c": 'd":'}, separators=(",", ":")))


@settings(max_examples=300)
@given(about=st.dictionaries(words, values, max_size=3))
def test_odd_metadata_are_known(about):
    """A zero character, an escape in a key, and any number that is not exact in SQLite."""

    def odd(value):
        if isinstance(value, dict):
            return any("\\" in json.dumps(key, ensure_ascii=False) for key in value) or any(
                odd(part) for part in value.values()
            )
        if isinstance(value, list):
            return any(map(odd, value))
        if isinstance(value, str):
            return "\x00" in value
        if isinstance(value, float):
            return len(repr(value).lstrip("-").replace(".", "")) > 16 or "e" in repr(value)
        return isinstance(value, int) and abs(value) >= 2**63

    text = json.dumps(about, ensure_ascii=False, separators=(",", ":"))
    assert is_odd(text) >= odd(about)


flat = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | words
    | (st.sampled_from(["},\n{", ",\n", '"},{"', "\\n", "]", "}"]))
)


@given(st.lists(st.dictionaries(words | st.just("},\n{"), flat, max_size=3), max_size=4))
def test_flat_metadata_encoded_together_are_those_encoded_alone(several):
    finite = not any(value in (math.inf, -math.inf) for one in several for value in one.values())
    alone = [json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in several]
    assert _flat_json(several) == (alone if finite else None)
    assert _flat_json([*several, {"a": [1]}]) is None
