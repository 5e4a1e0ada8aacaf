"""Whatever cannot be used is refused by name, with what was needed, and changes nothing.

Filters are in test_flat_filters, factory strings in test_factory, files in test_io_damage.
"""

import numpy as np
import pytest

import vqindex as vq

D = 4
NAN_LATE = np.ones((5000, D))
NAN_LATE[4321, 2] = np.nan
HUGE = np.ones((3, D))
HUGE[1, 3] = -1e39
CYCLE = []
CYCLE.append(CYCLE)


def state(index):
    """The bytes of the file that `save` would write."""
    return index.__reduce__()[1][1]


def vectors(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, D)).astype(np.float32)


@pytest.fixture(scope="module", params=["empty", "waiting", "fitted", "exact", "emptied"])
def index(request):
    index = vq.index_factory("F32" if request.param == "exact" else "EDEN4", metric="l2")
    if request.param != "empty":
        index.add(vectors(1100 if request.param == "fitted" else 50))
    if request.param == "emptied":
        index.remove(index.ids)
    return index


@pytest.fixture
def untouched(index):
    """Whatever the test does, every byte of the index stays."""
    before = state(index)
    yield index
    assert state(index) == before


# What is wrong with rows, whichever index they are for.
ROWS = [
    (np.ones(D), vq.ShapeError, r"must have shape \(n, .*got \(4,\); pass one vector as x\["),
    (np.ones((2, 3, D)), vq.ShapeError, r"must have shape \(n, .*got \(2, 3, 4\)"),
    (np.ones((3, 0)), vq.ShapeError, r"must have shape \(n, .*got \(3, 0\)"),
    ([], vq.ShapeError, r"must have shape \(n, .*got \(0,\)"),
    (5.0, vq.ShapeError, r"must have shape \(n, .*got \(\)"),
    ([[1, 2, 3, 4], [1, 2]], vq.ShapeError, "cannot be read as an array"),
    (np.ones((2, D), complex), vq.DtypeError, "must be real numbers, got complex128: convert them"),
    (np.ones((2, D), object), vq.DtypeError, "must be real numbers, got object: convert them"),
    ([[1, 2, 3, None]], vq.DtypeError, "must be an array of numbers, got list"),
    (None, vq.DtypeError, "must be an array of numbers, got NoneType"),
    ({1.0, 2.0}, vq.DtypeError, "must be an array of numbers, got set"),
    ("abcd", vq.DtypeError, "must be real numbers, got <U4"),
    ([["1", "2", "3", "4"]], vq.DtypeError, "must be real numbers, got <U1"),
    (np.ones((2, D), "M8[s]"), vq.DtypeError, "must be real numbers, got datetime64"),
    (np.ones((2, D), "V4"), vq.DtypeError, "must be real numbers, got"),
    (np.full((2, D), np.nan), vq.NonFiniteError, "must be finite in float32, got nan in row 0"),
    (np.full((2, D), -np.inf), vq.NonFiniteError, "must be finite in float32, got -inf in row 0"),
    (NAN_LATE, vq.NonFiniteError, "must .* got nan in row 4321, column 2: leave such rows"),
    (HUGE, vq.NonFiniteError, r"must be finite in float32, got -1e\+39 in row 1, column 3"),
    (np.ma.masked_equal(np.eye(D), 1), vq.NonFiniteError, "must .* got a masked value in row 0"),
]  # fmt: skip


@pytest.mark.parametrize(("x", "error", "message"), ROWS)
def test_rows_that_cannot_be_used(untouched, x, error, message):
    n = len(x) if hasattr(x, "__len__") else 1
    for name, change in (
        ("vectors", lambda: untouched.add(x)),
        ("vectors", lambda: untouched.add(x, ids=np.arange(7000, 7000 + n))),
        ("vectors", lambda: untouched.upsert(x, np.arange(n))),
        ("sample", lambda: untouched.fit(x)),
    ):
        with pytest.raises(error, match=f"^{name} {message}"):
            change()


@pytest.mark.parametrize(("x", "error", "message"), ROWS)
def test_queries_that_cannot_be_used(untouched, x, error, message):
    if isinstance(x, np.ndarray) and x.ndim == 1:
        return  # one query
    message = message.replace(r"\(n, ", r"\(nq, ")
    for ask in (untouched.search, lambda q: untouched.range_search(q, 1.0)):
        with pytest.raises(error, match=f"^queries {message}"):
            ask(x)


def test_rows_and_queries_of_another_dimension(untouched):
    if untouched.dim is None:
        return
    for wrong in (1, 3, 5, 400):
        for change in (untouched.add, lambda x: untouched.upsert(x, [1, 2]), untouched.fit):
            with pytest.raises(vq.ShapeError, match=rf"shape \(n, 4\), got \(2, {wrong}\)"):
                change(np.ones((2, wrong)))
        for q in (np.ones((2, wrong)), np.ones(wrong)):
            with pytest.raises(vq.ShapeError, match=r"shape \(nq, 4\) or \(4,\), got \((2, )?\d"):
                untouched.search(q)
            with pytest.raises(vq.ShapeError, match=r"shape \(nq, 4\) or \(4,\), got \((2, )?\d"):
                untouched.range_search(q, 1)


IDS = [
    ([1, 2], vq.ShapeError, r"ids must have shape \(3,\), one for each row, got \(2,\)"),
    ([], vq.ShapeError, r"ids must have shape \(3,\), one for each row, got \(0,\)"),
    (7, vq.ShapeError, r"ids must have shape \(3,\), one for each row, got \(1,\)"),
    ([[7, 8, 9]], vq.ShapeError, r"ids must have shape \(n,\), got \(1, 3\)"),
    ([7000, -1, 7001], vq.IdError, "ids must be >= 0, got -1 at position 1"),
    ([7000, 7001, 7000], vq.IdError, "ids must all differ, got 7000 again at position 2"),
    ([7000.0, 7001.0, 7002.0], vq.DtypeError, r"ids must be integers below 2\*\*63, got float64"),
    ([True, False, True], vq.DtypeError, "ids must be integers .*got bool"),
    (["7", "8", "9"], vq.DtypeError, "ids must be integers .*got <U1"),
    (np.array([7, 8, 2**63], np.uint64), vq.IdError, r"ids must be below 2\*\*63, got 92233"),
    ([7000, 7001, 2**64], vq.DtypeError, "ids must be an array of numbers, got list"),
    ([7000, 7001, None], vq.DtypeError, "ids must be an array of numbers, got list"),
]  # fmt: skip


@pytest.mark.parametrize(("ids", "error", "message"), IDS)
def test_ids_that_cannot_be_used(untouched, ids, error, message):
    for change in (untouched.add, untouched.upsert):
        with pytest.raises(error, match=message):
            change(vectors(3), ids)


def test_ids_are_needed_for_upserts(untouched):
    with pytest.raises(vq.DtypeError, match="ids must be an array of numbers, got NoneType"):
        untouched.upsert(vectors(3), None)


@pytest.mark.parametrize("ids", [[1.0], ["1"], [None], None, [[1, 2]], [True], [2**64]])
def test_ids_that_cannot_be_looked_up(untouched, ids):
    for call in (untouched.remove, untouched.reconstruct):
        with pytest.raises((vq.DtypeError, vq.ShapeError), match=r"^ids must "):
            call(ids)


@pytest.mark.parametrize(
    ("k", "error"),
    [(0, ValueError), (-1, ValueError), (2.0, TypeError), (np.float64(3), TypeError),
     (True, TypeError), (np.True_, TypeError), ("3", TypeError), (None, TypeError),
     ([3], TypeError)],
)  # fmt: skip
def test_k_is_a_positive_integer(untouched, k, error):
    with pytest.raises(error, match="k must be an integer >= 1, got "):
        untouched.search(vectors(2), k=k)


def test_k_of_any_integer_kind_and_beyond_the_rows(index):
    for k in (3, np.int64(3), np.uint8(3)):
        assert index.search(vectors(2), k=k).ids.shape == (2, 3)
    n = len(index)
    for q in (vectors(1), vectors(9)):
        result = index.search(q, k=n + 3)
        assert (result.ids[:, n:] == -1).all()
        assert (result.distances[:, n:] == np.inf).all()
        assert (result.scores[:, n:] == -np.inf).all()
        assert (np.sort(result.ids[:, :n], axis=1) == np.sort(index.ids)).all()
        assert (result.counts == n).all()


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_threads_are_a_positive_integer(untouched, threads):
    for call in (
        lambda: untouched.search(vectors(2), threads=threads),
        lambda: untouched.add(vectors(2), ids=[7000, 7001], threads=threads),
        lambda: untouched.upsert(vectors(2), ids=[1, 7001], threads=threads),
    ):
        with pytest.raises((TypeError, ValueError), match="threads must be an integer >= 1, got"):
            call()


def test_settings_that_are_not_known(untouched):
    with pytest.raises(TypeError, match="unknown search setting 'nprobe'; this index has eps0, st"):
        untouched.search(vectors(2), nprobe=3)
    with pytest.raises(TypeError, match="unknown search setting 'K'"):
        untouched.search(vectors(2), K=3)


def test_no_rows_are_fine(index):
    before = state(index)
    if index.dim is not None:
        assert index.add(np.empty((0, D))).tolist() == []
        assert index.add(np.empty((0, D)), ids=[]).tolist() == []
        assert index.upsert(np.empty((0, D)), []).tolist() == []
    assert index.remove([]) == 0
    assert index.remove(np.empty(0)) == 0
    assert index.reconstruct([]).size == 0
    assert state(index) == before


def forms(x):
    """The same numbers in other clothes."""
    yield x.tolist()
    yield tuple(map(tuple, x.tolist()))
    yield x.astype(np.float64)
    yield x.astype(">f4")
    yield x.astype(np.longdouble)
    yield np.asfortranarray(x)
    yield np.repeat(x, 2, axis=0)[::2]
    yield np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]
    yield np.concatenate([x, x], axis=1)[:, : x.shape[1]]
    yield memoryview(x)
    frozen = x.copy()
    frozen.flags.writeable = False
    yield frozen
    raw = bytearray(1 + x.nbytes)
    unaligned = np.frombuffer(raw, np.uint8)[1:].view(np.float32).reshape(x.shape)
    unaligned[:] = x
    yield unaligned


@pytest.mark.parametrize("spec", ["F32", "SQ8", "EDEN4", "TQprod3", "QJL"])
def test_arrays_in_any_memory_order_give_the_same(spec):
    x, q = vectors(1100), vectors(9, seed=1)
    index = vq.index_factory(spec)
    index.add(x)
    want, one = index.search(q), index.search(q[3])
    before = x.copy()
    for other in forms(x):
        again = vq.index_factory(spec)
        again.add(other)
        assert state(again) == state(index)
    for other in forms(q):
        np.testing.assert_array_equal(index.search(other).ids, want.ids)
        np.testing.assert_array_equal(index.search(other).scores, want.scores)
    for other in (q[3].tolist(), q.T.copy()[:, 3], np.repeat(q[3], 2)[::2], tuple(q[3])):
        np.testing.assert_array_equal(index.search(other).ids, one.ids)
        np.testing.assert_array_equal(index.search(other).scores, one.scores)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.float16, np.bool_])
def test_numbers_of_any_real_kind(dtype):
    x = np.random.default_rng(0).integers(0, 2, (50, 70)).astype(dtype)
    index, other = (vq.index_factory("F32", metric="l2") for _ in range(2))
    index.add(x)
    other.add(x.astype(np.float32))
    assert state(index) == state(other)
    assert index.search(x[7], k=1).distances.tolist() == [0]


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("spec", ["F32", "F16", "SQ8", "EDEN1", "EDEN4", "TQprod3", "QJL"])
def test_one_dimension_is_enough(spec, metric):
    x = np.array([[3.0], [-2.0], [0.5], [0.0]])
    index = vq.index_factory(spec, metric=metric).fit(x)
    index.add(x)
    for q in ([1.0], [[1.0]], np.ones((9, 1))):
        result = index.search(q, k=4)
        assert np.isfinite(result.distances).all()
        assert set(result.ids.ravel()) == {0, 1, 2, 3}
    if spec in ("F32", "F16"):
        first = {"l2": [2, 3, 0, 1], "ip": [0, 2, 3, 1], "cosine": [0, 2, 3, 1]}[metric]
        assert index.search([1.0], k=4).ids.tolist() == first


@pytest.mark.parametrize("call", ["search", "range_search", "add", "upsert", "fit"])
def test_a_list_that_holds_itself(call):
    arguments = {"range_search": (1.0,), "upsert": ([0],)}.get(call, ())
    with pytest.raises((vq.ShapeError, vq.DtypeError), match=r"cannot be read|must be an array"):
        getattr(vq.index_factory("F32"), call)(CYCLE, *arguments)


@pytest.mark.parametrize(
    "make",
    [
        lambda: vq.LloydMax(bits=0.5),
        lambda: vq.LloydMax(bits=8.5),
        lambda: vq.LloydMax(bits=float("nan")),
        lambda: vq.LloydMax(bits=True),
        lambda: vq.LloydMax(bits="4"),
        lambda: vq.LloydMax(center="no"),
        lambda: vq.LloydMax(nested="no"),
        lambda: vq.QJL(bits=2.5),
        lambda: vq.QJL(bits=0),
    ],
)
def test_recipes_take_no_nonsense(make):
    with pytest.raises(vq.SpecError, match=r"must be|at least one bit"):
        make()


@pytest.mark.parametrize(
    "parts",
    [{"transform": "Haar"}, {"quantizer": "EDEN4"}, {"sketch": 64}, {"quantizer": vq.LloydMax}],
)
def test_parts_of_an_index_are_recipes(parts):
    with pytest.raises(TypeError, match="must be a recipe"):
        vq.FlatIndex(**parts)


def test_more_dimensions_than_int32_sums_hold():
    index = vq.index_factory("SQ8", metric="ip")
    with pytest.raises(vq.ShapeError, match="up to 131,072 dimensions"):
        index.add(np.ones((1, 140_000), np.float32))
    assert (len(index), index.dim) == (0, None)
    most = vq.index_factory("SQ8", metric="ip")
    most.add(np.ones((1, 131_072), np.float32))
    score = most.search(np.ones(131_072), k=1).scores[0]
    assert abs(score - 131_072) <= 131_072 / 255
    exact = vq.index_factory("F32", metric="ip")
    exact.add(np.ones((1, 140_000), np.float32))
    assert exact.search(np.ones(140_000), k=1).scores[0] == 140_000


def test_ids_given_are_the_callers_own():
    given = np.arange(5)
    added = vq.index_factory("F32").add(np.eye(5), ids=given)
    assert not np.shares_memory(added, given)
