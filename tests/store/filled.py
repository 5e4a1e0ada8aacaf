"""Rows of stores, and the files of their indexes."""

import numpy as np

D = 5


def vectors(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, D)).astype(np.float32)


def fill(store, n, first=0):
    x = vectors(n, first)
    store.add([f"d{first + i}" for i in range(n)], x)
    return {f"d{first + i}": row for i, row in enumerate(x)}


def index_files(folder):
    return sorted(path.name for path in folder.glob("index-*.vq"))
