"""Adding rows takes the memory of the index they make, and little more."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import vqindex

ROOT = Path(vqindex.__file__).parents[1]
N, D = 300_000, 64

CODE = f"""
import json
import numpy as np
import vqindex as vq
from benchmarks.memory import growth

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
