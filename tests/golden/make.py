"""Write the golden files of the format that this version writes, beside this script.

    python tests/golden/make.py v2

Never for a version that has its files already: they are what that version once wrote.
"""

import json
import sys
from pathlib import Path

import numpy as np

import vqindex as vq

FOLDER = Path(__file__).parent
INDEXES = {
    "eden4-l2": ("EDEN4", "l2", True),
    "tqprod3-cosine": ("TQprod3", "cosine", True),
    "qjl-ip": ("QJL", "ip", True),
    "haar-sq8-keep-l2": ("Haar,SQ8,Keep(f16)", "l2", True),
    "waiting-cosine": ("EDEN4", "cosine", False),
}
N, D, K = 40, 20, 10


def make(version: str, name: str) -> None:
    """One index and, as JSON, what it answered."""
    spec, metric, fit = INDEXES[name]
    rng = np.random.default_rng(len(name))
    x, q = (rng.integers(-32, 33, (n, D)) / 16 for n in (N, 9))
    index = vq.index_factory(spec, metric=metric, seed=11)
    if fit:
        index.fit(x)
    index.add(x, ids=rng.permutation(N) * 3)
    index.remove([9, 117])
    index.configure(stages="off")
    index.save(FOLDER / f"{version}-{name}.vqi")
    result = index.search(q, k=K)
    expected = {
        "spec": index.spec, "metric": metric, "seed": 11, "fitted": fit, "next_id": 118,
        "queries": q.tolist(), "index_ids": index.ids.tolist(), "ids": result.ids.tolist(),
        "scores": result.scores.tolist(), "distances": result.distances.tolist(),
        "reconstructed": index.reconstruct(index.ids[:3]).tolist(),
    }  # fmt: skip
    (FOLDER / f"{version}-{name}.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    if any(FOLDER.glob(f"{sys.argv[1]}-*")):
        sys.exit(f"{sys.argv[1]} has its files already.")
    for each in INDEXES:
        make(sys.argv[1], each)
