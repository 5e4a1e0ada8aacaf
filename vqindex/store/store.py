"""VectorStore: documents and their vectors in one folder, that loses nothing."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from vqindex import arrays
from vqindex.errors import SpecError
from vqindex.factory import index_factory
from vqindex.progress import ProgressLike
from vqindex.store import documents, finding, writing
from vqindex.store.asynchronous import Asynchronous
from vqindex.store.closing import Closing
from vqindex.store.database import Database, read_state
from vqindex.store.documents import Document, Hit
from vqindex.store.finding import Where
from vqindex.store.keeper import Keeper
from vqindex.store.schema import FORMAT, State
from vqindex.store.where import field_path

Embed = Callable[[list[str]], Any]
PAGE = 256  # documents an iterator reads at a time


@final
class VectorStore(Closing, Asynchronous):
    """Documents (string id, text, metadata) and their vectors, searched by vector and by filter.

    path       a folder, made if need be, or ":memory:"
    spec       a factory string for the index, or None: chosen as the store grows
    metric     "cosine", "l2" or "ip"
    embed      a function from a list of strings to their vectors (n, d), for texts and questions
    originals  "f32" keeps vectors as given (float64 where float32 would lose something), "f16"
               keeps them in half the space
    read_only  look at a store that another process may be writing

    A store that is there already keeps its metric and originals, which then need not be given.
    Whatever a call wrote is on the disk before the call returns, and nothing of a call that
    raised. One object may write to a folder, and any number may read: each answer is that of one
    committed state. Every method may be called from many threads. After a fork the child can read
    a folder, and has its own copy of what is in memory.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = ":memory:",
        *,
        spec: str | None = None,
        metric: str | None = None,
        embed: Embed | None = None,
        originals: str | None = None,
        read_only: bool = False,
    ) -> None:
        if originals not in (None, "f32", "f16"):
            raise SpecError(f'originals must be "f32" or "f16", got {originals!r}.')
        wanted = None if metric is None else arrays.metric(metric)
        if spec is not None:
            index_factory(spec, metric=wanted or "cosine")
        folder = None if path == ":memory:" else Path(path)
        new = State(
            FORMAT, wanted or "cosine", spec, originals or "f32", None, 0, 0, 0, 0, 0, None, 0
        )
        self.embed = embed
        self._db = Database(folder, read_only, new)
        try:
            with self._db.reading() as connection:
                state = read_state(connection)
            _check_same("metric", wanted, state.metric)
            _check_same("originals", originals, state.originals)
        except BaseException:
            self._db.close()
            raise
        self.metric, self.originals = state.metric, state.originals
        self._keeper = Keeper(self._db, state.metric, spec or state.spec)
        if not read_only:
            self._keeper.sweep({state.index_file})

    # What is in it

    def __len__(self) -> int:
        with self._db.reading() as connection:
            return read_state(connection).documents

    def __contains__(self, id: object) -> bool:
        return isinstance(id, str) and bool(self.get([id]))

    def __repr__(self) -> str:
        where = ":memory:" if self.path is None else str(self.path)
        return f"VectorStore({where!r}, metric={self.metric!r})"

    @property
    def path(self) -> Path | None:
        """The folder, None in memory."""
        return self._db.folder

    @property
    def dim(self) -> int | None:
        """Dimension of the vectors, None before the first."""
        with self._db.reading() as connection:
            return read_state(connection).dim

    def get(self, ids: str | Sequence[str]) -> list[Document]:
        """The documents of some ids, in the order asked; ids that are not there are left out."""
        names = documents.id_list(ids)
        with self._db.reading() as connection:
            dim = read_state(connection).dim
            return finding.by_ids(connection, names, dim)

    def count(self, where: Where = None) -> int:
        """How many documents pass a filter, see `vqindex.store.where`."""
        if where is None:
            return len(self)
        with self._db.reading() as connection:
            return len(finding.rows(connection, where))

    def documents(
        self, where: Where = None, *, limit: int | None = None, offset: int = 0
    ) -> Iterator[Document]:
        """Documents that pass a filter, in the order in which their ids were first added.

        Which ones is settled at the first; each page of 256 is read when it is reached, so of
        what changes meanwhile the old or the new is seen, and what is removed may be left out.
        """
        with self._db.reading() as connection:
            rows = finding.rows(connection, where)
        rows = rows[offset:] if limit is None else rows[offset : offset + limit]
        for start in range(0, len(rows), PAGE):
            with self._db.reading() as connection:
                part = rows[start : start + PAGE].tolist()
                found = finding.by_rows(connection, part, read_state(connection).dim)
            yield from (found[row] for row in part if row in found)

    # Changing it

    def add(
        self, ids: Sequence[str], vectors: Any = None, texts: Any = None, metadata: Any = None,
        *, skip_existing: bool = False, progress: ProgressLike = False,
    ) -> int:  # fmt: skip
        """Add documents under new ids; how many were added.

        vectors   (n, d), or a list in which None stands for a document without a vector; if None,
                  `embed` makes them of texts, or documents have none: they can be got and filtered
        texts     strings or None; metadata dicts of JSON values or None
        skip_existing  leave documents alone whose ids are there, instead of raising IdError
        Raises IdError, ShapeError, DtypeError, NonFiniteError, DocumentError, ReadOnlyError or
        StoreError, and then nothing was added.
        """
        mode = "skip" if skip_existing else "add"
        return self._write(mode, ids, vectors, texts, metadata, progress)

    def upsert(
        self, ids: Sequence[str], vectors: Any = None, texts: Any = None, metadata: Any = None,
        *, progress: ProgressLike = False,
    ) -> int:  # fmt: skip
        """Add documents, wholly in place of those whose ids are there; how many.

        An id may come twice: the later one stands. Arguments and errors as in `add`.
        """
        return self._write("upsert", ids, vectors, texts, metadata, progress)

    def _write(
        self, mode: str, ids: Any, vectors: Any, texts: Any, metadata: Any, progress: ProgressLike
    ) -> int:
        self._db.check_writable()
        if vectors is None and texts is not None and self.embed is not None:
            texts = list(texts)
            there = [i for i, text in enumerate(texts) if text is not None]
            made = iter(self._embedded([texts[i] for i in there]))
            vectors = [None if text is None else next(made) for text in texts]
        half = self.originals == "f16"
        batch = documents.batch(ids, texts, metadata, vectors, half=half)
        if not len(batch):
            return 0
        with self._db.writing() as connection:
            written = writing.write(connection, batch, mode, progress)
        self._keeper.after_write(written)
        return len(written.blobs)

    def remove(self, ids: str | Sequence[str] | None = None, where: Where = None) -> int:
        """Remove documents by id, by a filter, or those of the ids that pass it; how many.

        Ids that are not there are ignored. To remove all, see `clear`.
        """
        if ids is None and where is None:
            raise ValueError("remove needs ids or a filter; clear() removes every document.")
        names = None if ids is None else documents.id_list(ids)
        with self._db.writing() as connection:
            rows = finding.rows(connection, where, names)
            writing.remove(connection, rows)
        self._keeper.after_write()
        return len(rows)

    def update(
        self, metadata: Mapping[str, Any], ids: str | Sequence[str] | None = None,
        where: Where = None,
    ) -> int:  # fmt: skip
        """Merge metadata into that of documents by id, by a filter, or by both; how many.

        All at once: nothing that others write in between is lost.
        """
        if ids is None and where is None:
            raise ValueError('update needs ids or a filter; {"and": []} passes every document.')
        names = None if ids is None else documents.id_list(ids)
        with self._db.writing() as connection:
            dim, half = read_state(connection).dim, self.originals == "f16"
            rows = finding.rows(connection, where, names).tolist()
            for start in range(0, len(rows), PAGE):
                found = finding.by_rows(connection, rows[start : start + PAGE], dim).values()
                batch = documents.batch(
                    [one.id for one in found],
                    [one.text for one in found],
                    [{**one.metadata, **metadata} for one in found],
                    [one.vector for one in found],
                    half=half,
                )
                writing.write(connection, batch, "upsert")
        self._keeper.after_write()
        return len(rows)

    def clear(self) -> int:
        """Remove every document; how many there were. The next vectors may be of another size."""
        with self._db.writing() as connection:
            rows = finding.rows(connection, None)
            writing.remove(connection, rows)
        self._keeper.after_write()
        return len(rows)

    def index_field(self, field: str | Sequence[str]) -> None:
        """Keep an index of a field of metadata, for filters to look it up instead of reading all.

        It serves ==, !=, <, <=, >, >= and `in` with numbers, strings, booleans and null.
        """
        with self._db.writing() as connection:
            writing.index_field(connection, field_path(field))

    # Asking it

    def search(
        self, query: Any, k: int = 10, where: Where = None, *,
        threshold: float | None = None, rerank: bool = True,
    ) -> list[Hit]:  # fmt: skip
        """The k nearest documents to a vector (d,), or to a text if there is `embed`.

        where      only documents that pass a filter, k of them if so many do
        threshold  only documents with at least this score: cosine, inner product, or minus the
                   square distance
        rerank     score the best candidates once more by their own vectors; else by their codes
        """
        one = self._embedded([query]) if isinstance(query, str) else [query]
        return self.search_batch(one, k, where, threshold=threshold, rerank=rerank)[0]

    def search_batch(
        self, queries: Any, k: int = 10, where: Where = None, *,
        threshold: float | None = None, rerank: bool = True,
    ) -> list[list[Hit]]:  # fmt: skip
        """`search` for each of several queries: vectors (nq, d), or a list of texts."""
        k = arrays.positive_int(k, "k")
        if isinstance(queries, list | tuple):
            if not queries:
                return []
            if isinstance(queries[0], str):
                queries = self._embedded(list(queries))
        with self._keeper.synced() as (connection, state):
            asked = finding.Questions.of(queries, state.dim)
            found = finding.best(connection, self._keeper.mirror, state, asked, k, where, rerank)
            return finding.hits(connection, state, found, threshold)

    def search_mmr(
        self, query: Any, k: int = 10, *, fetch_k: int = 50, lambda_mult: float = 0.5,
        where: Where = None,
    ) -> list[Hit]:  # fmt: skip
        """k of the fetch_k nearest documents that differ, by maximal marginal relevance.

        lambda_mult  1 for the nearest, 0 for those least alike, by cosine
        """
        k, fetch_k = arrays.positive_int(k, "k"), arrays.positive_int(fetch_k, "fetch_k")
        if isinstance(query, str):
            query = self._embedded([query])[0]
        hits = self.search(query, max(k, fetch_k), where)
        return finding.spread_out(query, hits, k, lambda_mult)

    # Keeping it

    def optimize(self, progress: ProgressLike = False) -> None:
        """Make the index anew from all vectors, of the kind for so many, and save it.

        Searches go on meanwhile. Calls that write do by themselves what is needed; this is for
        after many changes, or before many searches. Gives back room on the disk.
        """
        self._keeper.optimize(progress)

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Make a folder, new or of an earlier copy, a copy of this store, at once or not at all.

        Others may read and write this store meanwhile, and read the copy. The folder is as if
        opened to write; StoreLockedError where another has it open so. Its index is made anew.
        """
        options = {"metric": self.metric, "originals": self.originals}
        with VectorStore(path, **options) as copy:  # type: ignore[arg-type]
            with self._db.reading() as source:
                copy._db.take(source)
            copy._keeper.after_write()

    def verify(self) -> None:
        """Read everything there is, and hold it against each other; CorruptFileError."""
        self._keeper.verify()

    def info(self) -> dict[str, Any]:
        """How much there is of what, how it is indexed, and the bytes it takes."""
        return self._keeper.info()

    def close(self) -> None:
        """Let others write; every other method raises ValueError from then on."""
        self._keeper.close()

    # Within

    def _embedded(self, texts: list[str]) -> Any:
        if self.embed is None:
            raise ValueError("texts need an embedding function: VectorStore(..., embed=function).")
        return self.embed(texts) if texts else []


def _check_same(name: str, wanted: str | None, found: str) -> None:
    if wanted is not None and wanted != found:
        raise SpecError(f"{name} of this store is {found!r}, got {wanted!r}.")
