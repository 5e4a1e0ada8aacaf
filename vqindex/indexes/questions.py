"""Queries made ready for codes, lists and finer codes."""

from dataclasses import dataclass

from vqindex.indexes.model import Model
from vqindex.layouts.base import FloatArray
from vqindex.layouts.operands import Operands


@dataclass(frozen=True)
class Questions:
    """Prepared queries.

    operands   what meets the codes
    shares     (nq, lists padded): what each list adds to scores, where rows are in lists
    finer      what meets the finer codes, if the best rows are scored again
    blurs      (nq,): what shares may be off by, see records.Asked
    """

    operands: Operands
    shares: FloatArray | None
    finer: Operands | None
    blurs: FloatArray | None = None

    @property
    def nq(self) -> int:
        """Queries."""
        return self.operands.nq

    def select(self, start: int, stop: int) -> "Questions":
        """Some of the queries; start is a multiple of sixteen."""
        return Questions(
            self.operands.select(start, stop),
            None if self.shares is None else self.shares[start:stop],
            None if self.finer is None else self.finer.select(start, stop),
            None if self.blurs is None else self.blurs[start:stop],
        )


def questions(model: Model, queries: FloatArray) -> Questions:
    """Queries (nq, d) float32, prepared."""
    asked = model.codec.asked(queries)
    shares, blurs = (None, None) if model.centroids is None else model.centroids.met(asked)
    finer = None if model.finer is None else model.finer.operands(queries)
    return Questions(model.codec.operands(queries, asked), shares, finer, blurs)
