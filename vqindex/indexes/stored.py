"""Codes as kernels take them: bound to the addresses where they lie."""

import numpy as np

from vqindex.codec import ID, Codec
from vqindex.codes import Codes
from vqindex.kernels.cpu import records, score, search
from vqindex.kernels.cpu.program import BLOCK, UNBOUND, bind, looked_words, table
from vqindex.kernels.cpu.records import Held, Stored
from vqindex.layouts.base import FloatArray
from vqindex.layouts.operands import Operands
from vqindex.memory import address
from vqindex.scoring import Scorer


def stored(codes: Codes, scorer: Scorer, first: int = 0) -> Held:
    """Codes as searches take them, see _held; made once for as long as addresses stay."""
    found: Held | None = codes.bound.get(scorer)
    if found is None:
        found = codes.bound[scorer] = _held(scorer, codes, first)
    return found


def _held(scorer: Scorer, codes: Codes, first: int) -> Held:
    """The codes of a scorer whose columns begin at column `first`."""
    where = codes.addresses[first:]
    bias, ratio = (table(where, column) for column in (scorer.bias, scorer.ratio))
    program = bind(scorer.fields, where)
    words = looked_words(program[: scorer.signs])
    record = Stored(
        address(program), len(program), bias, table(codes.addresses, codes.index[ID]), ratio,
        scorer.signs, scorer.rated, words, UNBOUND,
    )  # fmt: skip
    return Held(record, program)


def scores_of_blocks(
    codes: Codes, codec: Codec, operands: Operands, first: int, last: int, column: int = 0
) -> FloatArray:
    """Scores of the slots of blocks first..last-1 with at most CHUNK queries, (slots, nq).

    Without what their lists add. The codec's columns begin at `column`.
    """
    held = _held(codec.scorer, codes, column)
    here: Stored = held.at._replace(signs=0, words=0)
    asked = operands.asked(0, operands.norms, packed=True)
    scratch = records.scratch(asked.row_bytes)
    out = np.empty((last - first, BLOCK, score.CHUNK), np.float32)
    search.score_blocks(here, np.arange(first, last), asked, scratch, out)
    slots = min(last * BLOCK, codes.n) - first * BLOCK
    return out.reshape(-1, score.CHUNK)[:slots, : operands.nq]
