"""Inverted files in files: what is saved comes back, and what lies is refused."""

import json
import pickle

import numpy as np
import pytest

import vqindex as vq
from vqindex import container

SPECS = [
    "F32", "F16", "EDEN4", "EDEN1,Keep(f16)", "PQ3x4", "EDEN2+QJL", "EDEN2,Rerank(f16)",
    "EDEN2,Rerank(EDEN8),Keep(f32)",
]  # fmt: skip
NLIST, N, D = 6, 700, 9


def state(index):
    """The bytes of the file that `save` would write."""
    return index.__reduce__()[1][1]


def vectors(n, seed=0):
    return (np.random.default_rng(seed).standard_normal((n, D)) + 0.5).astype(np.float32)


def filled(spec, metric="l2", n=N):
    index = vq.index_factory(f"IVF{NLIST},{spec}", metric=metric, seed=3).fit(vectors(400, seed=7))
    index.add(vectors(n), np.random.default_rng(1).permutation(2 * n)[:n])
    index.remove(index.ids[::5])
    index.configure(nprobe=2)
    return index


def same(got, want):
    assert got.ids.tobytes() == want.ids.tobytes()
    assert got.scores.tobytes() == want.scores.tobytes()


def check_alike(one, other):
    assert state(one) == state(other)
    assert one.drift() == other.drift()
    assert (one.spec, one.metric, one.seed, one.settings, len(one), one.nlist) == (
        other.spec, other.metric, other.seed, other.settings, len(other), other.nlist,
    )  # fmt: skip
    np.testing.assert_array_equal(one.ids, other.ids)
    np.testing.assert_array_equal(one.reconstruct(one.ids), other.reconstruct(other.ids))
    q = vectors(20, seed=1)
    for settings in ({}, {"nprobe": NLIST}, {"stages": "off"}, {"filter": one.ids[:30]}):
        same(one.search(q, 7, **settings), other.search(q, 7, **settings))
    for a, b in zip(one.range_search(q[:3], 3.0), other.range_search(q[:3], 3.0), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("spec", SPECS)
def test_what_was_saved_comes_back(tmp_path, spec, metric):
    index, path = filled(spec, metric), tmp_path / "x.vqi"
    index.save(path)
    vq.verify(path)
    loaded, mapped = vq.load(path), vq.load(path, mmap=True)
    copied = pickle.loads(pickle.dumps(index))
    for other in (loaded, mapped, copied):
        assert type(other) is vq.IVFIndex
        check_alike(other, index)
    for each in (index, loaded, copied):
        each.add(vectors(100, seed=2))
        each.upsert(vectors(50, seed=3), np.arange(50))
        each.remove(np.arange(300, 600))
    for other in (loaded, copied):
        check_alike(other, index)
    for change in (
        lambda: mapped.add(vectors(1)),
        lambda: mapped.remove(mapped.ids[:1]),
        lambda: mapped.compact(),
        lambda: mapped.upsert(vectors(1), [0]),
    ):
        with pytest.raises(vq.ReadOnlyError):
            change()


@pytest.mark.parametrize("n", [0, 1, 100])
@pytest.mark.parametrize("spec", ["F32", "EDEN4", "EDEN2,Rerank(f16)"])
def test_indexes_that_wait_and_such_without_rows(tmp_path, spec, n):
    path = tmp_path / "x.vqi"
    waiting = vq.index_factory(f"IVF{NLIST},{spec}", metric="l2")
    waiting.add(vectors(n))
    empty = vq.index_factory(f"IVF{NLIST},{spec}", metric="l2").fit(vectors(400))
    for index in (waiting, empty):
        index.save(path)
        for mmap in (False, True):
            other = vq.load(path, mmap=mmap)
            assert state(other) == state(index)
            same(other.search(vectors(9), 5), index.search(vectors(9), 5))
        other = vq.load(path)
        for each in (index, other):
            each.add(vectors(1100, seed=1))
        assert other.nlist == NLIST
        assert state(other) == state(index)


def contents(spec="EDEN4", metric="l2"):
    arrays, metadata = container.from_bytes(state(filled(spec, metric)))
    return {name: array.copy() for name, array in arrays.items()}, json.loads(metadata["index"])


def written(path, arrays, about):
    path.write_bytes(container.to_bytes(arrays, {"index": json.dumps(about)}))
    return path


def refuses(path, match=None):
    for call in (vq.load, lambda path: vq.load(path, mmap=True, verify="none"), vq.verify):
        with pytest.raises(vq.CorruptFileError, match=match) as caught:
            call(path)
        assert str(path) in str(caught.value)


def test_what_a_file_holds():
    arrays, about = contents("EDEN2,Rerank(f16)")
    assert about == {
        "spec": "IVF6,EDEN2,Rerank(f16)", "metric": "l2", "seed": 3, "n": N - N // 5, "dim": D,
        "settings": {
            "bits": None, "eps0": 3.5, "nprobe": 2, "oversample": None, "stages": "on",
        },
        "fitted": True, "next_id": about["next_id"],
    }  # fmt: skip
    assert [name for name in arrays if not name.startswith(("model.", "codes."))] == [
        "centroids.entries", "centroids.scales", "centroids.spread", "lists.owners",
        "lists.sizes", "lists.heads", "lists.later",
    ]  # fmt: skip
    assert "codes.finer.rows" in arrays


@pytest.mark.parametrize("spec", ["F32", "EDEN4", "EDEN2,Rerank(f16)"])
def test_arrays_that_are_not_what_lists_need(tmp_path, spec):
    arrays, about = contents(spec)
    path = written(tmp_path / "x.vqi", arrays, about)
    assert len(vq.load(path)) == about["n"]
    own = [name for name in arrays if name.startswith(("lists.", "centroids.", "codes.finer."))]
    for name in own:
        array = arrays[name]
        rest = {other: a for other, a in arrays.items() if other != name}
        refuses(written(path, rest, about))
        refuses(written(path, rest | {name + "x": array}, about))
        changed = [array[None], array[:-1], array[:0], np.concatenate([array, array[-1:]])]
        changed += [array.astype(other) for other in (np.int16, np.float64) if array.dtype != other]
        for wrong in changed:
            refuses(written(path, rest | {name: wrong}, about))
    for more in ("lists.more", "centroids.more", "codes.more", "more"):
        refuses(written(path, arrays | {more: np.zeros(3)}, about))


@pytest.mark.parametrize(
    ("name", "place", "values"),
    [
        ("centroids.entries", 3, [-128]),
        ("centroids.scales", 2, [np.nan, np.inf, -np.inf, -1e-30, 1e38, 1e20]),
        ("lists.owners", 0, [-1, NLIST, 2**31 - 1]),
        ("lists.sizes", 0, [-1, 0, 1, 2**62, -(2**63)]),
        ("lists.heads", 0, [-1, 1000, -2, 2**62]),
        ("lists.later", 1, [-1, -(2**63)]),
        ("centroids.spread", 0, [-1.0, np.nan, np.inf]),
    ],
)
def test_numbers_that_cannot_be(tmp_path, name, place, values):
    arrays, about = contents()
    for value in values:
        wrong = arrays[name].copy()
        wrong.reshape(-1)[place] = value
        refuses(written(tmp_path / "x.vqi", arrays | {name: wrong}, about))


def test_lists_of_other_rows(tmp_path):
    arrays, about = contents()
    path = tmp_path / "x.vqi"
    refuses(written(path, arrays, about | {"n": about["n"] - 1}), "has lists of")
    sizes = arrays["lists.sizes"].copy()
    sizes[np.argmax(sizes % 32 > 1)] -= 1
    refuses(written(path, arrays | {"lists.sizes": sizes}, about), "has lists of")
    fewer = arrays | {name: arrays[name][:-1] for name in ("centroids.entries", "centroids.scales")}
    refuses(written(path, fewer, about), "are not 5 lists")
    flat = {name: a for name, a in arrays.items() if not name.startswith(("lists.", "centroids."))}
    refuses(written(path, flat, about))
    refuses(written(path, arrays, about | {"spec": "EDEN4"}))
    for spec in ("IVF6,EDEN3", "IVF6,EDEN4,Rerank(f16)", "IVF0,EDEN4", "EDEN4,IVF6"):
        refuses(written(path, arrays, about | {"spec": spec}))
    for settings in ({"nprobe": 0}, {"nprobe": 1.5}, {"nprobe": "2"}, {"oversample": 2.0}):
        refuses(written(path, arrays, about | {"settings": settings}))


def test_ids_of_rows_that_are_not_there_mean_nothing(tmp_path):
    """Nothing reads the places without rows."""
    arrays, about = contents()
    sizes, heads = arrays["lists.sizes"], arrays["lists.heads"]
    number = np.argmax(sizes % 32 > 0)
    arrays["codes.id"].reshape(-1)[32 * heads[number] + 31] = -5
    index = vq.load(written(tmp_path / "x.vqi", arrays, about))
    assert len(index.search(vectors(1), 1000, nprobe=NLIST).ids[0]) == 1000
    used = 32 * heads[number]
    arrays["codes.id"].reshape(-1)[used] = arrays["codes.id"].reshape(-1)[used + 1]
    refuses(written(tmp_path / "x.vqi", arrays, about))


@pytest.mark.parametrize("spec", SPECS)
def test_any_bytes_at_all_are_refused_or_searched(tmp_path, spec):
    """Whatever the arrays hold, kernels stay inside them and answer."""
    rng = np.random.default_rng(0)
    arrays, about = contents(spec)
    names = [name for name, array in arrays.items() if array.size]
    own = [name for name in names if name.startswith(("lists.", "centroids."))]
    outcomes = set()
    for i in range(60):
        name = rng.choice(own if i % 2 else names)
        wrong = arrays[name].copy()
        octets = wrong.reshape(-1).view(np.uint8)
        octets[rng.integers(0, octets.size, 3)] = rng.integers(0, 256, 3)
        try:
            index = vq.load(written(tmp_path / "x.vqi", arrays | {name: wrong}, about))
        except vq.CorruptFileError:
            outcomes.add("refused")
            continue
        outcomes.add("answered")
        with np.errstate(all="ignore"):
            for q in (np.ones((1, D)), np.ones((9, D))):
                for settings in ({}, {"nprobe": 1, "stages": "off"}, {"nprobe": NLIST}):
                    ids = index.search(q, 20, **settings).ids
                    assert np.isin(ids, [-1, *index.ids]).all()
            index.reconstruct(index.ids)
    assert outcomes == {"refused", "answered"}


@pytest.mark.parametrize("spec", ["F32", "EDEN2"])
def test_every_flipped_bit_is_found(tmp_path, spec):
    """In each byte one bit, another one in each."""
    path = tmp_path / "x.vqi"
    index = vq.index_factory(f"IVF2,{spec}", metric="l2").fit(vectors(3)[:, :2])
    index.add(vectors(3)[:, :2])
    blob = bytearray(state(index))
    for place in range(0, len(blob), 3):
        bit = 1 << (7 * place % 8)
        blob[place] ^= bit
        path.write_bytes(blob)
        with pytest.raises(vq.CorruptFileError, match=r"x\.vqi: "):
            vq.load(path)
        blob[place] ^= bit
    path.write_bytes(blob)
    assert len(vq.load(path)) == 3
