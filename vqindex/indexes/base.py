"""Index: what every index is to its users, however it chooses rows."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from vqindex import arrays, container
from vqindex import threads as pool
from vqindex.errors import ReadOnlyError, ShapeError, SpecError
from vqindex.indexes import state
from vqindex.indexes.recipe import IndexRecipe
from vqindex.indexes.rows import Rows
from vqindex.indexes.scan import Plans, Scan, is_bounded, planned
from vqindex.indexes.settings import Settings
from vqindex.indexes.within import within
from vqindex.kernels.cpu.score import CHUNK
from vqindex.layouts.base import FloatArray
from vqindex.locks import ReadWriteLock
from vqindex.progress import Progress, ProgressLike
from vqindex.results import SearchResult

if TYPE_CHECKING:
    from vqindex.indexes.device.index import DeviceIndex

Ids = npt.NDArray[np.int64]

_CHANGES = 256  # of settings that are remembered


class Index:
    """Rows under ids, and searches for the nearest; see FlatIndex and IVFIndex.

    The dimension is that of the first rows added. Many threads may search while none changes the
    index; changes wait for searches and searches for changes. Results do not depend on threads,
    on how rows or queries are split among calls, or on the CPU.
    """

    _names: ClassVar[tuple[str, ...]]  # of its settings
    _kind: ClassVar[type[Scan]]  # how rows are searched

    def __init__(self, recipe: IndexRecipe) -> None:
        self._recipe = recipe
        self._rows: Rows | None = None
        self._settings = Settings()
        self._plans: Plans = {}  # of searches; kept by the rows they know they would be a cycle
        self._lock = ReadWriteLock()

    # What it is

    def __len__(self) -> int:
        with self._lock.read():
            return 0 if self._rows is None else self._rows.n

    def __contains__(self, id: object) -> bool:
        if isinstance(id, bool) or not isinstance(id, int | np.integer) or self._rows is None:
            return False
        with self._lock.read():
            return 0 <= int(id) < 2**63 and bool(self._rows.ids.find(np.array([int(id)]))[0] >= 0)

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"{kind}({self.spec!r}, metric={self.metric!r}, n={len(self)}, dim={self.dim})"

    @property
    def dim(self) -> int | None:
        """Dimension of the rows, None before the first."""
        return None if self._rows is None else self._rows.dim

    @property
    def metric(self) -> str:
        """ "l2", "ip" or "cosine"."""
        return self._recipe.codec.metric

    @property
    def spec(self) -> str:
        """The factory string that makes such an index."""
        return self._recipe.spec

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self._recipe.codec.seed

    @property
    def is_fitted(self) -> bool:
        """Whether rows are coded; until a learned codec has its sample they are kept exactly."""
        return self._rows is not None and self._rows.fitted

    @property
    def ids(self) -> Ids:
        """The id of each row, (n,) int64, in the order that masks refer to."""
        with self._lock.read():
            return np.empty(0, np.int64) if self._rows is None else self._rows.id_column

    @property
    def settings(self) -> dict[str, Any]:
        """What `search` uses where it is told nothing else."""
        return {name: getattr(self._settings, name) for name in self._setting_names}

    @property
    def is_bounded(self) -> bool:
        """Whether bounds of scores tell which rows are scored again, unless `oversample` does."""
        if self._rows is None or self._settings.stages == "off" or self._settings.bits is not None:
            return False
        return is_bounded(self._rows.model)

    @property
    def _setting_names(self) -> tuple[str, ...]:
        again = self._recipe.scores_again(self._settings.bits)
        more = {"bits": self._recipe.codec.prefix_bits, "oversample": again}
        return (*self._names, *(name for name, has in more.items() if has))

    def configure(self, **settings: Any) -> None:
        """Change the default settings of `search`."""
        self._settings = self._with(settings)

    def _with(self, settings: Mapping[str, Any]) -> Settings:
        if not settings:
            return self._settings
        key = tuple(settings.items()), tuple(map(type, settings.values()))
        with contextlib.suppress(TypeError, KeyError):  # what has no hash is no setting
            return self._settings.changed[key]
        for name in settings:  # below it is said why there are no bits, or nothing to score again
            if name not in (*self._setting_names, "bits", "oversample"):
                known = ", ".join(self._setting_names)
                raise TypeError(f"unknown search setting {name!r}; this index has {known}.")
        chosen = replace(self._settings, **settings)
        if chosen.bits is not None:
            self._recipe.codec.check_bits(chosen.bits)
        if not self._recipe.scores_again(chosen.bits):
            self._recipe.check_oversample(settings.get("oversample"))
            chosen = replace(chosen, oversample=None)  # which went with bits
        if len(self._settings.changed) < _CHANGES:
            self._settings.changed[key] = chosen
        return chosen

    @property
    def bytes_per_row(self) -> int:
        """What each further row costs: codes, factors, kept original and id."""
        return 0 if self._rows is None else self._rows.row_bytes

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes in use: "codes" (all columns), "model" (what was fitted), "id_map", "total"."""
        if self._rows is None:
            return {"codes": 0, "model": 0, "id_map": 0, "total": 0}
        with self._lock.read():
            parts = {
                "codes": self._rows.nbytes,
                "model": self._rows.model.nbytes,
                "id_map": self._rows.ids.nbytes,
            }
        return parts | {"total": sum(parts.values())}

    # Changing it

    def _writable(self, dim: int) -> Rows:
        if self._rows is None:
            return Rows(self._recipe, dim)
        self._plans.clear()  # or they would keep codes that others take the place of
        if not self._rows.codes.writable:
            raise ReadOnlyError(
                "this index is mapped from a file and cannot change; load it with mmap=False."
            )
        if self._rows.dim != dim:  # another thread added the first rows in between
            raise ShapeError(f"vectors must have shape (n, {self._rows.dim}), got (n, {dim})")
        return self._rows

    def fit(self, sample: Any, queries: Any = None) -> Self:
        """Fit what the codec learns from a sample (m, d), instead of from the first rows added.

        queries   (nq, d) such as will be asked, for what learns from them too: other ones than
                  those that a recall is to be measured with
        Rows added before are coded anew where they are still kept exactly; once the codec is
        fitted, ValueError.
        """
        whole = arrays.sample(sample, self.dim)
        known = None if queries is None else arrays.sample(queries, whole.shape[1], "queries")
        with self._lock.write():
            rows = self._writable(whole.shape[1])
            if rows.fitted and self._recipe.sample_size:
                raise ValueError("this index is fitted already; make a new one to fit it anew.")
            if self._recipe.sample_size:
                rows.fit(whole, known)
            self._rows = rows
        return self

    def add(
        self,
        x: Any,
        ids: Any = None,
        *,
        threads: int | None = None,
        progress: ProgressLike = False,
    ) -> Ids:
        """Add rows (n, d) and return their ids (n,) int64.

        ids   non-negative and new, or None: consecutive, after the largest there ever was
        Raises ShapeError, DtypeError, NonFiniteError or IdError, and then, as on an interrupt,
        nothing was added.
        """
        vectors = arrays.vectors(x, self.dim)
        given = None if ids is None else arrays.ids(ids, vectors.n).copy()
        vectors.check_file()
        tell = Progress(progress, vectors.n, "add")
        with self._lock.write():
            rows = self._writable(vectors.dim)
            if given is None:
                given = rows.ids.next_ids(vectors.n)
            else:
                rows.check_new(given)
            rows.append(vectors, given, pool.resolve(threads), tell)
            self._rows = rows
        return given

    def upsert(
        self, x: Any, ids: Any, *, threads: int | None = None, progress: ProgressLike = False
    ) -> Ids:
        """Add rows (n, d), in place of those whose ids are there already; ids as in `add`."""
        vectors = arrays.vectors(x, self.dim)
        given = arrays.ids(ids, vectors.n).copy()
        vectors.check_file()
        tell = Progress(progress, vectors.n, "upsert")
        with self._lock.write():
            rows = self._writable(vectors.dim)
            rows.replace(vectors, given, pool.resolve(threads), tell)
            self._rows = rows
        return given

    def remove(self, ids: Any) -> int:
        """Remove rows by id and return how many there were; missing ids are ignored."""
        given = arrays.id_list(ids)
        with self._lock.write():
            if self._rows is None:
                return 0
            return self._writable(self._rows.dim).remove(given)

    # Asking it

    def search(
        self,
        q: Any,
        k: int = 10,
        filter: Any = None,
        *,
        threads: int | None = None,
        progress: ProgressLike = False,
        **settings: Any,
    ) -> SearchResult:
        """The k nearest rows of each query (nq, d), or of one query (d,).

        filter   which rows may be found: a boolean mask aligned with `ids`, an array of ids, a
                 callable on an int64 array of ids that returns a mask, or a list of one of these
                 for each query
        eps0     (setting) width of the first stage's bound; stages="off" does without it
        bits     (setting) score rows by so many of the first bits of their codes, None for all;
                 with `oversample`, that times k of the best are then scored by all bits
        Fewer than k rows: padded with id -1 and distance infinity. Ties go to the lower id.
        Raises ShapeError, DtypeError or NonFiniteError for queries, TypeError for a setting that
        is not known, SpecError for bits that codes do not have.
        """
        chosen = self._with(settings)
        k, workers = arrays.positive_int(k, "k"), pool.resolve(threads)
        with self._lock.read():
            queries, single = arrays.queries(q, self.dim)
            rows, nq = self._rows, len(queries)
            stats = {"rows": rows.n if rows is not None else 0}
            scores = np.empty((nq, k), np.float32)
            ids = np.empty((nq, k), np.int64)
            if rows is None or not stats["rows"]:
                scores[:], ids[:] = -np.inf, -1
                stats["scored"] = 0
            else:
                filters = None
                if filter is not None:
                    filters = arrays.row_filters(filter, rows.id_column, nq)
                tell = Progress(progress, nq, "search")
                scan = planned(self._plans, self._kind, rows, k, chosen)
                stats |= scan.all(queries, filters, workers, scores, ids, tell)
        return SearchResult.from_scores(scores, ids, self.metric, single, stats)

    def range_search(
        self, q: Any, radius: float, filter: Any = None
    ) -> tuple[Ids, FloatArray, Ids]:
        """All rows at a distance of at most `radius` from each query (nq, d) or (d,).

        returns limits (nq + 1,) int64, distances (limits[-1],) float32 and ids: those of query i
        stand at limits[i]:limits[i + 1], nearest first, ties by lower id. Distances are those of
        `search`: squared for l2, 1 - cosine, minus the inner product.
        """
        if isinstance(radius, bool) or not isinstance(radius, int | float | np.number):
            raise TypeError(f"radius must be a number, got {radius!r}.")
        if np.isnan(radius):
            raise ValueError("radius must not be NaN.")
        with np.errstate(over="ignore"):  # beyond float32 is as good as infinite
            limit = np.float32(radius)
        with self._lock.read():
            queries, _ = arrays.queries(q, self.dim)
            filters = None
            if filter is not None and self._rows is not None:
                filters = arrays.row_filters(filter, self._rows.id_column, len(queries))
            each = []
            for i in range(0, len(queries), CHUNK):
                part = queries[i : i + CHUNK]
                here = filters[i : i + CHUNK] if isinstance(filters, list) else filters
                each += within(self._rows, part, limit, here, self.metric)
        limits = np.cumsum([0, *(len(ids) for _, ids in each)], dtype=np.int64)
        distances = np.concatenate([np.empty(0, np.float32), *(d for d, _ in each)])
        return limits, distances, np.concatenate([np.empty(0, np.int64), *(i for _, i in each)])

    def reconstruct(self, ids: Any) -> FloatArray:
        """Rows by id, (m, d) float32: the originals if kept, else the least-error reconstruction.

        Under cosine a row that is not kept comes back with norm one. KeyError for a missing id.
        """
        given = arrays.id_list(ids)
        with self._lock.read():
            if self._rows is None:
                if len(given):
                    raise KeyError(f"id {int(given[0])} is not in the index, which is empty.")
                return np.empty((0, 0), np.float32)
            return self._rows.reconstruct(given)

    # Keeping it

    def to(self, device: str) -> "Index | DeviceIndex":
        """A copy of the rows on a GPU, "cuda" or "cuda:1", to search there; "cpu" is the index.

        Raises BackendError where there is no GPU, not enough memory on it, or no kernel there for
        the codec.
        """
        from vqindex.indexes.device.index import to  # which knows this class

        return to(self, device)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to a file, whole or not at all; see vqindex.load."""
        with self._lock.read():
            container.write(path, *self._state())

    def _state(self) -> tuple[dict[str, Any], dict[str, str]]:
        return state.dump(self._recipe, self._rows, self.settings)

    @classmethod
    def of(cls, recipe: IndexRecipe) -> Self:
        """An empty index of a recipe."""
        index = cls.__new__(cls)
        Index.__init__(index, recipe)
        return index

    @classmethod
    def restore(cls, recipe: IndexRecipe, contents: container.Contents, writable: bool) -> Self:
        """The index that a file describes; CorruptFileError where it does not fit the recipe."""
        index = cls.of(recipe)
        index._rows, settings = state.restore(recipe, contents, writable)
        index._settings = state.checked_settings(settings, index._with)
        return index

    def __reduce__(self) -> tuple[Any, ...]:
        with self._lock.read():
            return _unpickle, (self._recipe, container.to_bytes(*self._state()), type(self))


def _unpickle(recipe: IndexRecipe, data: bytes, kind: type[Index]) -> Index:
    return kind.restore(recipe, container.from_bytes(data), writable=True)


def check_recipes(**parts: Any) -> None:
    """Refuse what is no recipe, such as a factory string or a class; TypeError."""
    for name, part in parts.items():
        if part is not None and (isinstance(part, type) or not hasattr(part, "fit")):
            raise TypeError(
                f"{name} must be a recipe such as vq.LloydMax(bits=4), got {part!r}; "
                f"factory strings go to vq.index_factory."
            )


def check_keep(keep: Any) -> None:
    """Refuse what is no kind of originals; SpecError."""
    if keep not in (None, "f32", "f16"):
        raise SpecError(f'keep must be None, "f32" or "f16", got {keep!r}.')
