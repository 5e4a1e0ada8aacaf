"""Codes, scores and neighbours are the same bytes on every CPU level, down to their files."""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import vqindex as vq
from vqindex.kernels.cpu.level import LEVELS, best_level

# LLVM too is kept from newer instructions, but on the CPU's own level. These are the names of `make
# test-levels`, so that what it has compiled is found.
CPU_NAMES = {"generic": "generic", "avx2": "haswell", "avx512": "icelake-server"}
SPECS = [("EDEN4", 96), ("EDEN4", 384), ("EDEN1", 50), ("TQprod2", 70), ("SQ8", 50), ("F16", 33)]


def digests():
    """For each case, hashes of the saved codes and of what each kind of search finds."""
    rng = np.random.default_rng(0)
    for spec, dim in SPECS:
        x = rng.standard_normal((300, dim)).astype(np.float32)
        q = rng.standard_normal((37, dim)).astype(np.float32)
        index = vq.index_factory(spec, metric="l2", seed=1)
        index.fit(x)
        index.add(x)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "index"
            index.save(path)
            saved = path.read_bytes()
        batch, one = index.search(q, k=10), index.search(q[0], k=10)
        few = index.search(q[1], k=10, filter=np.arange(12))
        found = [r.distances.tobytes() + r.ids.tobytes() for r in (batch, one, few)]
        near = index.range_search(q, float(batch.distances[:, 1].max()))
        found.append(b"".join(part.tobytes() for part in near))
        yield spec, dim, *(hashlib.sha256(part).hexdigest() for part in (saved, *found))


def started(level):
    held_back = ("VQINDEX_CPU_LEVEL", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")
    env = {name: value for name, value in os.environ.items() if name not in held_back}
    env["VQINDEX_CPU_LEVEL"] = level
    if level != best_level():
        env |= {"NUMBA_CPU_NAME": CPU_NAMES[level], "NUMBA_CPU_FEATURES": ""}
    return subprocess.Popen([sys.executable, __file__], env=env, stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif("VQINDEX_CPU_LEVEL" in os.environ, reason="compared where no level is forced")
@pytest.mark.skipif(best_level() == "generic", reason="this CPU has one level")
def test_every_level_gives_the_same_bytes():
    levels = LEVELS[: LEVELS.index(best_level()) + 1]
    processes = [started(level) for level in levels]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(levels)
    assert len(outputs[0].splitlines()) == len(SPECS)
    for level, output in zip(levels, outputs, strict=True):
        assert output == outputs[0], level


def test_amx_gives_the_same_bytes(with_amx):
    process = started("avx512")
    output = with_amx(__file__)
    assert process.communicate()[0] == output
    assert len(output.splitlines()) == len(SPECS)


if __name__ == "__main__":
    for line in digests():
        print(*line)
