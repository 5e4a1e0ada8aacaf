"""Coarse codes: nearest centroids, tables of their products, and searches with them."""

import numpy as np
import pytest

import vqindex as vq
from vqindex.errors import CorruptFileError, SpecError
from vqindex.factory import parse
from vqindex.quantizers import Coarse

METRICS = ("l2", "ip", "cosine")


def clustered(n, dim=70, seed=0):
    """Rows about forty points that are farther from each other than rows are from them."""
    points = np.random.default_rng(1).standard_normal((40, dim)) * 2
    rng = np.random.default_rng(seed)
    x = points[rng.integers(0, 40, n)] + rng.standard_normal((n, dim)) * 0.7 + 0.5
    return x.astype(np.float32)


def filled(spec, metric="l2", n=2100):
    index = vq.index_factory(spec, metric=metric)
    index.fit(clustered(1500))
    index.add(clustered(n))
    return index


@pytest.mark.parametrize("sizes", [(2,), (5,), (16,), (16, 7), (256, 256)])
def test_codes_are_the_nearest_of_what_is_left(sizes):
    x, y = clustered(600, 9), clustered(50, 9, seed=3)
    part = Coarse(sizes).fit(x, 9, 0)
    assert part.words.shape == (sum(sizes), 9)
    columns = part.encode(y)
    codes, left = part.layout.unpack(columns), y.astype(np.float64)
    for number, words in zip(codes.T, np.split(part.words, np.cumsum(sizes)[:-1]), strict=True):
        distances = ((left[:, None] - words) ** 2).sum(axis=2)
        chosen = distances[np.arange(50), number]
        assert (chosen <= distances.min(axis=1) * (1 + 1e-5) + 1e-5).all()
        left -= words[number]
    assert part.points(columns) == pytest.approx(y - left, abs=1e-5)
    centred = x - x.mean(axis=0)
    shares = [
        np.square(centred - found.points(found.encode(centred))).sum() / np.square(centred).sum()
        for found in (Coarse(sizes[: i + 1]).fit(centred, 9, 0) for i in range(len(sizes)))
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] < 1


def test_equal_words_go_to_the_first():
    part = Coarse((5,)).fit(np.ones((9, 3), np.float32), 3, 0)
    assert not part.layout.unpack(part.encode(np.ones((4, 3), np.float32))).any()


def test_tables_have_no_entries_beyond_their_words():
    part = Coarse((5, 3)).fit(clustered(300, 9), 9, 0)
    asked = clustered(4, 9, seed=2)
    tables = part.operand(asked).reshape(4, 2, 256)
    assert tables[:, 0, :5] == pytest.approx(asked @ part.words[:5].T, rel=1e-5, abs=1e-5)
    assert (tables[:, 0, 5:] == tables[:, 0, :1]).all()
    assert (tables[:, 1, 3:] == tables[:, 1, :1]).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", ["EDEN1", "EDEN2", "SAQ2", "EDEN2+QJL"])
def test_recall_is_higher(spec, metric):
    """By three standard errors of the difference between the same queries."""
    x, q = clustered(2100), clustered(1000, seed=5)
    exact = vq.index_factory("F32", metric=metric)
    exact.add(x)
    truth = exact.search(q, 10).ids.tolist()
    shares = []
    for coarse in ("", "Coarse40,"):
        found = filled(f"{coarse}{spec}", metric).search(q, 10).ids.tolist()
        shares.append([len(set(a) & set(b)) / 10 for a, b in zip(found, truth, strict=True)])
    gain = np.subtract(*shares[::-1])
    assert gain.mean() > 3 * gain.std() / len(gain) ** 0.5


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    "spec",
    ["Coarse16,EDEN1", "Coarse40x9,EDEN4", "Coarse40,SAQ3", "Coarse9,EDEN2+QJL", "Coarse9,PQ7x4"],
)
def test_every_way_finds_the_same(spec, metric):
    """One query and many, any threads, with filters; and bounds leave few rows and lose none."""
    index, q = filled(spec, metric), clustered(70, seed=5)
    whole = index.search(q, 10)
    for size, threads in ((1, 1), (3, 2), (33, 3)):
        some = index.search(q[:size], 10, threads=threads)
        assert some.scores.tobytes() == whole.scores[:size].tobytes()
        assert some.ids.tobytes() == whole.ids[:size].tobytes()
    if "EDEN4" in spec:
        assert whole.stats["scored"] < 0.7 * len(q) * len(index)
    assert (index.search(q, 10, stages="off").ids == whole.ids).all()
    allowed = np.arange(len(index)) % 3 == 0
    assert (index.search(q, 10, filter=allowed).ids % 3 == 0).all()


@pytest.mark.parametrize("metric", METRICS)
def test_saved_and_loaded(tmp_path, metric):
    index, q = filled("Coarse16x4,EDEN4,Keep(f16)", metric), clustered(9, seed=5)
    index.save(tmp_path / "index")
    again = vq.load(tmp_path / "index")
    assert again.spec == index.spec == "Coarse16x4,EDEN4,Keep(f16)"
    assert again.search(q, 5).scores.tobytes() == index.search(q, 5).scores.tobytes()
    assert again.reconstruct([3, 8]).tobytes() == index.reconstruct([3, 8]).tobytes()


def test_files_of_other_shapes_are_refused():
    recipe = parse("Coarse16,EDEN4", "l2", 0)
    arrays = recipe.fit(clustered(300), 70).arrays()
    for wrong in (arrays["coarse.words"][:9], arrays["coarse.words"][:, :5], None):
        with pytest.raises(CorruptFileError, match="words"):
            recipe.restore({**arrays, "coarse.words": wrong}, 70)


def test_codes_of_no_word_are_of_the_last():
    """A file may hold any byte."""
    part = Coarse((5,)).fit(clustered(300, 9), 9, 0)
    wild = part.layout.pack(np.full((1, 1), 255, np.uint8))
    assert (part.points(wild)[0] == part.words[4]).all()


@pytest.mark.parametrize(
    "spec",
    ["Coarse,EDEN4", "Coarse1,EDEN4", "Coarse257,EDEN4", "Coarse4x4x4,EDEN4", "Coarse2.5,EDEN4",
     "Coarse16,F32", "Coarse16,F16", "Coarse16(a=1),EDEN4", "Coarse16", "Coarse16,Haar,EDEN4"],
)  # fmt: skip
def test_bad_specs(spec):
    with pytest.raises(SpecError):
        parse(spec, "l2", 0)


def test_specs():
    for spec in ("Coarse256,EDEN4", "Haar,Coarse16x16,SAQ2,Keep(f32)", "Coarse16,EDEN2+QJL"):
        assert parse(spec, "l2", 0).spec == spec
        assert vq.index_factory(spec).spec == spec
    assert parse("Coarse256,EDEN4(center=no)", "l2", 0).sample_size == Coarse.sample_size
