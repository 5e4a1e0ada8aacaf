"""Coordinate descent on the anisotropic loss, against the reference and the loss itself."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vqindex.kernels.cpu import anisotropic
from vqindex.kernels.reference import anisotropic as reference


def problem(rng, n, spaces, count, width):
    rows = rng.standard_normal((n, spaces, width)).astype(np.float32)
    words = rng.standard_normal((spaces, count, width)).astype(np.float32)
    products = np.einsum("nsd,skd->nsk", rows, words)
    squares = (words**2).sum(axis=2)
    lengths = (rows**2).sum(axis=(1, 2))
    codes = rng.integers(0, count, (n, spaces), dtype=np.int32)
    return rows, words, products, squares, lengths, codes


@settings(deadline=None, max_examples=60)
@given(
    n=st.sampled_from([0, 1, 5]), spaces=st.integers(1, 9), count=st.sampled_from([1, 3, 16, 65]),
    width=st.integers(1, 4), rounds=st.integers(0, 4), whole=st.booleans(),
    seed=st.integers(0, 2**32),
)  # fmt: skip
def test_descend_equals_the_reference(n, spaces, count, width, rounds, whole, seed):
    """Whole numbers are often equal: ties."""
    rng = np.random.default_rng(seed)
    _, _, products, squares, lengths, codes = problem(rng, n, spaces, count, width)
    if whole:
        products, squares, lengths = (np.round(x) for x in (products, squares, lengths))
    scales = rng.uniform(0, 2, n).astype(np.float32)
    want = reference.descend(products, squares, lengths, scales, rounds, codes)
    found = codes.copy()
    anisotropic.descend(products, squares, lengths, scales, rounds, found)
    assert found.tobytes() == want.tobytes()
    assert len(anisotropic.descend.signatures) == 1


def test_codes_end_where_no_change_of_one_helps():
    rng = np.random.default_rng(0)
    rows, words, products, squares, lengths, codes = problem(rng, 20, 6, 16, 2)
    scales = (2 / np.sqrt(lengths)).astype(np.float32)
    anisotropic.descend(products, squares, lengths, scales, 100, codes)

    def loss(i, chosen):
        y = rows[i].astype(np.float64)
        r = y - words[np.arange(6), chosen]
        return (r**2).sum() + (scales[i] * (r * y).sum()) ** 2

    for i in range(20):
        least = loss(i, codes[i])
        for s in range(6):
            for word in range(16):
                other = codes[i].copy()
                other[s] = word
                assert loss(i, other) >= least - 1e-4
