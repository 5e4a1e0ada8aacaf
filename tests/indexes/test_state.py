"""Files that lie, with every checksum right: only what they say can give them away."""

import json

import numpy as np
import pytest

import vqindex as vq
from vqindex import container

D = 6
SPECS = ["F32", "F16", "SQ8", "EDEN1", "EDEN4", "TQ2", "TQprod3", "QJL", "Haar,EDEN2,Keep(f16)"]


def contents(spec="EDEN4", n=70, metric="l2", fit=True):
    index = vq.index_factory(spec, metric=metric)
    x = np.random.default_rng(0).standard_normal((max(n, 20), D)).astype(np.float32)
    if fit:
        index.fit(x)
    if n:
        index.add(x[:n])
    arrays, metadata = container.from_bytes(index.__reduce__()[1][1])
    return arrays, json.loads(metadata["index"])


def written(path, arrays, about):
    text = about if isinstance(about, str) else json.dumps(about)
    path.write_bytes(container.to_bytes(arrays, {"index": text}))
    return path


def refuses(path, match=None):
    for call in (vq.load, lambda path: vq.load(path, mmap=True, verify="none"), vq.verify):
        with pytest.raises(vq.CorruptFileError, match=match) as caught:
            call(path)
        assert str(path) in str(caught.value)


def test_the_truth_is_believed(tmp_path):
    for spec in SPECS:
        for n in (0, 1, 70):
            for fit in (False, True):
                arrays, about = contents(spec, n, fit=fit)
                if about["dim"] is None:
                    assert arrays == {}
                index = vq.load(written(tmp_path / "x.vqi", arrays, about))
                assert len(index) == n


def test_what_a_file_says(tmp_path):
    assert contents("EDEN4")[1] == {
        "spec": "EDEN4", "metric": "l2", "seed": 0, "settings": vq.FlatIndex().settings,
        "n": 70, "dim": D, "fitted": True, "next_id": 70,
    }  # fmt: skip
    assert list(contents("EDEN4")[0]) == [
        "model.transform.signs", "model.transform.mixes", "model.quantizer.magnitudes",
        "model.quantizer.thresholds", "model.quantizer.unit", "model.quantizer.distortion",
        "model.center", "codes.plane", "codes.rest", "codes.scale", "codes.ratio", "codes.bias",
        "codes.id",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", "3", '"index"', "[" * 100_000, '{"spec":"F32"}', "\ud7ff"]
)
def test_what_describes_no_index(tmp_path, text):
    refuses(written(tmp_path / "x.vqi", {}, text), "does not describe an index")


def test_a_container_of_something_else(tmp_path):
    path = tmp_path / "x.vqi"
    path.write_bytes(container.to_bytes({"x": np.zeros(3)}, {"title": "mine"}))
    refuses(path, "does not describe an index")
    with pytest.raises(vq.CorruptFileError, match="does not describe an index"):
        vq.inspect(path)


LIES = {
    "n": [-1, 0, 32, 71, 97, 1000, 2**40, 2**70, 70.0, "70", True, None, [70]],
    "dim": [-1, 0, 1, 5, 65, 2**40, 2**70, 6.0, "6", True, None],
    "spec": ["", "F32", "F16", "SQ8", "EDEN3", "EDEN5", "TQ4", "QJL", "EDEN4+QJL", "Haar,EDEN4",
             "None,EDEN4", "EDEN4,Keep(f32)", "EDEN4(center=no)", "EDEN9", "EDEN4\x00", "eden4",
             "EDEN" + "9" * 5000, "QJL99999999999999", 4, None],
    "metric": ["ip", "cosine", "euclidean", "", None, 2],
    "seed": [-1, 2**63, 1.5, "0", True, None],
    "settings": [[], 3, {"stages": "of"}, {"nprobe": 1}, {"eps0": -1}, {"eps0": "3"},
                 {"eps0": None}, {"eps0": float("inf")}, {"eps0": float("nan")},
                 {"bits": 0}, {"bits": 5}, {"bits": "2"}],
    "fitted": [False, 1, 0, "true", None],
    "next_id": [69, 0, -1, 2**63 + 1, 2**70, 70.0, "70", True, None],
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_a_lie_in_the_description(tmp_path, name):
    arrays, about = contents("EDEN4")
    for lie in LIES[name]:
        refuses(written(tmp_path / "x.vqi", arrays, about | {name: lie}))
    refuses(written(tmp_path / "x.vqi", arrays, {k: v for k, v in about.items() if k != name}))


@pytest.mark.parametrize("spec", ["F32", "TQ4", "EDEN4"])
def test_rows_that_wait_where_none_should(tmp_path, spec):
    """An index that claims to wait for rows that it has would wait for ever."""
    arrays, about = contents("F32", n=1024)
    lie = about | {"spec": spec, "fitted": False}
    refuses(written(tmp_path / "x.vqi", arrays, lie), "an index of 1024 rows must be fitted")


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("spec", SPECS)
def test_arrays_that_are_not_what_the_spec_needs(tmp_path, spec, metric):
    arrays, about = contents(spec, metric=metric)
    path = tmp_path / "x.vqi"
    for name, array in arrays.items():
        rest = {other: a for other, a in arrays.items() if other != name}
        refuses(written(path, rest, about))
        refuses(written(path, rest | {name + "x": array}, about))
        changed = [array[None], np.concatenate([array.ravel(), array.ravel()]).reshape(-1, 1, 1)]
        changed += [array.astype(other) for other in (np.int16, np.float64) if array.dtype != other]
        if array.size and array.ndim:
            changed += [array[:-1], array[..., :0], np.moveaxis(array, 0, -1)[..., None], array[0]]
        for wrong in changed:
            refuses(written(path, rest | {name: wrong}, about))
    refuses(written(path, arrays | {"codes.more": np.zeros(3)}, about), "the columns must be")
    refuses(written(path, arrays | {"model.more": np.zeros(3)}, about), "arrays of a model must be")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("model.center", [np.nan, np.inf]),
        ("model.transform.signs", [0, 2, -3]),
        ("model.transform.mixes", [np.nan, -np.inf]),
        ("model.quantizer.magnitudes", [-1, 0]),
        ("model.quantizer.thresholds", [np.nan, np.inf, -1]),
        ("model.quantizer.unit", [np.nan, np.inf, 0, -1]),
        ("model.quantizer.distortion", [np.nan, 1, -0.5]),
        ("codes.id", [-1, 5, -(2**63)]),
    ],
)
def test_numbers_that_cannot_be(tmp_path, name, values):
    """Not in the first place, where some of them could."""
    arrays, about = contents("EDEN4")
    for value in values:
        wrong = arrays[name].copy()
        wrong.reshape(-1)[-1 if name != "codes.id" else 3] = value
        refuses(written(tmp_path / "x.vqi", arrays | {name: wrong}, about))


def test_lies_in_a_model_beyond_the_quantizer(tmp_path):
    path = tmp_path / "x.vqi"
    arrays, about = contents("Haar,EDEN2")
    bad = arrays["model.transform.matrix"].copy()
    bad[2, 2] = np.nan
    refuses(written(path, arrays | {"model.transform.matrix": bad}, about), "must be finite")
    arrays, about = contents("TQ2+QJL20")
    for i in range(4):
        name = f"model.sketch.block{i}.matrix"
        refuses(written(path, {k: a for k, a in arrays.items() if k != name}, about))
        refuses(written(path, arrays | {name: arrays[name] * np.float32(np.nan)}, about))
    refuses(written(path, arrays, about | {"spec": "TQ2+QJL14"}), "arrays of a model must be")
    refuses(written(path, arrays, about | {"spec": "TQ2+QJL30"}))


@pytest.mark.parametrize("spec", SPECS)
def test_any_bytes_at_all_are_refused_or_searched(tmp_path, spec):
    """Whatever the arrays hold, kernels stay inside them and answer."""
    rng = np.random.default_rng(0)
    arrays, about = contents(spec)
    names = [name for name, array in arrays.items() if array.size]
    for _ in range(40):
        name = rng.choice(names)
        wrong = arrays[name].copy()
        octets = wrong.reshape(-1).view(np.uint8)
        octets[rng.integers(0, octets.size, 3)] = rng.integers(0, 256, 3)
        try:
            index = vq.load(written(tmp_path / "x.vqi", arrays | {name: wrong}, about))
        except vq.CorruptFileError:
            continue
        with np.errstate(all="ignore"):
            for q in (np.ones((1, D)), np.ones((9, D))):
                for ids in (index.search(q, k=80).ids, index.search(q, k=3, stages="off").ids):
                    assert np.isin(ids, [-1, *index.ids]).all()
            index.reconstruct(index.ids)
