"""Adding rows takes the memory of the index they make, and little more."""

import gc
import json
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

import vqindex
from vqindex.indexes.scan import PLANS

ROOT = Path(vqindex.__file__).parents[1]
N, D = 300_000, 64
SPECS = ["F32", "EDEN4", "IVF4,EDEN4", "IVF4,EDEN2,Rerank(f16)"]

CODE = f"""
import json
import numpy as np
import vqindex as vq
from vqindex.evaluate.memory import growth

x = np.random.default_rng(0).standard_normal(({N}, {D}), np.float32)
ids = np.random.default_rng(1).permutation({N}) + 10**9
beyond = {{}}
for spec in ("EDEN4", "TQprod4", "F32", "EDEN2,Keep(f16)"):
    for given in (None, ids):
        for n in (5000, {N}):  # kernels and scratch memory stay
            index = vq.index_factory(spec, metric="l2")
            few = None if given is None else given[:n]
            grown = growth(lambda: index.add(x[:n], few, threads=2))
        beyond[f"{{spec}} {{given is not None}}"] = grown - index.nbytes["total"]
print(json.dumps(beyond))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read as Linux tells it")
def test_adding_never_holds_the_rows_twice():
    """Not even a byte for each of their numbers, beyond what the index keeps."""
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    beyond = json.loads(done.stdout)
    assert len(beyond) == 8
    assert {name: size for name, size in beyond.items() if size >= N * D} == {}


def searched(spec, n):
    """An index that has planned as many ways to search as it keeps."""
    index = vqindex.index_factory(spec, metric="l2")
    index.add(np.random.default_rng(0).standard_normal((n, 8)))
    for k in range(1, 2 * PLANS):
        index.search(np.ones((3, 8)), k)
    return index


@pytest.mark.parametrize("spec", SPECS)
def test_an_index_goes_with_its_last_name(spec):
    """Its memory, and its file if that is mapped, wait for no garbage collector."""
    index = searched(spec, 2000)
    parts = [weakref.ref(part) for part in (index, index._rows, index._rows.codes)]
    gc.disable()
    try:
        del index
        assert [part() for part in parts] == [None] * 3
    finally:
        gc.enable()


@pytest.mark.parametrize("spec", SPECS[1:])
def test_rows_that_waited_go_when_they_are_coded(spec):
    index = searched(spec, 100)
    waiting = weakref.ref(index._rows.codes)
    index.fit(np.random.default_rng(1).standard_normal((2000, 8)))
    assert waiting() is None
