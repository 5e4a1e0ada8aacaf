"""Coordinates of one spread, inner products as they were, errors orthogonal to rows."""

import numpy as np
import pytest

import vqindex as vq
from vqindex.errors import SpecError
from vqindex.factory import parse
from vqindex.transforms import Calibration, DenseRotation, HadamardRotation, Identity


def uneven(n, dim=64):
    """Rows whose coordinates differ in spread, in any basis, by up to a hundred."""
    rng = np.random.default_rng(dim)
    return (rng.standard_normal((n, dim)) * np.geomspace(1, 100, dim)).astype(np.float32)


def spreads(x):
    """About zero, of each coordinate."""
    return np.sqrt(np.square(x, dtype=np.float64).mean(axis=0))


@pytest.mark.parametrize("rotation", [HadamardRotation(), DenseRotation(), Identity()], ids=str)
def test_coordinates_have_one_spread(rotation):
    x = uneven(500)
    fitted = Calibration(rotation).fit(x, 64, 3)
    spread = spreads(fitted.apply(x))
    assert spread.max() / spread.min() < 1 + 1e-5
    plain = spreads(rotation.fit(None, 64, 3).apply(x))
    assert plain.max() / plain.min() > 1.3
    assert fitted.isotropic == (rotation != Identity())


def test_narrow_coordinates_are_not_blown_up():
    x = uneven(50)
    x[:, :3] = 0
    fitted = Calibration(Identity()).fit(x, 64, 0)
    assert (fitted.scale[:3] == np.float32(100)).all()
    assert fitted.scale[3:].max() < 100


def test_rows_far_from_zero_are_not_blown_up():
    """A codec that does not centre meets them as they are."""
    x = uneven(50)
    x[:, :3] = 7 + 1e-3 * x[:, :3]
    fitted = Calibration(Identity()).fit(x, 64, 0)
    assert fitted.scale[0] == pytest.approx(spreads(x).mean() / 7, rel=1e-2)
    same = Calibration(Identity()).fit(np.ones((5, 4), np.float32), 4, 0)
    assert (same.scale == 1).all()


@pytest.mark.parametrize("rotation", ["Hadamard", "None"])
@pytest.mark.parametrize("sketch", ["", "+QJL"])
def test_a_row_has_no_error_of_its_own_direction(rotation, sketch):
    """Of itself a row's score is exact; unbiased in coded space alone, it would not be."""
    x = uneven(600)
    codec = parse(f"Calibrated(rotation={rotation}),EDEN2{sketch}", "ip", 0).fit(x, 64)
    r = x - codec.center
    y, dual = codec.transform.apply(r), codec.transform.apply_query(r).astype(np.float64)
    encoded = codec.encode(x), codec.quantizer.encode(y).columns
    found, plain = (
        np.abs((codec.quantizer.expand(c) * dual).sum(axis=1) / (y * dual).sum(axis=1) - 1)
        for c in encoded
    )
    assert found.max() < 1e-6
    assert plain.mean() > 0.01


@pytest.mark.parametrize("spec", ["Calibrated,TQ4", "Calibrated,EDEN4(scale=biased)"])
def test_scales_that_are_not_unbiased_stay(spec):
    x = uneven(600)
    codec = parse(spec, "ip", 0).fit(x, 64)
    r = x if codec.center is None else x - codec.center
    own = codec.quantizer.encode(codec.transform.apply(r)).columns["scale"]
    assert (codec.encode(x)["scale"].ravel() == own.ravel()).all()


def test_uneven_rows_are_coded_better():
    """At the same bits, a fifth of the error that raw coordinates leave and less than rotated."""
    x = uneven(3000)
    rng = np.random.default_rng(1)
    q = (rng.standard_normal((50, 64)) / np.geomspace(1, 100, 64)).astype(np.float32)
    exact = q.astype(np.float64) @ x.T
    errors = {}
    for transform in ("None", "Hadamard", "Calibrated(rotation=None)"):
        index = vq.index_factory(f"{transform},EDEN3", metric="ip")
        index.fit(x)
        index.add(x)
        found = index.search(q, k=len(x), stages="off")
        scores = np.empty(exact.shape)
        np.put_along_axis(scores, found.ids, found.scores, axis=1)
        errors[transform] = ((scores - exact) ** 2).mean()
    assert errors["Calibrated(rotation=None)"] < 0.2 * min(errors["None"], errors["Hadamard"])


def test_specs():
    for spec, recipe in {
        "Calibrated": Calibration(),
        "Calibrated(rotation=Haar)": Calibration(DenseRotation()),
        "Calibrated(rotation=None)": Calibration(Identity()),
    }.items():
        assert recipe.spec == spec
        assert parse(f"{spec},EDEN4", "ip", 0).transform == recipe
    for wrong in ("Calibrated", "PCA", ""):
        with pytest.raises(SpecError, match="rotation must be Hadamard, Haar, None"):
            Calibration.from_spec("Calibrated", None, {"rotation": wrong})
    for rotation in (HadamardRotation(3), Calibration(), "Haar"):
        with pytest.raises(SpecError, match="without options"):
            Calibration(rotation)
