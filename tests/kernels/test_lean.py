"""How sure an estimate is for rows of a list, against the definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqindex.kernels.cpu import lean
from vqindex.kernels.cpu.compile import kernel
from vqindex.kernels.cpu.records import Asked, Stored
from vqindex.kernels.reference.lean import Widths
from vqindex.kernels.reference.lean import lean as lean_by_definition
from vqindex.kernels.reference.lean import reach as reach_by_definition

F32 = np.float32
WIDTHS = Widths(1.05, 0.2, 0.6)


@kernel
def leaned(stored, asked, out):
    for query in range(out.shape[0]):
        for owner in range(out.shape[1]):
            more, slack = lean.lean_of(stored, asked, query, owner)
            out[query, owner, 0], out[query, owner, 1] = more, slack
            out[query, owner, 2] = lean.reach_of_list(stored, asked, query, owner)


def both(queries, origins, share, alpha, widths=WIDTHS, drifts=True, blur=1e-4):
    """What kernels make of queries and lists, and the definition, (nq, lists, 3)."""
    nq, lists = len(queries), len(origins)
    norms, along = (F32(np.linalg.norm(x, axis=1)) for x in (queries, origins))
    blurs, gamma = np.full(nq, blur, F32), F32(np.abs(queries).max(axis=1) / 127)
    shares = np.ascontiguousarray(F32(queries @ origins.T) * F32(share))
    alphas = F32(np.linspace(-1, 1, nq)) * F32(alpha)
    sizes = np.ascontiguousarray(F32(np.stack([along, along / 2], axis=1)))
    kept = F32([*widths, 1 / share, alpha])
    at = [a.ctypes.data for a in (norms, blurs, gamma, shares, alphas, sizes, kept)]
    empty = dict.fromkeys(Asked._fields, 0)
    asked = Asked(**empty | {"nq": nq, "lists": lists, "norms": at[0], "blurs": at[1],
                             "gamma": at[2], "shares": at[3], "alpha": at[4]})  # fmt: skip
    known = {"segments": 1, "sizes": at[5], "widths": at[6], "drift": int(drifts)}
    stored = Stored(**dict.fromkeys(Stored._fields, 0) | known)
    out = np.full((nq, lists, 3), np.nan, F32)
    leaned(stored, asked, out)
    kept = kept.astype(np.float64)
    met = shares.astype(np.float64) * kept[3] + alphas.astype(np.float64)[:, None] * kept[4]
    parts = (
        norms[:, None].astype(np.float64), met, along[None].astype(np.float64),
        blurs[:, None].astype(np.float64) * sizes[:, 1], gamma[:, None].astype(np.float64),
    )  # fmt: skip
    errors = Widths(*kept[:3])
    want = *lean_by_definition(*parts, errors, drifts), reach_by_definition(*parts, errors)
    return out, np.stack(want, axis=2).astype(F32)


def vectors(rng, n, d, size):
    return (rng.standard_normal((n, d)) * size).astype(F32)


@pytest.mark.parametrize("drifts", [True, False])
@pytest.mark.parametrize(("share", "alpha"), [(1.0, 1.0), (0.5, 0.0)])
@pytest.mark.parametrize("size", [1e-20, 1.0, 1e17])
def test_equal_the_definition(size, share, alpha, drifts):
    rng = np.random.default_rng(0)
    queries, origins = vectors(rng, 7, 24, size), vectors(rng, 9, 24, size)
    origins[0], queries[0], queries[1] = 0, 0, origins[3]
    got, want = both(queries, origins, share, alpha * size, drifts=drifts, blur=1e-4 * size)
    np.testing.assert_array_max_ulp(got, want, 1)
    assert np.isfinite(got).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 1e18), st.booleans())
def test_any(seed, wide, drifts):
    rng = np.random.default_rng(seed)
    queries, origins = vectors(rng, 3, 8, 10.0 ** rng.integers(-9, 9)), vectors(rng, 4, 8, 1)
    got, want = both(queries, origins, 1.0, 0.0, Widths(wide, wide / 3, wide), drifts)
    np.testing.assert_array_max_ulp(got, want, 1)


def test_queries_at_an_origin_leave_what_they_are_rounded_by():
    """Then neither signs nor codes err but by the query's own steps, and drifts count in full."""
    origins = vectors(np.random.default_rng(0), 5, 24, 1.0)
    got, _ = both(origins, origins, 1.0, 0.0, blur=0)
    steps = np.abs(origins).max(axis=1) / 127 * WIDTHS.step
    along = np.linalg.norm(origins, axis=1)
    own = got[np.arange(5), np.arange(5)]
    np.testing.assert_allclose(own[:, 0], along, rtol=1e-6)
    lost = along * 2.0**-11  # to the rounding of |a|^2 and <a, v> to float32
    signs = steps * np.sqrt(np.pi / 2)
    for found, least in ((own[:, 1], signs + 2.0**-10 * along), (own[:, 2], steps)):
        assert (found >= least * (1 - 1e-6)).all()
        assert (found <= least + lost).all()
    apart = ~np.eye(5, dtype=bool)
    assert (got[apart][:, 1] > 10 * steps.max()).all()
