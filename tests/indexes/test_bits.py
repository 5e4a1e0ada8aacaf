"""First bits of codes of rows that are coded from origins, and of those that are scored again."""

import numpy as np
import pytest

import vqindex as vq
from tests.indexes.test_flat_stages import same, vectors

ORIGINS = ["IVF8,EDEN4", "IVF8,EDEN4(nested=yes)", "IVF8,LVQ4x4", "IVF8,RaBitQ3", "IVF8,LVQ1",
           "Coarse8,EDEN4", "Coarse8,EDEN2.5", "Coarse8,LVQ4"]  # fmt: skip
origins = pytest.mark.parametrize("spec", ORIGINS)


def filled(spec, n=1500, metric="l2"):
    index = vq.index_factory(spec, metric=metric).fit(vectors(1100))
    index.add(vectors(n), ids=np.random.default_rng(1).permutation(2 * n)[:n])
    return index


def everywhere(spec):
    return {"nprobe": 8} if "IVF" in spec else {}


def decoded(index, bits, metric):
    """What every row stands for, by all of its columns, and what its score adds to a query's."""
    model, rows = index._rows.model.at(bits), index._rows
    columns = rows.codes.take(rows.slots)
    x = model.codec.transform.inverse(model.codec.quantizer.expand(columns)).astype(np.float64)
    if model.codec.coarse is not None:
        x += model.codec.coarse.points(columns)
    if model.centroids is not None:
        x += model.centroids.origins(rows.owners(rows.slots))
    return x, columns["bias"].ravel().astype(np.float64)


@pytest.mark.parametrize("metric", ["l2", "ip"])
@origins
def test_scores_are_of_what_first_bits_stand_for(spec, metric):
    """But for the query's own part and its rounding: an int8 step for each coordinate."""
    index, q = filled(spec, metric=metric), vectors(20, seed=1)
    codec = index._rows.codec
    for bits in range(1, index._recipe.codec.prefix_bits + 1):
        x, bias = decoded(index, bits, metric)
        asked = codec.asked(q).astype(np.float64)
        want = asked @ x.T + bias
        found = index.search(q, 1500, bits=bits, stages="off", **everywhere(spec))
        order = np.argsort(index.ids)
        at = order[np.searchsorted(index.ids[order], found.ids)]
        off = found.scores - np.take_along_axis(want, at, axis=1)
        off -= off.mean(axis=1, keepdims=True)
        assert off.std() < 0.02 * want.std(axis=1).mean()


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@origins
def test_one_query_or_many_and_stages_find_the_same(spec, metric):
    index, q = filled(spec, metric=metric), vectors(40, seed=1)
    for bits in (1, None, index._recipe.codec.prefix_bits):
        for nprobe in ({"nprobe": 2}, everywhere(spec)) if "IVF" in spec else ({},):
            whole = index.search(q, bits=bits, threads=1, **nprobe)
            same(index.search(q, bits=bits, threads=2, **nprobe), whole)
            for i in (0, 9, 39):
                same(index.search(q[i], bits=bits, **nprobe), whole, i)


@pytest.mark.parametrize("before", ["IVF8,", "Coarse8,"])
@pytest.mark.parametrize("spec", ["EDEN4(nested=yes)", "EDEN4", "LVQ4x4", "RaBitQ4"])
def test_more_bits_find_more(before, spec):
    q, exact = vectors(60, seed=1), filled("F32")
    truth = exact.search(q).ids.tolist()
    index = filled(before + spec)
    found = [index.search(q, bits=b, **everywhere(before)).ids.tolist() for b in (1, 2, 3, 4)]
    hits = [sum(len({*a} & {*b}) for a, b in zip(ids, truth, strict=True)) for ids in found]
    assert (np.diff(hits) > 0.3 * len(q)).all(), hits


@pytest.mark.parametrize("before", ["", "IVF8,", "Coarse8,"])
def test_the_best_by_first_bits_are_scored_again_by_finer_codes(before):
    index, exact = filled(f"{before}EDEN4,Rerank(f32)"), filled("F32")
    q = vectors(30, seed=1)
    whole, settings = exact.search(q, 1500), everywhere(before)
    for bits in (1, 2, None):
        found = index.search(q, 10, bits=bits, oversample=8, **settings)
        for i in range(len(q)):
            known = dict(zip(whole.ids[i].tolist(), whole.scores[i].tolist(), strict=True))
            want = [known[j] for j in found.ids[i].tolist()]
            np.testing.assert_allclose(found.scores[i], want, rtol=1e-5)
    few, many = (index.search(q, bits=1, oversample=o, **settings) for o in (1, 150))
    same(many, index.search(q, oversample=150, **settings))
    assert (few.ids != many.ids).any()


@pytest.mark.parametrize("before", ["", "IVF8,", "Coarse8,"])
def test_an_index_has_the_setting_where_codes_have_first_bits(before):
    known = "eps0, stages"
    for spec in ("SAQ4", "VQ2", "EDEN2+QJL"):
        index = vq.index_factory(before + spec, metric="l2")
        assert "bits" not in index.settings
        with pytest.raises(vq.SpecError, match="are read whole: leave bits=1 out"):
            index.configure(bits=1)
        with pytest.raises(TypeError, match=f"unknown search setting 'bit'; this index.*{known}"):
            index.configure(bit=1)
    assert vq.index_factory(f"{before}LVQ4x8").settings["bits"] is None
