"""What every quantizer's scores mean under each metric, given that those of ip are right.

Those under ip are in test_scores.
"""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from tests.quantizers.test_contract import ALONE, COARSE, MATCHED, SKETCHED, known, rows, scored
from vqindex.codec import measured
from vqindex.errors import SpecError
from vqindex.factory import parse

U = 2.0**-24
OTHERS = ["Haar,EDEN2(scale=biased)", "None,TQ5(center=yes)", "Calibrated,EDEN2", "PCA,EDEN2+QJL"]
CASES = [*product([*ALONE, *SKETCHED, *COARSE, *OTHERS], (2, 7, 65)), *MATCHED]
cases = pytest.mark.parametrize(("spec", "dim"), CASES)


def serves(spec, metric):
    try:
        parse(spec, metric, 0)
    except SpecError:
        return False
    return True


def sums(codec, x, q):
    """Whole scores (n, nq), and the columns as they were kept."""
    found, operands, columns = scored(codec, x, q)
    return found + operands.alpha, columns


def squares(codec, r):
    """The square norms that l2 has of centred rows: what is kept in place of what is rounded."""
    _, origins = codec._origins(r, None)
    y = codec.transform.apply(r if origins is None else r - origins)
    encoded, found = codec.quantizer.encode(y), np.square(r, dtype=np.float64).sum(axis=1)
    if encoded.rounded and codec.sketch is None:
        found += np.square(encoded.approximation, dtype=np.float64).sum(axis=1)
        found -= np.square(y, dtype=np.float64).sum(axis=1)
    return found


def test_only_those_that_say_so_lack_a_metric():
    lacking = [spec for spec, _dim in CASES if not serves(spec, "l2")]
    assert all("anisotropic" in spec for spec in lacking)
    assert all(serves(spec, metric) for spec, _dim in CASES for metric in ("ip", "cosine"))


@pytest.mark.parametrize(("spec", "dim"), [case for case in CASES if serves(case[0], "l2")])
def test_l2_is_twice_the_product_less_square_norms(spec, dim):
    """Of r and q - c, exactly but for the last sums.

    Codes whose norms are looked up are in test_words_without_a_scale_give_their_own_distances.
    """
    x, q = rows(dim), rows(dim + 1)[:, :dim].copy()
    codec = parse(spec, "l2", 5).fit(x, dim, known(spec, dim))
    if codec._squares is not None:
        pytest.skip("norms are part of the tables")
    center = np.zeros(dim, np.float32) if codec.center is None else codec.center
    r, p = x - center, q - center
    products = sums(replace(codec, metric="ip", center=None), r, p)[0].astype(np.float64)
    lengths = squares(codec, r)[:, None] + np.square(p, dtype=np.float64).sum(axis=1)
    error = 12 * U * (np.abs(lengths) + 2 * np.abs(products))
    assert (np.abs(sums(codec, x, q)[0] - (2 * products - lengths)) <= error).all()


@cases
def test_cosine_is_ip_of_rows_and_queries_divided_by_their_norms(spec, dim):
    """Bit for bit; and so are the codes."""
    x, q = rows(dim), rows(dim + 1)[:, :dim].copy()
    codec = parse(spec, "cosine", 5).fit(x, dim, known(spec, dim))
    found, columns = sums(codec, x, q)
    plain = replace(codec, metric="ip")
    want, same = sums(plain, measured(x, "cosine"), measured(q, "cosine"))
    assert found.tobytes() == want.tobytes()
    assert all(columns[name].tobytes() == array.tobytes() for name, array in same.items())
