"""DeviceIndex: an index on a GPU, to search."""

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, final

import numpy as np
import numpy.typing as npt

from vqindex import arrays
from vqindex import threads as pool
from vqindex.errors import BackendError, ReadOnlyError
from vqindex.indexes.device import tensors
from vqindex.indexes.device.codes import check_room
from vqindex.indexes.device.jobs import Job, Jobs
from vqindex.indexes.settings import OVERSAMPLE, Settings
from vqindex.kernels.gpu import driver
from vqindex.kernels.gpu.records import keep
from vqindex.layouts.base import FloatArray
from vqindex.progress import Progress, ProgressLike
from vqindex.results import SearchResult

if TYPE_CHECKING:
    from vqindex.indexes.base import Index

_NAME = re.compile(r"cuda(?::(\d+))?")


def to(index: "Index", device: str) -> "Index | DeviceIndex":
    """See Index.to."""
    if device == "cpu":
        return index
    match = _NAME.fullmatch(device) if isinstance(device, str) else None
    if match is None:
        raise BackendError(f'device must be "cpu", "cuda" or "cuda:<number>", got {device!r}.')
    return DeviceIndex(index, driver.device(int(match[1] or 0)))


@final
class DeviceIndex:
    """The rows of an index on a GPU, to be searched there; made by `index.to("cuda")`.

    It is a copy, and cannot change: changes go to the index on the CPU, of which another copy is
    made. It scores every row in full, as searches with stages="off" do, and finds what they find,
    bit for bit. Several may share a GPU, and many threads may search in one.
    """

    def __init__(self, index: "Index", gpu: driver.Device) -> None:
        with index._lock.read():
            rows = index._rows
            if rows is None or rows.n == 0:
                raise BackendError("an index needs rows before it goes to a GPU: add them first.")
            model = rows.model.at(index._settings.bits, index._settings.oversample)
            if rows.once is not None:
                raise BackendError(
                    f"there is no kernel for a GPU that knows rows in several lists, as those of "
                    f"{index.spec} are: make the index without spill."
                )
            self._ids, self._dim = rows.id_column, rows.dim
            self._jobs = Jobs(gpu, rows, model, pool.default_threads())
        self._index, self._settings, self._gpu = index, index._settings, gpu
        self._work, self._lock = driver.Memory(0, 0), threading.Lock()

    def __len__(self) -> int:
        return len(self._ids)

    def __repr__(self) -> str:
        about = f"{self.spec!r}, metric={self.metric!r}, n={len(self)}, dim={self.dim}"
        return f"DeviceIndex({about}, device={self.device!r})"

    @property
    def device(self) -> str:
        """ "cuda:0", say."""
        return f"cuda:{self._gpu.number}"

    @property
    def dim(self) -> int:
        """Dimension of the rows."""
        return self._dim

    @property
    def metric(self) -> str:
        """ "l2", "ip" or "cosine"."""
        return self._index.metric

    @property
    def spec(self) -> str:
        """The factory string that makes such an index."""
        return self._index.spec

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        """The id of each row, (n,) int64, in the order that masks refer to."""
        return self._ids.copy()

    @property
    def settings(self) -> dict[str, Any]:
        """What `search` uses where it is told nothing else."""
        known = {"nprobe": self._jobs.routes, "oversample": self._jobs.finer}
        return {name: getattr(self._settings, name) for name in known if known[name] is not None}

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes on the GPU: "codes" with factors and ids, "model", "work" of searches, "total"."""
        parts = self._jobs.nbytes | {"work": self._work.nbytes}
        return parts | {"total": sum(parts.values())}

    def to(self, device: str) -> "Index | DeviceIndex":
        """A copy on another GPU; for "cpu" the index that this one was made of, as it is now."""
        return self if device == self.device else to(self._index, device)

    def _refuse(self, *_: Any, **__: Any) -> Any:
        """A copy on a GPU cannot change: ReadOnlyError."""
        raise ReadOnlyError(
            'an index on a GPU cannot change: change index.to("cpu"), and then make a new copy '
            f"with .to({self.device!r})."
        )

    add = upsert = remove = fit = _refuse

    def configure(self, **settings: Any) -> None:
        """Change the default settings of `search`."""
        self._settings = self._with(settings)

    def _with(self, settings: Mapping[str, Any]) -> Settings:
        for name in settings:
            if name not in self.settings:
                known = ", ".join(self.settings) or "none"
                raise TypeError(
                    f"unknown search setting {name!r}; on a GPU this index has {known}."
                )
        return replace(self._settings, **settings) if settings else self._settings

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
        """The k nearest rows, k up to 1,024, of each query (nq, d), or of one query (d,).

        q         an array-like, or a torch tensor on this GPU, which is answered with tensors on
                  the current stream. EDEN, TQ, RaBitQ and originals, flat, read it where it lies
                  and wait for nothing; queries of others are made ready on the CPU. Tensors are
                  not checked for NaN and infinity: such a query finds nothing
        filter    as in Index.search
        nprobe    (setting) lists to look into, where rows are in lists
        oversample (setting) rows that are scored again for each that is wanted, where some are;
                  None for four
        threads   without effect: queries are prepared by one
        Raises ShapeError, DtypeError or NonFiniteError for queries, TypeError for a setting that
        is not known, BackendError for k, or for memory that is not there.
        """
        chosen, k = self._with(settings), arrays.positive_int(k, "k")
        keep(k)
        if tensors.is_tensor(q) and q.device.type != "cpu":
            return self._of_tensor(q, k, filter, chosen, progress)
        queries, single = arrays.queries(q, self.dim)
        scores = np.empty((len(queries), k), np.float32)
        ids = np.empty((len(queries), k), np.int64)
        tell = Progress(progress, len(queries), "search")
        with self._lock:
            for job in self._made(queries, k, filter, chosen):
                self._answer(job, scores, ids)
                tell(job.start + job.nq)
        return SearchResult.from_scores(scores, ids, self.metric, single, self._stats(queries))

    def _made(self, queries: FloatArray, k: int, filter: Any, chosen: Settings) -> Iterator[Job]:
        filters = arrays.row_filters(filter, self._ids, len(queries))
        rows = self._jobs.rows(k, chosen.oversample or OVERSAMPLE)
        return self._jobs.of(queries, k, rows, filters, chosen.nprobe)

    def _made_of(self, rows: Any, k: int, filter: Any, chosen: Settings) -> Iterator[Job]:
        """The same of a tensor, which is read where it lies if all is made ready there."""
        if self._jobs.maker is None:
            return self._made(rows.cpu().numpy(), k, filter, chosen)
        filters = arrays.row_filters(filter, self._ids, len(rows))
        some = self._jobs.rows(k, chosen.oversample or OVERSAMPLE)
        return self._jobs.of_address(rows.data_ptr(), len(rows), k, some, filters)

    def _stats(self, queries: Any) -> dict[str, int]:
        return {"rows": len(self), "queries": len(queries)}

    def _answer(self, job: Job, scores: FloatArray, ids: npt.NDArray[np.int64]) -> None:
        """Wait for a job's answers, and write them where they belong."""
        stream, some = self._gpu.stream, slice(job.start, job.start + job.nq)
        room = ids[some].nbytes + scores[some].nbytes
        at = self._room(job.nbytes + room)
        found = at + job.nbytes
        job.queue(at, found + ids[some].nbytes, found, stream)
        self._gpu.download(ids[some], found, stream)
        self._gpu.download(scores[some], found + ids[some].nbytes, stream)
        self._gpu.synchronize(stream)

    def _room(self, nbytes: int) -> int:
        """The address of working memory, kept from search to search."""
        if self._work.nbytes < nbytes:
            self._work = driver.Memory(0, 0)  # the old is given back first
            check_room(self._gpu, nbytes, "a search")
            self._work = self._gpu.allocate(nbytes)
        return self._work.address

    def _of_tensor(
        self, q: Any, k: int, filter: Any, chosen: Settings, progress: ProgressLike
    ) -> SearchResult:
        """`search` of a tensor on this GPU, queued on the caller's stream."""
        number = self._gpu.number
        rows, single = tensors.checked(q, self.dim, number)
        scores = tensors.empty((len(rows), k), "float32", number)
        ids = tensors.empty((len(rows), k), "int64", number)
        tell = Progress(progress, len(rows), "search")
        stream = tensors.stream(number)
        for job in self._made_of(rows, k, filter, chosen):
            work = tensors.empty((job.nbytes,), "uint8", number)
            skip = job.start * k
            job.queue(
                work.data_ptr(), scores.data_ptr() + 4 * skip, ids.data_ptr() + 8 * skip, stream
            )
            tell(job.start + job.nq)
        return tensors.result(scores, ids, self.metric, single, self._stats(rows))
