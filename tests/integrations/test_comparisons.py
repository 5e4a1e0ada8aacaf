"""Filters that compare as Python does, beside Python."""

import operator

from hypothesis import given
from hypothesis import strategies as st

from vqindex.integrations.comparisons import compared
from vqindex.store import Document, matches

NUMBERS = st.sampled_from([0, 1, -1, 0.0, 1.0, 0.5, 2**70, -1e300])
PLAIN = st.one_of(st.none(), st.booleans(), NUMBERS, st.sampled_from(["", "a", "b", "1"]))
METAS = st.one_of(
    st.just({}),
    st.builds(lambda value: {"a": value}, st.one_of(PLAIN, st.lists(PLAIN, max_size=2))),
)
PYTHONS = {
    "==": operator.eq, "!=": operator.ne, "in": lambda a, b: a in b,
    "not in": lambda a, b: a not in b,
}  # fmt: skip
ORDERS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


def in_order(op, found, value):
    try:
        return ORDERS[op](found, value)
    except TypeError:
        return False


@given(metadata=METAS, op=st.sampled_from([*PYTHONS]), values=st.lists(PLAIN, max_size=4))
def test_equality_is_pythons(metadata, op, values):
    wanted = [values] if "in" in op else values
    for value in wanted:
        where = compared("meta.a", op, value)
        assert where is not None
        assert matches(where, Document("", metadata=metadata)) is PYTHONS[op](
            metadata.get("a"), value
        )


@given(metadata=METAS, op=st.sampled_from([*ORDERS]), value=PLAIN)
def test_order_is_pythons_where_there_is_one(metadata, op, value):
    where = compared(["meta", "a"], op, value)
    if value is None:
        assert where is None
    else:
        found = metadata.get("a")
        assert matches(where, Document("", metadata=metadata)) is in_order(op, found, value)


def test_what_a_store_cannot_be_asked():
    assert compared("meta.a", "==", [1]) is None
    assert compared("meta.a", "in", "ab") is None
    assert compared("meta.a", "==", {"b": 1}) is None
    assert compared("meta.a", ">", float("nan")) is None
    assert compared("meta.a", "~", 1) is None
