"""The one gate for user arrays and ids: all is checked here, before anything is changed."""

import math
import operator
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vqindex.errors import DtypeError, IdError, NonFiniteError, ShapeError, SpecError

METRICS = ("l2", "ip", "cosine")
_OTHER_NAMES = {
    "l2": ("euclidean", "sqeuclidean", "squared_l2"),
    "ip": ("dot", "dot_product", "dotproduct", "inner", "inner_product", "innerproduct"),
    "cosine": ("cos", "angular", "cosine_similarity"),
}
_FEW = 1 << 13  # numbers that BLAS multiplies on the calling thread alone
_CHECKED_AT_ONCE = 1 << 20  # numbers: 4 MiB of float32 stay in cache and are few reads of a file


@dataclass(frozen=True, slots=True)
class Vectors:
    """Checked rows (n, dim) of a user's array, converted to float32 as they are asked for.

    Made by `vectors`, which has checked shape and dtype; the numbers themselves are checked
    whenever they are read, and by `check` all at once.
    """

    source: Any  # has shape (n, dim) and a real dtype, and can be sliced by rows
    n: int
    dim: int
    name: str

    @property
    def in_memory(self) -> bool:
        """Whether rows may be read in any order; those of a file are read from front to back."""
        return isinstance(self.source, np.ndarray)

    def chunk(self, start: int, stop: int) -> NDArray[np.float32]:
        """Rows [start, min(stop, n)): finite, C-contiguous, aligned, writeable float32.

        A view of the user's own memory where that is all of this already, so never write to it.
        Rows that cannot be written to are copied all the same: Numba would compile every kernel
        a second time for read-only arrays.
        Raises NonFiniteError naming the first row and column that float32 cannot hold.
        """
        stop = min(stop, self.n)
        part = _array(self.source[start:stop], self.name)
        _require_real(part, self.name)
        if part.shape != (stop - start, self.dim):
            raise ShapeError(
                f"{self.name}[{start}:{stop}] must have shape {(stop - start, self.dim)}, "
                f"got {part.shape}: the array changed while it was read"
            )
        rows = _plain(part, np.float32)
        if (type(part) is not np.ndarray and np.ma.is_masked(part)) or not np.isfinite(rows).all():
            self._refuse(part, rows, start)
        return rows

    def take(self, which: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows (m,) of an array in memory, in any order, as `chunk` returns them."""
        return Vectors(self.source[which], len(which), self.dim, self.name).chunk(0, len(which))

    def chunks(self, rows: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """(start, chunk) for all rows in order, at most `rows` at a time."""
        for start in range(0, self.n, rows):
            yield start, self.chunk(start, start + rows)

    def check(self) -> None:
        """Read every row once; raises NonFiniteError where `chunk` would."""
        for _ in self.chunks(max(1, _CHECKED_AT_ONCE // self.dim)):
            pass

    def check_file(self) -> None:
        """`check` where rows are not in memory, so that nobody waits for a file that is refused.

        An array is checked as it is coded: to read it once more would take a sixth of the time.
        """
        if not self.in_memory:
            self.check()

    def _refuse(self, part: NDArray[Any], rows: NDArray[np.float32], start: int) -> None:
        row, column = np.argwhere(np.ma.getmaskarray(part) | ~np.isfinite(rows))[0]
        value = part[row, column]
        got = "a masked value" if value is np.ma.masked else str(value)
        raise NonFiniteError(
            f"{self.name} must be finite in float32, got {got} in row {start + row}, "
            f"column {column}: leave such rows out or repair them"
        )


def vectors(x: Any, dim: int | None = None, name: str = "vectors") -> Vectors:
    """Check the shape and dtype of rows to fit, add or encode, reading none of them.

    x    (n, d) real numbers, d >= 1: an array of any dtype, order or strides, nested sequences,
         anything with `__array__`, or anything with `shape`, a NumPy `dtype` and slicing by rows
         (an HDF5 dataset), which is then read a chunk at a time
    dim  the d it must have, if that is known
    Raises ShapeError or DtypeError.
    """
    source = _source(x, name)
    _require_real(source, name)
    shape = tuple(source.shape)
    if len(shape) != 2 or shape[1] == 0 or dim not in (None, shape[1]):
        wanted = "(n, d) with d >= 1" if dim is None else f"(n, {dim})"
        hint = "; pass one vector as x[None, :]" if len(shape) == 1 and shape[0] else ""
        raise ShapeError(f"{name} must have shape {wanted}, got {shape}{hint}")
    return Vectors(source, shape[0], shape[1], name)


def sample(x: Any, dim: int | None = None, name: str = "sample") -> NDArray[np.float32]:
    """Rows (n, d) to fit from, n >= 1, all at once as `Vectors.chunk` gives them.

    Raises ShapeError, DtypeError or NonFiniteError, ValueError for no rows.
    """
    rows = vectors(x, dim, name)
    if rows.n == 0:
        raise ValueError(f"fitting needs at least one row, got none in {name}.")
    return rows.chunk(0, rows.n)


def queries(
    q: Any, dim: int | None = None, name: str = "queries"
) -> tuple[NDArray[np.float32], bool]:
    """Rows (nq, d) float32 as `Vectors.chunk` gives them, and whether q was one of shape (d,).

    dim  the d it must have; None where it is not known yet, in an index without rows
    Raises ShapeError, DtypeError or NonFiniteError.
    """
    if type(q) is np.ndarray and _is_ready(q, dim):
        return (q, False) if q.ndim == 2 else (q[None], True)
    source = _source(q, name)
    _require_real(source, name)
    shape = tuple(source.shape)
    if len(shape) not in (1, 2) or shape[-1] == 0 or dim not in (None, shape[-1]):
        d = "d" if dim is None else dim
        raise ShapeError(f"{name} must have shape (nq, {d}) or ({d},), got {shape}")
    single = len(shape) == 1
    if single:
        source = _array(source, name)[None, :]
    rows = vectors(source, dim, name)
    return rows.chunk(0, rows.n), single


def ids(x: Any, n: int, name: str = "ids") -> NDArray[np.int64]:
    """Ids (n,) int64 for n new rows: integers >= 0, all different; may be a view of x.

    Raises ShapeError, DtypeError or IdError.
    """
    array = id_list(x, name)
    if len(array) != n:
        raise ShapeError(f"{name} must have shape ({n},), one for each row, got ({len(array)},)")
    if n and array.min() < 0:
        at = int(np.argmax(array < 0))
        raise IdError(f"{name} must be >= 0, got {array[at]} at position {at}")
    if not _ascending(array) and not _ascending(np.sort(array)):
        order = np.argsort(array, kind="stable")
        at = int(order[1:][array[order[1:]] == array[order[:-1]]].min())
        raise IdError(f"{name} must all differ, got {array[at]} again at position {at}")
    return array


def id_list(x: Any, name: str = "ids") -> NDArray[np.int64]:
    """Ids (n,) int64 to look up: integers of any sign, repeated or not; may be a view of x.

    x  (n,) integers, or a single one
    Raises ShapeError, DtypeError or IdError.
    """
    array = _array(x, name)
    if array.ndim > 1:
        raise ShapeError(f"{name} must have shape (n,), got {array.shape}")
    if array.size == 0:  # [] is float64 to NumPy
        return np.empty(0, np.int64)
    if array.dtype.kind not in "iu":
        raise DtypeError(f"{name} must be integers below 2**63, got {array.dtype}")
    if np.ma.is_masked(array):
        raise IdError(f"{name} must not hold masked values: pass {name}.compressed()")
    if array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
        raise IdError(f"{name} must be below 2**63, got {array.max()}")
    return _plain(array.reshape(-1), np.int64)


def positive_int(value: Any, name: str) -> int:
    """`value` as an int >= 1; raises TypeError for what is no integer (bool included)."""
    message = f"{name} must be an integer >= 1, got {value!r}"
    if isinstance(value, bool | np.bool_):
        raise TypeError(message)
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(message) from None
    if number < 1:
        raise ValueError(message)
    return number


def metric(name: Any) -> str:
    """`name` if it is one of METRICS, else SpecError with the name to use."""
    if isinstance(name, str) and name in METRICS:
        return name
    message = f"metric must be one of {', '.join(map(repr, METRICS))}, got {name!r}"
    meant = str(name).lower().replace("-", "_").replace(" ", "_")
    for ours, others in _OTHER_NAMES.items():
        if meant == ours or meant in others:
            message += f": use {ours!r}"
    raise SpecError(message)


def row_filters(
    wanted: Any, index_ids: NDArray[np.int64], nq: int
) -> NDArray[np.bool_] | list[NDArray[np.bool_] | None] | None:
    """Which rows each of nq queries may find: None (all), one mask, or one of these per query.

    wanted     None; a mask (n,) bool aligned with index_ids; a sequence or set of ids, unknown
               ones ignored, none at all if empty; a callable from ids (n,) int64, which it must
               not change, to such a mask; or a list or tuple of nq of these, one per query
    index_ids  (n,) int64, the ids of the index's rows
    Masks may be views of what was passed, and are one array where one filter is listed twice.
    Raises ShapeError, DtypeError or IdError.
    """
    if wanted is None:
        return None
    if not (isinstance(wanted, list | tuple) and wanted and _is_filter(wanted[0])):
        return _mask(wanted, index_ids, "filter")
    if len(wanted) != nq:
        raise ShapeError(
            f"a list of filters must have one for each of {nq} queries, got {len(wanted)}"
        )
    masks: dict[int, NDArray[np.bool_] | None] = {id(None): None}
    for i, one in enumerate(wanted):
        if id(one) not in masks:
            masks[id(one)] = _mask(one, index_ids, f"filter[{i}]")
    return [masks[id(one)] for one in wanted]


def _is_filter(x: Any) -> bool:
    """Whether an item of a list is a filter itself, rather than an id or a flag of a mask."""
    several = isinstance(x, Sequence | Set) and not isinstance(x, str | bytes)
    return x is None or callable(x) or several or getattr(x, "ndim", 0) > 0


def _mask(wanted: Any, index_ids: NDArray[np.int64], name: str) -> NDArray[np.bool_]:
    n = len(index_ids)
    if callable(wanted):
        shown = index_ids.view()
        shown.flags.writeable = False
        array = _array(wanted(shown), f"{name}(ids)")
        if array.dtype != bool:
            raise DtypeError(f"{name}(ids) must be a boolean mask, got {array.dtype}")
    else:
        wanted = list(wanted) if isinstance(wanted, Set) else wanted
        array = _array(wanted, name)
        if array.ndim == 0:
            raise ShapeError(f"{name} must be a mask, ids or a callable, got {wanted!r}")
        if array.dtype != bool:
            return _membership(id_list(array, name), index_ids)
    if array.shape != (n,):
        raise ShapeError(f"{name}: a mask must have shape ({n},) as index.ids, got {array.shape}")
    if np.ma.is_masked(array):
        raise DtypeError(f"{name}: a mask must not hold masked values; pass mask.filled(False)")
    return _plain(array, np.bool_)


def _membership(allowed: NDArray[np.int64], index_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mask (n,) of the index_ids that are among allowed."""
    n, m = len(index_ids), len(allowed)
    if n == 0 or m == 0:
        return np.zeros(n, np.bool_)
    ascending = _ascending(index_ids)  # as rows are usually added
    dense = int(allowed.max()) - int(allowed.min()) <= 8 * (n + m)
    if dense and not (ascending and 16 * m < n):
        return np.isin(index_ids, allowed, kind="table")
    order = slice(None) if ascending else np.argsort(index_ids)
    in_order = index_ids[order]
    allowed = np.sort(allowed)
    at = np.searchsorted(in_order, allowed)
    at[at == n] = 0
    hits = np.zeros(n, np.bool_)
    hits[at[in_order[at] == allowed]] = True
    mask = np.empty(n, np.bool_)
    mask[order] = hits
    return mask


def _ascending(array: NDArray[np.int64]) -> bool:
    return bool((array[1:] > array[:-1]).all())


def _source(x: Any, name: str) -> Any:
    """`x` itself where it can be sliced as it lies (arrays, HDF5 datasets), else x as an array."""
    lazy = (
        isinstance(getattr(x, "dtype", None), np.dtype)
        and isinstance(getattr(x, "shape", None), tuple)
        and hasattr(x, "__getitem__")
    )
    return x if lazy else _array(x, name)


def _array(x: Any, name: str) -> NDArray[Any]:
    """`x` as an array or a subclass of it, masked ones included, but never of objects."""
    try:
        array: NDArray[Any] = np.asanyarray(x)
    except ValueError as error:  # rows of different lengths
        raise ShapeError(f"{name} cannot be read as an array: {error}") from error
    except (TypeError, RuntimeError) as error:  # a tensor on a GPU, or one that wants gradients
        raise DtypeError(f"{name} cannot be read as an array: {error}") from error
    if array.dtype.kind == "O":  # None, a sparse matrix, a set, an integer of more than 64 bits
        raise DtypeError(
            f"{name} must be an array of numbers, got {type(x).__name__} that NumPy reads as "
            "dtype=object: convert it to an array with a number type first"
        )
    return array


def _require_real(array: Any, name: str) -> None:
    if array.dtype.kind not in "biuf":
        raise DtypeError(
            f"{name} must be real numbers, got {array.dtype}: "
            "convert them to an array of float32 first"
        )


def _plain(array: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """One type for Numba: C order, aligned, writeable, native, no subclass; a view if it is so."""
    if type(array) is np.ndarray and array.dtype == dtype and array.flags.carray:
        return array
    with np.errstate(all="ignore"):  # too large for float32 is reported by row, not as a warning
        return np.require(array, dtype, ["C", "A", "W", "E"])


def _is_ready(q: NDArray[Any], dim: int | None) -> bool:
    """Whether queries are what kernels take, by one look: one query is searched in microseconds.

    A finite sum of squares has finite terms; where it overflows, a closer look decides.
    """
    return (
        q.dtype == np.float32
        and q.ndim in (1, 2)
        and q.shape[-1] == dim
        and q.flags.carray
        and q.size <= _FEW
        and math.isfinite(np.vdot(q, q))
    )


def seed(value: Any) -> int:
    """A seed: an int from 0 to 2**63 - 1; TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"seed must be an integer, got {value!r}")
    if not 0 <= value < 2**63:
        raise ValueError(f"seed must be between 0 and 2**63 - 1, got {value}")
    return int(value)
