"""Make this folder's arrays again: python make_sample.py SOURCE.hdf5 TEXTS.json.gz

SOURCE is an ann-benchmarks file of 100,000 WordNet entries (train) and 1,000 usage examples (test)
embedded by all-MiniLM-L6-v2; TEXTS is {"train": [...], "test": [...]}, their texts in order.
"""

import gzip
import json
import sys
from pathlib import Path

import numpy as np

from vqindex.datasets import ground_truth, read_vectors

HERE = Path(__file__).parent
SEED, ROWS, QUERIES, NEIGHBORS = 0, 10_000, 500, 100


def main(source: str, texts: str) -> None:
    """Choose rows and queries, compute their truth from the chosen float16 values, write all."""
    train, test = read_vectors(f"{source}:train"), read_vectors(f"{source}:test")
    rng = np.random.default_rng(SEED)
    rows = np.sort(rng.choice(len(train), ROWS, replace=False))
    asked = np.sort(rng.choice(len(test), QUERIES, replace=False))
    base, queries = np.asarray(train[rows]), np.asarray(test[asked])
    distances, neighbors = ground_truth(base, queries, NEIGHBORS, "cosine")
    np.save(HERE / "base.npy", base)
    np.save(HERE / "queries.npy", queries)
    np.save(HERE / "neighbors.npy", neighbors.astype(np.int32))
    np.save(HERE / "distances.npy", distances)
    every = json.loads(gzip.decompress(Path(texts).read_bytes()))
    chosen = {
        "base": [every["train"][i] for i in rows],
        "queries": [every["test"][i] for i in asked],
    }
    packed = json.dumps(chosen, ensure_ascii=False, separators=(",", ":")).encode()
    (HERE / "texts.json.gz").write_bytes(gzip.compress(packed, 9, mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
