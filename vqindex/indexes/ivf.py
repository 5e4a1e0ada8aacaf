"""IVFIndex: rows in lists, of which a query looks into those that it is near."""

from typing import Any, ClassVar, final

import numpy as np

from vqindex.indexes.base import Index
from vqindex.indexes.centroids import STRAIN
from vqindex.indexes.flat import recipe
from vqindex.indexes.probe import Probe
from vqindex.indexes.recipe import InvertedFile
from vqindex.indexes.scan import Scan
from vqindex.quantizers.base import Quantizer
from vqindex.quantizers.coarse import Coarse
from vqindex.sketches.qjl import QJL
from vqindex.transforms.base import Transform


@final
class IVFIndex(Index):
    """An inverted file: rows are shared among lists of near ones, and coded from their centroids.

    nlist       how many lists, or None: 4 sqrt(n) of the n rows that they are fitted to
    spill       how many further lists each row is put in, 0 to 7: searches look into fewer lists,
                and there are as many more codes, but no more originals nor codes to rerank by
    The other arguments are those of FlatIndex.

    A search looks into `nprobe` lists, and into more where those hold fewer than k rows that pass
    its filter; of a row that is found in several, the best score counts.
    """

    _names: ClassVar[tuple[str, ...]] = ("nprobe", "eps0", "stages")
    _kind: ClassVar[type[Scan]] = Probe

    def __init__(
        self,
        nlist: int | None = None,
        *,
        metric: str = "cosine",
        transform: Transform | None = None,
        quantizer: Quantizer | None = None,
        sketch: QJL | None = None,
        keep: str | None = None,
        rerank: Quantizer | None = None,
        seed: int = 0,
        coarse: Coarse | None = None,
        spill: int = 0,
    ) -> None:
        parts: dict[str, Any] = {"lists": InvertedFile(nlist, spill), "rerank": rerank}
        super().__init__(recipe(metric, transform, quantizer, sketch, keep, seed, coarse, **parts))

    @property
    def nlist(self) -> int | None:
        """How many lists there are, None before they are fitted."""
        with self._lock.read():
            rows = self._rows
            return None if rows is None or rows.lists is None else rows.lists.count

    @property
    def imbalance(self) -> float | None:
        """How many times the rows of an even share a row has beside it in its list, on average.

        nlist * sum(size^2) / n^2 over the lists: 1 where all are of one size, nlist where one has
        all rows. A search reads about as many times what it would of even lists. None where there
        are no lists, or no rows.
        """
        with self._lock.read():
            lists = None if self._rows is None else self._rows.lists
            if lists is None or not lists.n:
                return None
            return float(np.square(lists.sizes / lists.n).sum() * lists.count)

    def drift(self) -> float:
        """How far the rows added since fitting lie from their lists' centroids.

        The mean of their square distances, over that of the rows that the lists were fitted to;
        a single row counts for at most 1,024. Rows that are gone again count too. Rows like those
        of the sample give up to some 1.12, as centroids fit their own sample best: take down what
        your first rows give. Where it has grown by a fifth, codes err by about as much more
        in square, and a search finds less in as many lists: make a new index, from all rows or a
        sample of them. 1 where no rows were added since.
        """
        with self._lock.read():
            lists = None if self._rows is None else self._rows.lists
            added, strain = (0, 0) if lists is None else lists.later
            return strain / (STRAIN * added) if added else 1.0

    def compact(self) -> None:
        """Lay the rows of each list side by side, as after many changes they are not.

        Searches find the same, and read memory in order; the order of `ids` changes. Takes the
        memory of the codes once more while it works. An interrupt leaves all as it was.
        """
        with self._lock.write():
            if self._rows is not None:
                self._writable(self._rows.dim).compact()
