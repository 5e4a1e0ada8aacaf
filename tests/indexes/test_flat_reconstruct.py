"""Reconstruction: exact where rows are kept, within the code's own error where not."""

import numpy as np
import pytest

import vqindex as vq

METRICS = ("l2", "ip", "cosine")
N, D = 2000, 96


def vectors(n=N, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, D)) + 0.5 * rng.standard_normal(D)).astype(np.float32)


def reconstructed(spec, metric, x):
    index = vq.index_factory(spec, metric=metric)
    ids = np.random.default_rng(1).permutation(len(x)) + 5
    index.add(x, ids=ids)
    return index.reconstruct(ids)


def target(x, metric):
    """Under cosine only directions are coded."""
    x = x.astype(np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True) if metric == "cosine" else x


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", ["EDEN4,Keep(f32)", "QJL,Keep(f32)", "F32,Keep(f32)"])
def test_kept_rows_come_back_as_they_were(spec, metric):
    x = vectors()
    np.testing.assert_array_equal(reconstructed(spec, metric, x), x)


@pytest.mark.parametrize("metric", METRICS)
def test_rows_kept_in_float16_come_back_rounded(metric):
    x = vectors()
    got = reconstructed("EDEN1,Keep(f16)", metric, x)
    np.testing.assert_array_equal(got, x.astype(np.float16))


@pytest.mark.parametrize("metric", METRICS)
def test_float32_rows(metric):
    x = vectors()
    got = reconstructed("F32", metric, x)
    if metric != "cosine":
        np.testing.assert_array_equal(got, x)
    # The norm sums 96 squares in 16 lanes of 6 and 4 halvings; then a root and a division.
    assert (np.abs(got - target(x, metric)) <= 12 * 2.0**-24 * np.abs(target(x, metric))).all()


@pytest.mark.parametrize("metric", METRICS)
def test_float16_and_bytes_are_off_by_half_a_step(metric):
    x = vectors()
    want = target(x, metric)
    got = reconstructed("F16", metric, x)
    assert (np.abs(got - want) <= np.abs(want) * (2.0**-11 + 2.0**-20) + 2.0**-25).all()
    got = reconstructed("SQ8", metric, x)
    step = np.abs(want).max(axis=1, keepdims=True) / 127.5
    assert (np.abs(got - want) <= step * (0.5 + 2.0**-14)).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("spec", "distortion"),
    [
        ("EDEN1", 0.36338), ("EDEN2", 0.11748), ("EDEN4", 0.0095053), ("EDEN8", 0.00008769),
        ("TQ4", 0.0095053), ("EDEN4(scale=biased)", 0.0095053), ("Haar,EDEN2", 0.11748),
    ],
)  # fmt: skip
def test_rotated_codes_err_by_their_distortion(spec, distortion, metric):
    """Of the squared norm, centred; the law at d = 96 is a little narrower than the normal one.

    The mean of 2,000 rows' relative errors is known to 4 of its standard errors.
    """
    x = vectors()
    want = target(x, metric)
    centre = 0 if spec == "TQ4" else want[:1024].mean(axis=0)
    errors = ((reconstructed(spec, metric, x) - want) ** 2).sum(axis=1)
    errors /= ((want - centre) ** 2).sum(axis=1)
    assert errors.mean() <= distortion + 4 * errors.std() / np.sqrt(N)
    assert errors.mean() >= 0.8 * distortion


@pytest.mark.parametrize("metric", METRICS)
def test_sketches_leave_less_error_than_the_code_alone(metric):
    x = vectors()
    want = target(x, metric)
    errors = [
        ((reconstructed(spec, metric, x) - want) ** 2).sum()
        for spec in ("QJL", "QJL384", "TQ2", "TQ2+QJL", "TQ2+QJL384")
    ]
    assert errors[1] < errors[0] < (want**2).sum()
    assert errors[4] < errors[3] < errors[2]


def test_a_row_is_the_same_alone_and_among_others():
    for spec in ("F32", "SQ8", "EDEN4", "TQprod3", "QJL"):
        index = vq.index_factory(spec)
        index.add(vectors())
        batch = index.reconstruct(np.arange(N)[::-1])[::-1]
        for i in (0, 1, 999, N - 1):
            np.testing.assert_array_equal(index.reconstruct([i])[0], batch[i])
            np.testing.assert_array_equal(index.reconstruct(i)[0], batch[i])
        np.testing.assert_array_equal(index.reconstruct([3, 3]), batch[[3, 3]])
        assert batch.dtype == np.float32


@pytest.mark.parametrize("spec", ["F32", "EDEN4"])
def test_a_missing_id_is_a_key_error(spec):
    index = vq.index_factory(spec)
    with pytest.raises(KeyError, match="id 3 is not in the index, which is empty"):
        index.reconstruct([3])
    index.add(vectors(10))
    index.remove([4])
    for ids in ([0, 4, 12], [4], 4):
        with pytest.raises(KeyError, match="id 4 is not in the index"):
            index.reconstruct(ids)
    assert index.reconstruct([]).shape == (0, D)
    with pytest.raises(vq.DtypeError, match="ids must be integers"):
        index.reconstruct([1.5])
