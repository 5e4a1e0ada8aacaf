"""A hash table from ids to rows: open addressing, linear probing, no tombstones.

    table  (capacity, 2) int64, the capacity a power of two and above the number of entries; a
           slot holds an id >= 0 and its row, or -1 and -1 where it is free

An id lies at its home slot or after it, with no free slot between: removing one moves later ones
back into the hole. A look-up that ends at a free slot reads the row -1 there, as it should, and
so does that of a negative id.
"""

import numpy as np

from vqindex.kernels.cpu.compile import inlined, kernel


@inlined
def home(id_, mask):
    """The slot where an id would like to be: low bits of SplitMix64's finalizer, a bijection."""
    h = np.uint64(id_)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64(h ^ (h >> np.uint64(31))) & mask


@inlined
def slot_of(table, id_):
    """The slot of an id, or the free one where it would go."""
    mask = table.shape[0] - 1
    slot = home(id_, mask)
    while table[slot, 0] != id_ and table[slot, 0] >= 0:
        slot = (slot + 1) & mask
    return slot


@kernel
def find(table, ids, rows):
    """Write the row of each id, -1 where it is missing; ids, rows (m,) int64."""
    for i in range(ids.size):
        rows[i] = table[slot_of(table, ids[i]), 1]


@kernel
def insert(table, ids, first_row):
    """Give ids (m,) int64 the rows from first_row on, stopping at one that is there already.

    Returns how many were inserted.
    """
    for i in range(ids.size):
        slot = slot_of(table, ids[i])
        if table[slot, 0] >= 0:
            return i
        table[slot, 0], table[slot, 1] = ids[i], first_row + i
    return ids.size


@kernel
def assign(table, ids, rows):
    """Change the rows of those of ids (m,) int64 that are there; rows (m,) int64."""
    for i in range(ids.size):
        slot = slot_of(table, ids[i])
        if table[slot, 0] >= 0:
            table[slot, 1] = rows[i]


@kernel
def remove(table, ids):
    """Remove those of ids (m,) int64 that are there; returns how many they were."""
    mask = table.shape[0] - 1
    removed = 0
    for i in range(ids.size):
        hole = slot_of(table, ids[i])
        if table[hole, 0] < 0:
            continue
        slot = (hole + 1) & mask
        while table[slot, 0] >= 0:
            distance = (slot - home(table[slot, 0], mask)) & mask
            if distance >= (slot - hole) & mask:
                table[hole, 0], table[hole, 1] = table[slot, 0], table[slot, 1]
                hole = slot
            slot = (slot + 1) & mask
        table[hole, 0], table[hole, 1] = -1, -1
        removed += 1
    return removed


@kernel
def copy(table, other):
    """Insert the entries of one table into another, which has none of them."""
    for i in range(table.shape[0]):
        if table[i, 0] >= 0:
            slot = slot_of(other, table[i, 0])
            other[slot, 0], other[slot, 1] = table[i, 0], table[i, 1]
