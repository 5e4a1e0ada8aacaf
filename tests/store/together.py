"""Search while one writes: python tests/store/together.py threads|processes FOLDER SECONDS.

Step v of the writer makes version v of the store out of version v - 1. A search reads the version
before and after itself, and must answer as brute force does at one of those in between.
"""

import multiprocessing
import random
import sys
import threading
import time
from pathlib import Path

import numpy as np

from vqindex.store import VectorStore

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.store.brute import SMALL, check

D, K, FIRST = 8, 10, 100
Model = dict[str, tuple[int, int]]


def vector(step: int, i: int) -> np.ndarray:
    """The vector that a step writes at i."""
    return np.random.default_rng([step, i]).standard_normal(D).astype(np.float32)


def change(model: Model, step: int) -> tuple[list[str], list[str]]:
    """The ids that a step writes, and those that it removes: one kind or the other."""
    rng = random.Random(step)
    if step > FIRST and step % 3 == 0:
        return [], rng.sample(sorted(model), min(len(model), 15))
    return rng.sample([f"d{i}" for i in range(900)], 20), []


def apply(model: Model, step: int) -> Model:
    """Version `step`, from the one before."""
    new, old = change(model, step)
    kept = {name: at for name, at in model.items() if name not in old}
    return kept | {name: (step, i) for i, name in enumerate(new)}


class Models:
    """The store at each version."""

    def __init__(self) -> None:
        self._all: list[Model] = [{}]
        self._lock = threading.Lock()

    def __getitem__(self, version: int) -> Model:
        with self._lock:
            while len(self._all) <= version:
                self._all.append(apply(self._all[-1], len(self._all)))
            return self._all[version]


def write(store: VectorStore, models: Models, end: float) -> None:
    """Step after step, until it is time."""
    step = store.info()["version"] + 1
    while time.monotonic() < end:
        new, old = change(models[step - 1], step)
        if new:
            store.upsert(new, [vector(step, i) for i in range(len(new))])
        else:
            store.remove(old)
        step += 1


def ask(store: VectorStore, models: Models, end: float, seed: int) -> int:
    """Searches until it is time; how many were right. AssertionError at one that is not."""
    rng, n = np.random.default_rng(seed), 0
    while time.monotonic() < end:
        query = rng.standard_normal(D)
        low = store.info()["version"]
        hits = store.search(query, K)
        high = store.info()["version"]
        wrong: AssertionError | None = None
        for version in range(low, high + 1):
            there = {name: vector(*at) for name, at in models[version].items()}
            try:
                check(hits, query, there, "cosine", K)
                break
            except (AssertionError, KeyError) as error:
                wrong = AssertionError(f"version {low} to {high}: {error!r}")
        else:
            raise wrong or AssertionError
        n += 1
    return n


def threads(folder: str, seconds: float) -> int:
    """Eight threads search while one writes."""
    models, counts, errors = Models(), [], []
    end = time.monotonic() + seconds

    def asking(seed: int) -> None:
        try:
            counts.append(ask(store, models, end, seed))
        except BaseException as error:
            errors.append(error)

    with VectorStore(folder) as store:
        several = [threading.Thread(target=asking, args=(seed,)) for seed in range(8)]
        for thread in several:
            thread.start()
        write(store, models, end)
        for thread in several:
            thread.join()
        store.verify()
    if errors:
        raise errors[0]
    return min(counts)


def reader(folder: str, end: float, seed: int, counts: "multiprocessing.Queue[int]") -> None:
    """A process that only reads."""
    shrink()
    with VectorStore(folder, read_only=True) as store:
        counts.put(ask(store, Models(), end, seed))


def processes(folder: str, seconds: float) -> int:
    """Four processes search while one writes."""
    context = multiprocessing.get_context("spawn")
    counts: multiprocessing.Queue[int] = context.Queue()
    models = Models()
    with VectorStore(folder) as store:
        write(store, models, time.monotonic() + 0.2)
        end = time.monotonic() + seconds + 5  # they need a while to begin
        several = [
            context.Process(target=reader, args=(folder, end, seed, counts)) for seed in range(4)
        ]
        for process in several:
            process.start()
        write(store, models, end)
        for process in several:
            process.join()
        store.verify()
    assert [process.exitcode for process in several] == [0] * 4
    return min(counts.get() for _ in several)


def shrink() -> None:
    """Let few rows see every stage of growth."""
    for module, name, value in SMALL:
        setattr(module, name, value)


if __name__ == "__main__":
    shrink()
    least = {"threads": threads, "processes": processes}[sys.argv[1]](
        sys.argv[2], float(sys.argv[3])
    )
    assert least > 0, "somebody did not come to a single search"
    print(f"each at least {least} searches, all of them right")
