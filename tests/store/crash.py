"""Kill a writing process at random moments, many times: python tests/store/crash.py FOLDER KILLS.

The child says what it is about to do and when that is done; after each kill the store must hold
all that was done, and what was being done either whole or not at all.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

from vqindex.store import VectorStore

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.store.brute import SMALL, check

D = 8
Model = dict[str, tuple[int, int]]  # id -> what it was written by


def vector(step: int, i: int) -> np.ndarray:
    """The vector that a step writes at i."""
    return np.random.default_rng([step, i]).standard_normal(D).astype(np.float32)


def plan(step: int, seed: int) -> tuple[str, list[str]]:
    """What a step does, and to which ids."""
    rng = random.Random(f"{seed} {step}")
    word = rng.choice(["upsert", "upsert", "upsert", "remove", "where", "optimize"])
    size = rng.choice([1, 5, 60, 150])
    return word, [f"d{rng.randrange(600)}" for _ in range(size)]


def carry_out(store: VectorStore, step: int, seed: int) -> None:
    """Do a step."""
    word, ids = plan(step, seed)
    if word == "upsert":
        several = [vector(step, i) for i in range(len(ids))]
        about = [{"step": step, "i": i} for i in range(len(ids))]
        store.upsert(ids, several, [f"{step} {i}" for i in range(len(ids))], about)
    elif word == "remove":
        store.remove(ids)
    elif word == "where":
        store.remove(where={"field": "meta.i", "op": "==", "value": step % 5})
    else:
        store.optimize()


def apply(model: Model, step: int, seed: int) -> Model:
    """What a step makes of what there was."""
    word, ids = plan(step, seed)
    after = dict(model)
    if word == "upsert":
        after |= {name: (step, i) for i, name in enumerate(ids)}
    elif word == "remove":
        for name in ids:
            after.pop(name, None)
    elif word == "where":
        after = {name: at for name, at in after.items() if at[1] != step % 5}
    return after


def child(folder: str, first: int, seed: int, say: int) -> None:
    """Write until killed, saying "+" before each step and "." after it."""
    store = VectorStore(folder)
    step = first
    while True:
        os.write(say, b"+")
        carry_out(store, step, seed)
        os.write(say, b".")
        step += 1


def kill_one(folder: str, first: int, seed: int, rng: random.Random) -> tuple[int, bool]:
    """Let a child write for a while and kill it: steps done, and whether one was begun.

    Not before it has said that an upsert is done: else nothing might be lost.
    """
    hear, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            child(folder, first, seed, say)
        finally:
            os._exit(1)
    os.close(say)
    told = b""
    while not any(plan(first + i, seed)[0] == "upsert" for i in range(told.count(b"."))):
        part = os.read(hear, 65536)
        assert part, "the child failed"
        told += part
    time.sleep(rng.choice([0, 0.01, 0.1, 0.5]) * rng.random())
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while part := os.read(hear, 65536):
        told += part
    os.close(hear)
    return told.count(b"."), told.endswith(b"+")


def holds(store: VectorStore, model: Model) -> bool:
    """Whether the store has what the model has, and nothing else."""
    found = {one.id: one for one in store.documents()}
    if found.keys() != model.keys():
        return False
    return all(
        found[name].metadata == {"step": step, "i": i}
        and found[name].text == f"{step} {i}"
        and np.array_equal(found[name].vector, vector(step, i))
        for name, (step, i) in model.items()
    )


def main(folder: str, kills: int, seed: int = 0) -> None:
    """Kill, reopen and compare."""
    for module, name, value in SMALL:
        setattr(module, name, value)
    rng, model, step, steps = random.Random(seed), {}, 0, 0
    for kill in range(kills):
        done, begun = kill_one(folder, step, seed, rng)
        for _ in range(done):
            model = apply(model, step, seed)
            step += 1
        with VectorStore(folder) as store:
            maybe = apply(model, step, seed)
            if begun and not holds(store, model):
                model = maybe
            assert holds(store, model), f"kill {kill}: not what was written"
            step += begun
            there = {name: vector(*at) for name, at in model.items()}
            for query in (vector(kill, -1 % 1000), vector(kill, 1001)):
                check(store.search(query, 10), query, there, "cosine", 10)
            store.verify()
        steps += done
    left = sorted(path.name for path in Path(folder).iterdir() if path.name.startswith(".index"))
    assert not left, left
    print(f"{kills} kills, {steps} steps done, {len(model)} documents")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *map(int, sys.argv[3:]))
