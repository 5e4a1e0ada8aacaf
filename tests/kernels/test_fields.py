"""Addresses and entries where row numbers, offsets and distances are past 2**31 and 2**32."""

import numpy as np
import pytest

from vqindex.kernels.cpu import fields
from vqindex.kernels.cpu.program import BLOCK, SLAB, SLAB_ROWS

FAR = 2**31 // SLAB_ROWS  # the slab of row 2**31
HUGE = 2**20  # bytes of a row: 262,144 dimensions in float32


@pytest.fixture(scope="module")
def addresses():
    """As many slabs as hold rows past 2**31, far apart, where no memory is."""
    steps = np.random.default_rng(0).integers(2**31, 2**33, 2 * FAR + 3)
    return np.cumsum(steps)


@pytest.mark.parametrize("row_bytes", [1, 8, 782, HUGE])
@pytest.mark.parametrize("slab", [0, 1, FAR - 1, FAR, FAR + 1, 2 * FAR, 2 * FAR + 2])
def test_where_a_block_is(addresses, slab, row_bytes):
    for inside in (0, 1, SLAB - 1):
        got = fields.block_at(addresses.ctypes.data, slab * SLAB + inside, row_bytes)
        assert got == int(addresses[slab]) + inside * BLOCK * row_bytes


def test_the_cases_are_large(addresses):
    """Distances between slabs, offsets in a slab and row numbers all pass what 32 bits hold."""
    assert np.diff(addresses).min() >= 2**31
    assert (SLAB - 1) * BLOCK * HUGE > 2**31
    assert FAR * SLAB_ROWS == 2**31
    assert (2 * FAR + 2) * SLAB_ROWS > 2**32


@pytest.mark.parametrize(
    ("entry_at", "dtype"),
    [(fields.float_at, np.float32), (fields.half_at, np.float16), (fields.int64_at, np.int64)],
)
def test_entries_of_far_rows(tmp_path, entry_at, dtype):
    size = SLAB_ROWS * np.dtype(dtype).itemsize
    # A file of holes: two of its pages are ever written.
    memory = np.memmap(tmp_path / "far", np.uint8, "w+", shape=(2**32 + 2 * size,))
    near, far = (memory[at : at + size].view(dtype) for at in (0, 2**32 + size))
    near[:], far[:] = np.arange(SLAB_ROWS) % 2000, -1 - np.arange(SLAB_ROWS) % 2000
    table = np.full(2 * FAR + 2, near.ctypes.data)
    table[[FAR, 2 * FAR + 1]] = far.ctypes.data
    for slab, want in ((0, near), (FAR - 1, near), (FAR, far), (2 * FAR, near), (2 * FAR + 1, far)):
        for inside in (0, 1, 1023, SLAB_ROWS - 1):
            assert entry_at(table.ctypes.data, slab * SLAB_ROWS + inside) == want[inside]
