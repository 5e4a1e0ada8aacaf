"""Fast scans: of codes that look-ups bound but for their rounding, one query or many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.cases import SLACKS, Case, masks_of, same
from tests.kernels.programs import one
from tests.kernels.test_signs import expected, found
from vqindex.kernels.cpu.fastscan import FEW
from vqindex.kernels.cpu.whole import is_whole
from vqindex.kernels.reference.select import top_k
from vqindex.layouts.sign import SignCodes
from vqindex.layouts.table import TableCodes
from vqindex.memory import address

WHOLE = {
    "4 bits": one(TableCodes(37, 4), False, bias=False, ratio=False),
    "4 bits, two words": one(TableCodes(32, 4), ratio=False),
    "8 bits": one(TableCodes(5, 8), ratio=False),
    "signs": one(SignCodes(100), ratio=False),
    "signs without a scale": one(SignCodes(65), False, ratio=False),
}


class Copies(Case):
    """Rows of which most are copies of a few others."""

    def __init__(self, program, n, kinds, seed=0):
        super().__init__(program, n, seed)
        like = self.rng.integers(0, kinds, n)
        like[self.rng.random(n) < 0.1] = n - 1
        self.ids = self.rng.permutation(3 * n)[:n].astype(np.int64)
        columns = {**self.codes.take(like), "id": self.ids}
        self.codes.put(np.arange(n), columns)
        self.parts = [part[like] for part in self.parts]
        for name in ("scales", "ratios"):
            held = getattr(self, name)
            setattr(self, name, [None if x is None else x[like] for x in held])
        self.bias = None if self.bias is None else self.bias[like]
        self.bind()


@pytest.mark.parametrize("nq", [1, 7, 8, 9, 17, 33])
@pytest.mark.parametrize("name", WHOLE)
def test_the_best_by_score(name, nq):
    """Bounds are above scores, so nothing but the scores counts."""
    for n, k in ((1, 1), (32, 3), (700, 10), (2000, FEW), (2000, FEW + 1)):
        case = Case(WHOLE[name], n)
        operands = case.prepare(nq)
        asked = case.asked(operands)
        assert (case.bounds(operands) >= case.scores(operands)).all()
        got, scored = found(case, asked, k)
        assert same(got, top_k(case.scores(operands).T.copy(), case.ids, k))
        assert scored >= nq * min(k, n)


@pytest.mark.parametrize("nq", [1, 9])
@pytest.mark.parametrize("name", WHOLE)
def test_rows_alike_are_told_apart_by_their_ids(name, nq):
    for kinds in (1, 2, 40):
        case = Copies(WHOLE[name], 1500, kinds)
        operands, allowed = case.prepare(nq), case.rng.random(1500) < 0.6
        for slack in SLACKS:
            asked = case.asked(operands, slack)
            for k in (1, 10, FEW):
                got, _ = found(case, asked, k, masks_of(1500, allowed))
                assert same(got, expected(case, operands, slack, k, allowed))


@given(st.integers(1, 400), st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**31))
def test_any_rows(n, k, nq, seed):
    case = Copies(WHOLE["4 bits"], n, 1 + seed % n, seed)
    operands = case.prepare(nq)
    got, _ = found(case, case.asked(operands), k)
    assert same(got, top_k(case.scores(operands).T.copy(), case.ids, k))


@pytest.mark.parametrize("name", WHOLE)
def test_few_rows_are_scored(name):
    case, k = Case(WHOLE[name], 3000), 10
    _, scored = found(case, case.asked(case.prepare(12)), k)
    assert scored < 12 * 3000 / 2


def test_what_is_looked_up_whole():
    for name, program in WHOLE.items():
        case = Case(program, 5)
        assert is_whole(case.stored, case.asked(case.prepare(1))), name
    for name in (
        "scalar",
        "a sketch",
        "outliers",
        "tables and a sketch",
        "signs of several segments",
    ):
        case = Case(name, 5)
        assert not is_whole(case.stored, case.asked(case.prepare(1))), name


@pytest.mark.parametrize("nq", [1, 10])
def test_lists_add_their_shares(nq):
    case, lists = Case(WHOLE["4 bits, two words"], 1000), 3
    operands = case.prepare(nq)
    owners = case.rng.integers(0, lists, len(case.blocks)).astype(np.int32)
    shares = np.float32(case.rng.standard_normal((nq, 16)) * 50)
    stored = case.stored._replace(owners=address(owners))
    asked = case.asked(operands)._replace(shares=address(shares), lists=16)
    case.stored = stored
    got, _ = found(case, asked, 10)
    wanted = case.scores(operands).T + shares[:, owners[np.arange(1000) // 32]]
    assert same(got, top_k(wanted.copy(), case.ids, 10))
