import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vqindex import arrays
from vqindex.errors import DtypeError, IdError, NonFiniteError, ShapeError, SpecError

X = np.arange(12, dtype=np.float32).reshape(4, 3)
IDS = np.array([7, 3, 9, 5])


class Tensor:
    """Stands for a tensor of another library on the CPU: converted by `__array__` alone."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        if isinstance(self.values, Exception):
            raise self.values
        return self.values


class File:
    """Stands for a dataset in a file: sliced by rows, never read whole if it has two axes."""

    def __init__(self, values, shape=None):
        self.values, self.shape, self.dtype = values, shape or values.shape, values.dtype
        self.read = []

    def __getitem__(self, rows):
        part = self.values[rows]
        self.read.append(len(part))
        return part

    def __array__(self, dtype=None, copy=None):
        assert len(self.shape) == 1
        return self.values


class Subclass(np.ndarray):
    pass


def forms_of_x():
    big = np.zeros((8, 6), np.float32)
    big[::2, ::2] = X
    raw = bytearray(1 + X.nbytes)
    unaligned = np.frombuffer(raw, np.uint8)[1:].view(np.float32).reshape(4, 3)
    unaligned[:] = X
    yield from (X, X.tolist(), tuple(map(tuple, X.tolist())), list(X))
    yield from (X.astype(t) for t in "bBhHiIlLqQefdg")
    yield from (X.astype(">f4"), X.astype(">f8"), X.astype(">i2"), np.asfortranarray(X))
    yield from (big[::2, ::2], X[::-1].copy()[::-1], unaligned, X.view(Subclass))
    yield from (np.ma.array(X), Tensor(X), Tensor(X.astype(int)), File(X), File(X.astype(float)))


@pytest.mark.parametrize("x", list(forms_of_x()))
def test_every_real_array_like_becomes_the_same_float32_rows(x):
    rows = arrays.vectors(x)
    assert (rows.n, rows.dim) == (4, 3)
    rows.check()
    for size in (1, 3, 4, 99):
        starts, chunks = zip(*rows.chunks(size), strict=True)
        assert list(starts) == list(range(0, 4, size))
        for chunk in chunks:
            assert type(chunk) is np.ndarray
            assert chunk.dtype == np.float32
            assert chunk.dtype.isnative
            flags = chunk.flags
            assert flags.c_contiguous and flags.aligned and flags.writeable  # noqa: PT018
        np.testing.assert_array_equal(np.concatenate(chunks), X)


@given(
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.uint8, np.bool_]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    ),
    st.integers(1, 10),
)
def test_finite_values_are_rounded_to_float32_and_the_input_is_untouched(x, size):
    before = x.tobytes()
    with np.errstate(all="ignore"):
        want = x.astype(np.float32)
    bad = np.argwhere(~np.isfinite(want))
    if len(bad):
        with pytest.raises(NonFiniteError, match=f"row {bad[0][0]}, column {bad[0][1]}:"):
            arrays.vectors(x).check()
    else:
        got = [chunk for _, chunk in arrays.vectors(x).chunks(size)]
        np.testing.assert_array_equal(np.concatenate(got), want)
    assert x.tobytes() == before


def test_plain_float32_is_never_copied_unless_kernels_would_see_it_as_read_only():
    x = X.copy()
    assert np.shares_memory(arrays.vectors(x).chunk(1, 3), x)
    assert np.shares_memory(arrays.queries(x, 3)[0], x)
    assert np.shares_memory(arrays.queries(x[1], 3)[0], x)
    x.flags.writeable = False
    assert arrays.vectors(x).chunk(0, 4).flags.writeable


def test_a_file_is_read_by_slices(monkeypatch):
    monkeypatch.setattr(arrays, "_CHECKED_AT_ONCE", 6)
    file = File(X.astype(np.float64))
    rows = arrays.vectors(file)
    assert file.read == []
    rows.check()
    assert file.read == [2, 2]


def test_hdf5_and_mapped_files(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        rows = arrays.vectors(file.create_dataset("x", data=X))
        assert type(rows.source) is h5py.Dataset
        rows.check()
        np.testing.assert_array_equal(rows.chunk(1, 3), X[1:3])
        array, single = arrays.queries(file.create_dataset("q", data=X[0]), 3)
        assert single
        np.testing.assert_array_equal(array, X[:1])
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(arrays.vectors(mapped).chunk(0, 4), X)


def test_no_rows():
    rows = arrays.vectors(np.empty((0, 5)))
    assert list(rows.chunks(8)) == []
    assert rows.chunk(0, 8).shape == (0, 5)


@pytest.mark.parametrize(
    "x",
    [
        *(X.astype(t) for t in (complex, object, str, bytes, "M8[s]", "m8[s]", "V4")),
        *(
            [[1.0, None]],
            [["1", "2"]],
            None,
            {(1.0, 2.0)},
            iter([[1.0]]),
            np.zeros((2, 2), "f4,f4"),
        ),
        *(File(X.astype(complex)), Tensor(TypeError("on a GPU")), Tensor(RuntimeError("grad"))),
    ],
)
def test_what_is_no_real_number_is_refused(x):
    for check in (arrays.vectors, lambda q: arrays.queries(q, 3)):
        with pytest.raises(DtypeError, match=r"(vectors|queries) (must be|cannot be read)"):
            check(x)


@pytest.mark.parametrize(
    ("x", "dim", "message"),
    [
        (X[0], None, "vectors must have shape (n, d) with d >= 1, got (3,); pass one vector as x["),
        (X[None], None, "vectors must have shape (n, d) with d >= 1, got (1, 4, 3)"),
        (X, 4, "vectors must have shape (n, 4), got (4, 3)"),
        (np.empty((2, 0)), None, "with d >= 1, got (2, 0)"),
        ([], 3, "vectors must have shape (n, 3), got (0,)"),
        (np.float32(1), None, "got ()"),
        ([[1.0], [1.0, 2.0]], None, "vectors cannot be read as an array: "),
    ],
)
def test_shapes_that_are_refused(x, dim, message):
    with pytest.raises(ShapeError, match=re.escape(message)) as error:
        arrays.vectors(x, dim)
    assert ("x[None, :]" in str(error.value)) == ("x[" in message)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(np.nan, "f"), (np.inf, "f"), (-np.inf, "e"), (np.nan, "g"), (1e39, "d"), (-3.5e38, "d")],
)
def test_the_first_number_that_float32_cannot_hold_is_named(value, dtype, monkeypatch):
    monkeypatch.setattr(arrays, "_CHECKED_AT_ONCE", 6)
    x = np.ones((9, 3), dtype)
    x[5, 2] = x[5, 1] = x[7, 0] = value
    with (
        np.errstate(all="raise"),
        pytest.raises(NonFiniteError, match=re.escape(f"got {x[5, 1]} in row 5, column 1")),
    ):
        arrays.vectors(x).check()
    arrays.vectors(x).chunk(0, 5)
    with pytest.raises(NonFiniteError, match=r"queries .* row 2, column 1"):
        arrays.queries(x[3:], 3)


def test_masked_values_are_refused_however_they_arrive():
    masked = np.ma.masked_equal(X, 7.0)
    for x in (masked, File(masked)):
        with pytest.raises(NonFiniteError, match="got a masked value in row 2, column 1"):
            arrays.vectors(x).check()
    with pytest.raises(NonFiniteError, match="masked"):
        arrays.queries(masked[2], 3)


def test_a_file_that_shrinks_while_it_is_read_is_refused():
    with pytest.raises(ShapeError, match=re.escape("vectors[2:6] must have shape (4, 3)")):
        arrays.vectors(File(X, shape=(6, 3))).chunk(2, 6)


@pytest.mark.parametrize("form", [np.array, list, np.float64, np.int32, Tensor, File])
def test_queries(form):
    for q in (X, X[1]):
        array, single = arrays.queries(form(q), 3)
        np.testing.assert_array_equal(array, q.reshape(-1, 3))
        assert single == (q.ndim == 1)


@pytest.mark.parametrize("shape", [(), (4,), (0,), (3, 2), (1, 1, 3)])
def test_queries_of_another_shape_are_refused(shape):
    with pytest.raises(ShapeError, match=re.escape(f"shape (nq, 3) or (3,), got {shape}")):
        arrays.queries(np.zeros(shape), 3)
    if shape in [(4,), (3, 2)]:
        assert arrays.queries(np.zeros(shape))[0].shape[1] == shape[-1]
    else:
        with pytest.raises(ShapeError, match=re.escape(f"shape (nq, d) or (d,), got {shape}")):
            arrays.queries(np.zeros(shape))


@pytest.mark.parametrize("x", [[7, 3], (7, 3), np.array([7, 3], ">u2"), np.array([7, 0, 3])[::2]])
def test_ids(x):
    for got in (arrays.ids(x, 2), arrays.id_list(x)):
        assert got.dtype == np.int64
        assert got.flags.c_contiguous
        assert got.tolist() == [7, 3]


def test_ids_at_the_edges():
    assert arrays.ids([], 0).dtype == np.int64
    assert arrays.ids(np.array([2**63 - 1], np.uint64), 1)[0] == 2**63 - 1
    assert arrays.id_list(5).tolist() == [5]
    assert arrays.id_list([5, -1, 5]).tolist() == [5, -1, 5]


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([1, 2], ShapeError, "ids must have shape (3,), one for each row, got (2,)"),
        ([[1], [2], [3]], ShapeError, "ids must have shape (n,), got (3, 1)"),
        ([1.0, 2.0, 3.0], DtypeError, "ids must be integers below 2**63, got float64"),
        ([True, False, True], DtypeError, "got bool"),
        (["1", "2", "3"], DtypeError, "got <U1"),
        ({1, 2, 3}, DtypeError, "got set"),
        ([1, 2, 2**64], DtypeError, "dtype=object"),
        (np.ma.masked_equal([1, 2, 3], 2), IdError, "masked"),
        (np.array([1, 2, 2**63], np.uint64), IdError, "ids must be below 2**63, got 922337203685"),
        ([4, -2, -3], IdError, "ids must be >= 0, got -2 at position 1"),
        ([4, 4, 4], IdError, "ids must all differ, got 4 again at position 1"),
    ],
)
def test_ids_that_are_refused(x, error, message):
    with pytest.raises(error, match=re.escape(message)):
        arrays.ids(x, 3)


@given(st.lists(st.integers(0, 9), max_size=8))
def test_the_first_repeated_id_is_named(x):
    first = next((i for i in range(len(x)) if x[i] in x[:i]), None)
    if first is None:
        assert arrays.ids(x, len(x)).tolist() == x
    else:
        with pytest.raises(IdError, match=f"got {x[first]} again at position {first}$"):
            arrays.ids(x, len(x))


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.array(3)])
def test_positive_int(value):
    got = arrays.positive_int(value, "k")
    assert type(got) is int
    assert got == 3


@pytest.mark.parametrize("value", [True, np.True_, 3.0, np.float32(3), "3", None, [3], 0, -1])
def test_what_is_no_positive_int_is_refused(value):
    error = ValueError if value in (0, -1) else TypeError
    with pytest.raises(error, match=re.escape(f"k must be an integer >= 1, got {value!r}")):
        arrays.positive_int(value, "k")


def test_metric():
    assert [arrays.metric(name) for name in arrays.METRICS] == ["l2", "ip", "cosine"]
    for name, ours in [
        ("euclidean", "l2"),
        ("L2", "l2"),
        ("inner product", "ip"),
        ("cos", "cosine"),
    ]:
        with pytest.raises(SpecError, match=f"got '{name}': use '{ours}'$"):
            arrays.metric(name)
    for name in ("hamming", None, X):
        with pytest.raises(SpecError, match="metric must be one of 'l2', 'ip', 'cosine', got"):
            arrays.metric(name)


WANTED = [False, True, True, False]  # 3 and 9


@pytest.mark.parametrize(
    "wanted",
    [
        *(WANTED, tuple(WANTED), np.array(WANTED), [np.bool_(flag) for flag in WANTED]),
        *([9, 3, 4, 3], (9, 3), range(3, 10, 3), [np.int32(9), np.int64(3)]),
        *({9, 3, -5}, frozenset({9, 3}), {9: "a", 3: "b"}.keys()),
        *(np.array([9, 3, 100], np.uint8), Tensor(np.array([3, 9]))),
        *(lambda ids: ids % 3 == 0, lambda ids: [i in (3, 9) for i in ids]),
    ],
)
def test_one_filter_for_all_queries(wanted):
    mask = arrays.row_filters(wanted, IDS, 4)
    assert mask.dtype == bool
    assert mask.tolist() == WANTED


def test_one_filter_per_query():
    filters = [None, [9, 3], WANTED, {9, 3}, lambda ids: ids % 3 == 0, np.array(WANTED), []]
    want = [None, *[WANTED] * 5, [False] * 4]
    for kind in (list, tuple):
        for i in range(7):  # each of them first, for the first tells the list from one of ids
            got = arrays.row_filters(kind(filters[i:] + filters[:i]), IDS, 7)
            masks = [mask if mask is None else mask.tolist() for mask in got]
            assert masks == want[i:] + want[:i]


def test_one_filter_listed_twice_is_evaluated_once():
    calls = []

    def odd(ids):
        calls.append(len(ids))
        return ids % 2 == 1

    first, second = arrays.row_filters([odd, odd], IDS, 2)
    assert first is second
    assert calls == [4]


def test_no_filter_and_the_empty_one():
    assert arrays.row_filters(None, IDS, 2) is None
    for wanted in ([], (), set(), np.array([], np.int64), np.array([])):
        assert arrays.row_filters(wanted, IDS, 2).tolist() == [False] * 4
    none = np.array([], np.int64)
    for wanted in ([], [3], np.array([], bool), lambda ids: ids > 0):
        assert arrays.row_filters(wanted, none, 1).shape == (0,)


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        ([True, False], ShapeError, "filter: a mask must have shape (4,) as index.ids, got (2,)"),
        (np.zeros(0, bool), ShapeError, "got (0,)"),
        (np.zeros((2, 4), bool), ShapeError, "got (2, 4)"),
        (np.zeros((2, 4), int), ShapeError, "filter must have shape (n,), got (2, 4)"),
        ([[3]], ShapeError, "a list of filters must have one for each of 2 queries, got 1"),
        ([None, [True]], ShapeError, "filter[1]: a mask must have shape (4,)"),
        ([None, 3], ShapeError, "filter[1] must be a mask, ids or a callable, got 3"),
        (3, ShapeError, "filter must be a mask, ids or a callable, got 3"),
        ("3", ShapeError, "filter must be a mask, ids or a callable, got '3'"),
        ([3.0], DtypeError, "filter must be integers below 2**63, got float64"),
        (["a", "b"], DtypeError, "got <U1"),
        ([3, None], DtypeError, "filter must be an array of numbers, got list"),
        ({"year": 2020}, DtypeError, "got dict"),
        (lambda ids: ids[:2], DtypeError, "filter(ids) must be a boolean mask, got int64"),
        (lambda ids: ids[:2] > 0, ShapeError, "must have shape (4,) as index.ids, got (2,)"),
        (np.ma.masked_equal(WANTED, True), DtypeError, "masked"),
        (np.array([2**63], np.uint64), IdError, "filter must be below 2**63"),
    ],
)
def test_filters_that_are_refused(wanted, error, message):
    with pytest.raises(error, match=re.escape(message)):
        arrays.row_filters(wanted, IDS, 2)


def test_a_callable_cannot_change_the_ids_of_the_index():
    def spoil(ids):
        ids[:] = 0
        return ids == 0

    with pytest.raises(ValueError, match="read-only"):
        arrays.row_filters(spoil, IDS, 1)
    assert IDS.flags.writeable


@given(st.data())
def test_membership_equals_that_of_a_set(data):
    spread = data.draw(st.sampled_from([60, 1000, 2**63 - 1]))
    ids = data.draw(st.lists(st.integers(0, spread), unique=True, max_size=60))
    if data.draw(st.booleans()):
        ids.sort()
    unknown = st.integers(-(2**63), 2**63 - 1) | st.integers(0, spread)
    allowed = data.draw(st.lists(st.sampled_from(ids) | unknown if ids else unknown, max_size=9))
    mask = arrays.row_filters(allowed, np.array(ids, np.int64), 1)
    assert mask.tolist() == [i in set(allowed) for i in ids]
