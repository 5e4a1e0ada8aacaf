import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqindex.kernels.cpu import ids as kernels

TOP = 2**63 - 1


def empty(capacity):
    return np.full((capacity, 2), -1, np.int64)


def found(table, ids):
    rows = np.full(len(ids), -7, np.int64)
    kernels.find(table, np.array(ids, np.int64), rows)
    return rows.tolist()


def test_home_is_splitmix64():
    # the first outputs of the published generator seeded with 0: its finalizer at each step
    outputs = (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC)
    steps = (np.uint64([1, 2, 3, 4]) * np.uint64(0x9E3779B97F4A7C15)).view(np.int64)
    for step, output in zip(steps, outputs, strict=True):
        assert kernels.home(step, TOP) == output & TOP
        assert kernels.home(step, 1023) == output & 1023


# Seven ids in eight slots: one cluster, around the end of the table, with a single free slot.
KEYS = [0, 1, 2, 3, 2**20, 2**40, TOP]


@st.composite
def operations(draw):
    batch = st.lists(st.sampled_from(KEYS), unique=True, max_size=len(KEYS))
    return draw(st.lists(st.tuples(st.sampled_from(["insert", "remove", "assign"]), batch)))


@given(operations())
@settings(deadline=None)  # the first examples compile
def test_does_what_a_dict_does(steps):
    table, model, row = empty(8), {}, 0
    for name, batch in steps:
        ids = np.array(batch, np.int64)
        present = [i for i in batch if i in model]
        rows = np.arange(row, row + len(ids))
        if name == "insert":
            fresh = next((i for i, key in enumerate(batch) if key in model), len(batch))
            assert kernels.insert(table, ids, row) == fresh
            model.update(zip(batch[:fresh], rows.tolist(), strict=False))
        elif name == "remove":
            assert kernels.remove(table, ids) == len(present)
            model = {key: value for key, value in model.items() if key not in batch}
        else:
            kernels.assign(table, ids, rows)
            model.update((i, r) for i, r in zip(batch, rows.tolist(), strict=True) if i in model)
        row += len(ids)
        asked = [*KEYS, 4, 2**62, -1, -2, -(2**63)]
        assert found(table, asked) == [model.get(i, -1) for i in asked]
        assert np.count_nonzero(table[:, 0] >= 0) == len(model)
        assert (table[table[:, 0] < 0] == -1).all()


@pytest.mark.parametrize("capacity", [64, 256])
def test_copies_into_a_table_of_another_size(capacity):
    table, other = empty(128), empty(capacity)
    ids = np.random.default_rng(0).integers(0, TOP, 40)
    kernels.insert(table, ids, 3)
    kernels.copy(table, other)
    assert found(other, ids) == found(table, ids) == list(range(3, 43))
    assert np.count_nonzero(other[:, 0] >= 0) == 40


M = 1 << 14
SEQUENCES = {
    "from 0": np.arange(M),
    "from 2**40": np.arange(M) + 2**40,
    "last": TOP - np.arange(M),
    "odd": 2 * np.arange(M) + 1,
    **{f"multiples of 2**{bits}": np.arange(M) << bits for bits in (8, 16, 20, 32, 48)},
    "multiples of 10**9 + 7": np.arange(M) * (10**9 + 7),
    "multiples of the golden ratio": (np.arange(M, dtype=np.uint64) * 0x9E3779B97F4A7C15 >> 1),
    "two halves": np.arange(M) % 128 << 40 | np.arange(M) // 128,
    "squares": np.arange(M) ** 2,
    "bits from the top": np.array([int(f"{i:014b}"[::-1], 2) << 49 for i in range(M)]),
}


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("width", [1, 8])
def test_homes_collide_as_if_drawn_at_random(name, width):
    """Pairs in the same `width` slots of 2 m: mean and variance pairs / groups if uniform."""
    ids = SEQUENCES[name].astype(np.int64)
    homes = np.array([kernels.home(i, 2 * M - 1) for i in ids]) // width
    counts = np.bincount(homes)
    collisions = int((counts * (counts - 1) // 2).sum())
    mean = M * (M - 1) / 2 / (2 * M / width)
    assert abs(collisions - mean) < 5 * np.sqrt(mean)  # one in 10**6


def test_each_kernel_is_compiled_once():
    table, ids = empty(8), np.arange(3)
    kernels.insert(table, ids, 0)
    kernels.find(table, ids, ids.copy())
    kernels.assign(table, ids, ids)
    kernels.remove(table, ids)
    kernels.copy(table, empty(8))
    for name in ("insert", "find", "assign", "remove", "copy"):
        assert len(getattr(kernels, name).signatures) == 1
