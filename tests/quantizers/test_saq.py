"""SAQ: what it promises beyond what every quantizer keeps."""

from itertools import pairwise

import numpy as np
import pytest

import vqindex as vq
from vqindex.datasets import load
from vqindex.errors import CorruptFileError, SpecError
from vqindex.factory import parse
from vqindex.quantizers.saq import SAQ, FittedSAQ

DIM = 150


def spectral(n, dim=DIM, seed=0, decay=1.0):
    """Normal rows whose spreads fall as a power of the direction's number."""
    spreads = np.arange(1, dim + 1) ** (-decay / 2)
    return (np.random.default_rng(seed).standard_normal((n, dim)) * spreads).astype(np.float32)


def grouped(n, seed=0):
    """Rows in groups of twenty or so, near each other, so that bounds have something to spare."""
    rng = np.random.default_rng([seed, 1])
    return spectral(400, decay=0.5)[rng.integers(0, 400, n)] + 0.3 * spectral(n, DIM, seed, 0.5)


@pytest.fixture(scope="module")
def fitted():
    return SAQ(3).fit(grouped(4000), DIM, 0)


def test_wide_directions_have_more_bits(fitted):
    assert isinstance(fitted, FittedSAQ)
    assert list(fitted.bits) == sorted(fitted.bits, reverse=True)
    assert fitted.bits[0] > fitted.bits[-1]
    assert sum(fitted.bits) <= 3 * 8 * 3


@pytest.mark.parametrize("bits", [1, 2])
def test_equal_directions_have_equal_bits(bits):
    """Though those of few rows seem to differ."""
    x = np.random.default_rng(0).standard_normal((4000, 256)).astype(np.float32)
    part = parse(f"SAQ{bits}", "ip", 0).fit(x, 256).quantizer
    assert set(part.bits) == {bits}
    assert part.dims == 256


@pytest.mark.parametrize("bits", [1, 1.5, 2, 4, 7])
@pytest.mark.parametrize("dim", [1, 16, 64, 100, 384])
def test_rows_take_no_more_memory_than_those_of_eden(bits, dim):
    """Of as many bits, or of the next more; EDEN has a float16 beside its scale beyond one bit."""
    x = spectral(60, dim)
    mine, other = (
        sum(c.row_bytes for c in parse(spec, "ip", 0).fit(x, dim).columns)
        for spec in (f"SAQ{bits}", f"EDEN{int(np.ceil(bits))}")
    )
    assert mine <= other


def test_the_scale_makes_a_row_its_own(fitted):
    """<y, what it stands for> is the square norm of the coded part and the tail's share."""
    y = spectral(200, seed=1)
    found = fitted.encode(y).approximation.astype(np.float64)
    squares = y.astype(np.float64) ** 2
    coded = squares[:, : fitted.dims].sum(axis=1)
    want = coded + fitted.tail * squares[:, fitted.dims :].sum(axis=1)
    assert (np.abs((y * found).sum(axis=1) - want) <= 1e-5 * want).all()


def test_codes_that_leave_most_of_a_row_err_least():
    rows = spectral(4000, decay=0)
    part = SAQ(0.5).fit(rows, DIM, 0)
    encoded = part.encode(spectral(200, seed=1, decay=0))
    x, y = encoded.approximation.astype(np.float64), spectral(200, seed=1, decay=0)
    square = (x * x).sum(axis=1)
    assert encoded.rounded
    assert (np.abs((x * y).sum(axis=1) - square) <= 1e-5 * square).all()
    assert part.shrink == pytest.approx(1, abs=1e-5)
    assert part.distortion > 0.5
    fine = SAQ(2).fit(rows, DIM, 0)
    assert fine.distortion < 0.5
    assert not fine.encode(y).rounded


def test_files_from_before_there_were_such_codes_are_read(fitted):
    arrays = fitted.arrays()
    assert arrays.pop("coarse") == 0
    assert not SAQ(3).restore(arrays, DIM).coarse
    with pytest.raises(CorruptFileError):
        SAQ(3).restore(arrays | {"coarse": np.array(2, np.uint8)}, DIM)


def test_coded_directions_are_unbiased_alike():
    """The mean of a coordinate times what stands for it is its mean square, in every direction."""
    part = SAQ(2).fit(spectral(16_000), DIM, 0)
    y = spectral(16_000, seed=2)
    found = part.encode(y).approximation.astype(np.float64)
    ratio = (y * found).mean(axis=0) / (y.astype(np.float64) ** 2).mean(axis=0)
    assert np.abs(ratio[: part.dims] - 1).max() < 0.05
    assert not ratio[part.dims :].any()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_distortion_is_that_of_other_rows(bits):
    part = SAQ(bits).fit(spectral(8000), DIM, 0)
    y = spectral(4000, seed=3).astype(np.float64)
    found = part.encode(y.astype(np.float32)).approximation.astype(np.float64) * part.shrink
    error = ((y - found) ** 2).sum() / (y**2).sum()
    assert error == pytest.approx(part.distortion, rel=0.05)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_scores_err_less_than_those_of_equal_bits(bits):
    """Of queries like the rows, against EDEN of the same bits, rotated."""
    x, q = spectral(4000), spectral(200, seed=4)
    error = {}
    for name in ("SAQ", "EDEN"):
        codec = parse(f"{name}{bits}", "ip", 0).fit(x, DIM)
        y = codec.transform.apply(x[:200] - codec.center)
        off = codec.transform.apply_query(q) @ (codec.quantizer.encode(y).approximation - y).T
        error[name] = (off**2).mean()
    assert error["SAQ"] < 0.5 * error["EDEN"]


def hits(spec):
    """R@10 on the sample."""
    sample = load("sample")
    index = vq.index_factory(spec, metric=sample.metric)
    index.fit(sample.base)
    index.add(sample.base)
    found = index.search(sample.queries, 10).ids.tolist()
    truth = sample.neighbors[:, :10].tolist()
    return np.array([len(set(a) & set(b)) / 10 for a, b in zip(found, truth, strict=True)])


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_recall_is_above_that_of_eden(bits):
    """By three standard errors of the difference between the same queries."""
    gain = hits(f"SAQ{bits}") - hits(f"EDEN{bits}")
    assert gain.mean() > 3 * gain.std() / len(gain) ** 0.5


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_it_comes_back_from_a_file(tmp_path, metric):
    x = spectral(3000)
    index = vq.FlatIndex(metric=metric, quantizer=SAQ(2.5))
    index.fit(x)
    index.add(x)
    index.save(tmp_path / "index.vq")
    again = vq.load(tmp_path / "index.vq")
    assert again.spec == "SAQ2.5"
    one, other = index.search(x[:20], 10), again.search(x[:20], 10)
    assert one.ids.tobytes() == other.ids.tobytes()
    assert one.scores.tobytes() == other.scores.tobytes()
    assert index.reconstruct([3, 5]).tobytes() == again.reconstruct([3, 5]).tobytes()


def test_rows_wait_for_a_sample():
    index = vq.index_factory("SAQ4", metric="l2")
    x = spectral(100)
    index.add(x)
    assert (index.search(x, 1).ids[:, 0] == np.arange(100)).all()


@pytest.mark.parametrize("bits", [0, -1, 7.5, 8, True, "4"])
def test_refused_bits(bits):
    with pytest.raises(SpecError, match="above 0 and up to 7"):
        SAQ(bits)


def test_refused_specs():
    with pytest.raises(SpecError, match=r"SAQ4 or SAQ2\.5"):
        parse("SAQ", "ip", 0)
    with pytest.raises(SpecError, match=r"SAQ4 or SAQ2\.5"):
        parse("SAQ8x2", "ip", 0)
    with pytest.raises(SpecError, match="needs a sample"):
        SAQ(4).fit(None, 8, 0)


DAMAGE = {
    "bits": lambda a: a[::-1].copy(),
    "tables": lambda a: a + np.uint8(128),
    "thresholds": lambda a: a[:, :64].copy(),
    "spread": lambda a: 0 * a,
    "gain": lambda a: -1 - a,
    "fine": lambda a: a + 99,
    "tail": lambda a: a + 2,
    "distortion": lambda a: a + 1,
    "shrink": lambda a: 0 * a,
    "sign_weights": lambda a: a - a[0],
    "sign_errors": lambda a: -1 - a,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_arrays(fitted, name):
    arrays = {key: array.copy() for key, array in fitted.arrays().items()}
    SAQ(3).restore(arrays, DIM)
    arrays[name] = np.asarray(DAMAGE[name](arrays[name]))
    with pytest.raises(CorruptFileError):
        SAQ(3).restore(arrays, DIM)
    del arrays[name]
    with pytest.raises(CorruptFileError):
        SAQ(3).restore(arrays, DIM)


def test_more_bits_than_the_recipe_has_are_refused(fitted):
    with pytest.raises(CorruptFileError):
        SAQ(2).restore(fitted.arrays(), DIM)
    with pytest.raises(CorruptFileError):
        SAQ(3).restore(fitted.arrays(), 64)


@pytest.mark.parametrize(
    ("bits", "dim", "sample", "bounded"),
    [
        (2, DIM, grouped, True),
        (1.5, DIM, grouped, False),  # no room for a ratio
        (4, 63, lambda n: grouped(n)[:, :63], False),  # too few signs
        (4, DIM, spectral, False),  # nothing is near
    ],
)
def test_when_signs_bound(bits, dim, sample, bounded):
    codec = parse(f"SAQ{bits}", "l2", 0).fit(sample(4000), dim)
    assert (codec.quantizer.ratio is not None) == bounded
    assert codec.scorer.signs == int(bounded)
    assert ("ratio" in {column.name for column in codec.columns}) == bounded


def test_estimates_from_signs_are_unbiased_and_err_as_said():
    """Of other rows and queries: no bias to 5 standard errors, and a spread that is the errors'."""
    part = SAQ(4).fit(grouped(8000), DIM, 0)
    y, q = grouped(3000, 1), grouped(40, 2)
    columns = part.encode(y).columns
    means = (part.gain * part.sign_weights / 2)[: part.dims]
    signs = np.where(part.layout.levels(columns) < 0, -1, 1)
    own = (columns["scale"] * columns["ratio"]).astype(np.float64)
    off = y @ q.T - own[:, None] * ((signs * means) @ q[:, : part.dims].T)
    width = np.sqrt(q.astype(np.float64) ** 2 @ part.sign_errors.astype(np.float64) ** 2)
    relative = off / (own[:, None] * width)
    assert abs(relative.mean()) < 5 / np.sqrt(q.shape[0])  # rows share a query's signs
    assert 0.9 < relative.std() < 1.1


def test_bounds_leave_the_answers_as_they_are():
    x = grouped(20_000)
    index = vq.index_factory("SAQ4", metric="l2")
    index.fit(x)
    index.add(x)
    q = grouped(100, 5)
    one = index.search(q, 10, stages="off")
    assert index.search(q[:1], 10).stats["scored"] < len(x)
    for other in (index.search(q, 10), index.search(q, 10, threads=2)):
        assert other.ids.tobytes() == one.ids.tobytes()
        assert other.scores.tobytes() == one.scores.tobytes()
    single = [index.search(query, 10).ids for query in q]
    assert np.array_equal(single, one.ids)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_adjusting_turns_levels_towards_rows(bits):
    """Never away, for most rows towards them, and more so with more rounds."""
    x, y = grouped(4000), grouped(300, seed=1)
    cosines = []
    for rounds in (0, 1, 6):
        part = SAQ(bits, rounds).fit(x, DIM, 0)
        found = part.encode(y).approximation.astype(np.float64)
        coded = y[:, : part.dims].astype(np.float64)
        found = found[:, : part.dims]
        dots = (coded * found).sum(axis=1)
        cosines.append(dots / np.linalg.norm(coded, axis=1) / np.linalg.norm(found, axis=1))
    for before, after in pairwise(cosines):
        assert (after >= before - 1e-6).all()
    assert (cosines[1] > cosines[0] + 1e-6).mean() > 0.9
    errors = [float((1 - c**2).mean()) for c in cosines]
    assert errors[0] > errors[1] > errors[2]


def test_adjusted_signs_have_ratios_of_their_own():
    part = SAQ(3, 6).fit(grouped(4000), DIM, 0)
    y = grouped(300, seed=1)
    columns = part.encode(y).columns
    assert part.ratio == "ratio"
    codes = part.layout.unpack(columns)
    negative = codes >= 1 << (part.layout.entry_bits[: part.dims] - 1)
    worth = (part.gain * part.sign_weights / 2)[: part.dims].astype(np.float64)
    signed = (np.where(negative, -worth, worth) * y[:, : part.dims]).sum(axis=1)
    length = (y.astype(np.float64) * part.encode(y).approximation).sum(axis=1)
    want = length / signed / columns["scale"]
    assert columns["ratio"] == pytest.approx(want, rel=2e-3)


@pytest.mark.parametrize("wrong", ["-1", "33", "1.5", "yes", ""])
def test_bad_rounds(wrong):
    with pytest.raises(SpecError, match="adjust must be 0 to 32 rounds"):
        parse(f"SAQ4(adjust={wrong})", "ip", 0)


def test_bits_go_where_queries_differ_from_rows():
    """Directions alike among rows, of which queries are about the first half alone."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3000, 128)).astype(np.float32)
    q = x[:200].copy()
    q[:, :64] += 3 * rng.standard_normal((200, 64)).astype(np.float32)
    plain, asked = (SAQ(4).fit(x, 128, 0, known).bits for known in (None, q))
    assert len(set(plain)) == 1
    assert min(asked[:8]) > max(asked[8:])
