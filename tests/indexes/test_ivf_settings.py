"""What inverted files say of themselves, and how their searches are set."""

import numpy as np
import pytest

import vqindex as vq

NLIST, N, D = 8, 900, 24


def vectors(n, seed=0):
    return (np.random.default_rng(seed).standard_normal((n, D)) + 0.4).astype(np.float32)


def filled(spec, n=N):
    index = vq.index_factory(f"IVF{NLIST},{spec}", metric="l2").fit(vectors(600, seed=7))
    index.add(vectors(n))
    return index


def test_what_an_index_says_of_itself():
    index = vq.IVFIndex(NLIST, metric="l2", quantizer=vq.LloydMax(bits=2))
    assert repr(index) == "IVFIndex('IVF8,EDEN2', metric='l2', n=0, dim=None)"
    assert (index.nlist, index.spec, len(index), index.is_fitted) == (None, "IVF8,EDEN2", 0, False)
    assert index.search(vectors(3), 2).ids.tolist() == [[-1, -1]] * 3
    assert index.search(vectors(3), 2).stats == {"rows": 0, "scored": 0}
    index = filled("EDEN4")
    assert repr(index) == f"IVFIndex('IVF8,EDEN4', metric='l2', n={N}, dim={D})"
    flat = vq.index_factory("EDEN4", metric="l2").fit(vectors(600))
    assert index.bytes_per_row == flat.bytes_per_row
    blocks = -(-index._rows.lists.sizes // 32)
    assert index.nbytes["codes"] == 32 * blocks.sum() * flat.bytes_per_row


def test_settings():
    index = filled("EDEN4", n=100)
    assert index.settings == {"nprobe": 32, "eps0": 3.5, "stages": "on", "bits": None}
    for error, message, settings in (
        (TypeError, "unknown search setting 'efsearch'; this index has nprobe, eps0, stages",
         {"efsearch": 3}),
        (TypeError, "unknown search setting 'oversample'", {"oversample": 3}),
        (ValueError, "nprobe must be", {"nprobe": 0}),
        (ValueError, "nprobe must be", {"nprobe": -1}),
        (TypeError, "nprobe must be", {"nprobe": 1.5}),
        (TypeError, "nprobe must be", {"nprobe": None}),
        (TypeError, "nprobe must be", {"nprobe": True}),
        (ValueError, "eps0 must be", {"eps0": -1}),
        (ValueError, "stages must be", {"stages": "of"}),
    ):  # fmt: skip
        for refused in (index.configure, lambda **given: index.search(vectors(1), **given)):
            with pytest.raises(error, match=message):
                refused(**settings)
    index.configure(nprobe=np.int64(1))
    assert index.settings["nprobe"] == 1
    assert type(index.settings["nprobe"]) is int
    assert index.search(vectors(1), 1).stats["lists"] == 1
    assert index.search(vectors(1), 1, nprobe=3).stats["lists"] == 3
    with pytest.raises(TypeError, match="unknown search setting 'nprobe'; this index has eps0"):
        vq.index_factory("EDEN4").configure(nprobe=3)
    for nlist in (0, -1, 65_537, 1.0, "8", True):
        with pytest.raises(vq.SpecError, match="nlist must be an integer from 1 to 65,536, got"):
            vq.IVFIndex(nlist)
    assert vq.IVFIndex(np.int64(8)).spec == "IVF8,EDEN4"
    with pytest.raises(TypeError, match="rerank must be a recipe"):
        vq.IVFIndex(8, rerank="f16")
