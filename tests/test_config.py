import json
import os
import subprocess
import sys
from importlib import metadata

import numba
import numpy as np

import vqindex as vq
from vqindex import threads
from vqindex.kernels.cpu.compile import source_hash
from vqindex.kernels.cpu.level import LEVELS
from vqindex.kernels.gpu import driver


def test_what_this_machine_gives():
    config = vq.show_config()
    assert config["cpu_level"] in LEVELS
    assert config["cpu_level_best"] in LEVELS
    assert LEVELS.index(config["cpu_level"]) <= LEVELS.index(config["cpu_level_best"])
    assert config["cpus"] == os.cpu_count()
    assert config["threads"] == threads.default_threads()
    assert config["kernel_cache"].endswith(source_hash())
    assert config["kernel_cache_files"] >= 0
    assert config["gpu"] == ([gpu._asdict() for gpu in driver.devices()] or None)
    assert config["versions"]["vqindex"] == vq.__version__
    assert config["versions"]["numpy"] == np.__version__
    assert config["versions"]["numba"] == numba.__version__
    assert json.loads(json.dumps(config)) == config


def test_a_package_that_is_missing_has_no_version(monkeypatch):
    def missing(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", missing)
    assert set(vq.show_config()["versions"].values()) == {None}


def test_after_warming_up_nothing_is_left_to_compile():
    """In a fresh process: whatever is done, no kernel meets arguments that `warmup` left out."""
    code = """
import gc
import numpy as np
import vqindex as vq
from numba.core.dispatcher import Dispatcher
from vqindex.factory import parse
from vqindex.quantizers import QUANTIZERS
from vqindex.sketches import QJL
from vqindex.transforms import TRANSFORMS

seconds = vq.warmup()
assert 0 < seconds < 600

def signatures():
    return {
        (d.py_func.__module__, d.py_func.__name__): len(d.signatures)
        for d in gc.get_objects()
        if isinstance(d, Dispatcher) and d.py_func.__module__.startswith("vqindex")
    }

before = signatures()
assert max(before.values()) == 1, before
rng = np.random.default_rng(0)
x = rng.standard_normal((1100, 37))
frozen = np.asfortranarray(x)
frozen.flags.writeable = False
specs = ("F32", "F16", "SQ8", "EDEN1", "EDEN3", "EDEN8", "TQprod3,Keep(f16)", "QJL50",
         "Haar,EDEN2+QJL9", "Hadamard,F32", "QJL(projection=gaussian)")
more = ("EDEN3(scale=biased)", "RaBitQ1", "RaBitQ5+QJL", "RaBitQ4(error=yes,search=fast)", "LVQ1",
        "LVQ3+QJL9", "LVQ4x2", "SAQ0.5", "SAQ1+QJL9", "SAQ4.5", "PQ5x4(scale=length)", "PQ37x8",
        "PQ8x4+QJL", "OPQ4x4", "RQ4x4(groups=2)", "RQ3x8(beam=1,scale=unbiased)", "VQ4+QJL",
        "VQ2(words=256)", "Ternary", "Levels11", "OCT3", "TCQ1(window=8)", "PVQ3+QJL9", "Polar",
        "NUQ4", "NUQ8(outliers=0.1)+QJL", "RQ4x4(groups=2,outliers=0.2)",
        "Calibrated,EDEN3", "LeanVec9,LVQ4", "OPQ3x8,RaBitQ3", "PCA,F16")
lists = ("IVF33,EDEN3", "IVF4,EDEN1+QJL9", "IVF4,PQ5x4,Rerank(EDEN8)", "Haar,IVF9,F32",
         "EDEN2,Rerank(f32)", "Coarse4,EDEN2", "Coarse9x8,SAQ2")
recipes = [parse(spec, "l2", 0) for spec in specs + more]
assert {type(recipe.quantizer) for recipe in recipes} == {*QUANTIZERS, QJL}
assert {recipe.transform.name for recipe in recipes} >= {*TRANSFORMS}
for spec in specs + more + lists:
    for metric in ("l2", "ip", "cosine") if spec in specs else ("l2",):
        index = vq.index_factory(spec, metric=metric)
        index.add(frozen)
        index.add(x.tolist()[:3], ids=[5000, 4000, 9000])
        index.upsert(x[:2].astype(np.float16), [1, 7000], threads=2)
        index.remove([5, 6, 7000])
        for q in (frozen[0], x[:1], x[:70]):
            for settings in ({}, {"stages": "off"}, {"filter": [1, 2]}, {"filter": index.ids > 9}):
                index.search(q, k=5, **settings)
            index.range_search(q, 1.0)
        index.reconstruct([1, 4000])
large = vq.index_factory("EDEN2")
large.add(rng.standard_normal((10_000, 64)))
large.search(x[:5, :1].repeat(64, 1), threads=2)
assert signatures() == before, set(signatures().items()) ^ set(before.items())
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=600)
