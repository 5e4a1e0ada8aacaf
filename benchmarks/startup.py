"""What a first use costs: the import, the first add and the first search of a fresh interpreter.

Once with no compiled kernels on disk, and then as the median of runs that find those of the first.
"""

import json
import os
import subprocess
import sys
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import table

SETTINGS = {"spec": "EDEN4", "metric": "cosine", "n": 2000, "d": 384, "k": 10}
TIMES = ("import_s", "add_s", "search_s", "total_s")
COLUMNS = (("kernel cache", "cache"), *((name, name) for name in TIMES))

# The vectors are drawn between the timed steps, for NumPy is part of the import.
_CHILD = """
from time import perf_counter
marks = [perf_counter()]
import vqindex
marks.append(perf_counter())
import json, sys
import numpy as np
settings = json.loads(sys.argv[1])
x = np.random.default_rng(0).standard_normal((settings["n"], settings["d"]), dtype=np.float32)
marks.append(perf_counter())
index = vqindex.index_factory(settings["spec"], metric=settings["metric"])
index.add(x)
marks.append(perf_counter())
index.search(x[0], settings["k"])
marks.append(perf_counter())
print(json.dumps(marks))
"""


def first_use(**environment: str) -> dict[str, float]:
    """Seconds of each step in a new interpreter, with these environment variables too."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, json.dumps(SETTINGS)],
        env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    start, imported, drawn, added, searched = json.loads(done.stdout)
    steps = (imported - start, added - drawn, searched - added)
    return dict(zip(TIMES, (*steps, sum(steps)), strict=True))


def run(*, rounds: int = 3) -> dict[str, Any]:
    """One use with an empty kernel cache, and the medians of `rounds` with the cache it left."""
    with TemporaryDirectory() as folder:
        empty = first_use(VQINDEX_CACHE_DIR=folder)
        warm = [first_use(VQINDEX_CACHE_DIR=folder) for _ in range(rounds)]
    medians = {name: median(use[name] for use in warm) for name in TIMES}
    rows = [{"cache": "empty"} | empty, {"cache": "warm"} | medians]
    return {"settings": SETTINGS | {"rounds": rounds}, "rows": rows}


def report(record: dict[str, Any]) -> str:
    """The record as a table."""
    return table.render(COLUMNS, record["rows"])
