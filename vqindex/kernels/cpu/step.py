"""Transforms and tables told as records, for kernels that take one vector between addresses."""

from typing import NamedTuple

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined
from vqindex.kernels.cpu.hadamard import multiply_one, rotate_some
from vqindex.kernels.cpu.program import UNBOUND

AS_IS, ROTATION, MATRIX = range(3)


class Step(NamedTuple):
    """A square linear map.

    kind      AS_IS, ROTATION or MATRIX
    order     of a rotation's mixing matrices, see transforms.hadamard_rotation
    rounds    of a rotation
    bytes     from one mixing matrix to the next, or from one row of a matrix to the next
    signs     address of (rounds, dim) float32
    numbers   address of mixing matrices as hadamard.pack leaves them, or of a matrix from
              hadamard.pad
    """

    kind: int
    order: int = 0
    rounds: int = 0
    bytes: int = 0
    signs: int = 0
    numbers: int = 0


class Tables(NamedTuple):
    """Codebooks of whose words a query's tables are made; see subspaces.Subspaces.

    spaces      how many runs of dimensions, 0 for no tables
    size        words of each, a multiple of sixteen
    width       dimensions of a word
    starts      address of (spaces + 1,) int64
    lines       address of (spaces, width, size) float32
    order       address of (dim,) int64, UNBOUND for dimensions as they come
    squares     address of (spaces * size,) float32 to be subtracted, UNBOUND for none
    in_nibbles  whether codes have 4 bits, whose tables TableCodes.spread puts in another order
    """

    spaces: int = 0
    size: int = 0
    width: int = 0
    starts: int = 0
    lines: int = 0
    order: int = 0
    squares: int = 0
    in_nibbles: int = 0


class Gains(NamedTuple):
    """What the entries of a query are multiplied by to meet levels, and how they are rounded twice.

    gains    address of (dims,) float32
    dims     entries that are coded
    width    entries with those that fill words, 0 where a query meets levels as it is
    fine     of them are rounded to int8; what that takes of them comes after all
    errors   address of (dim,) float32, weights for the norm of a query, UNBOUND for none
    """

    gains: int = 0
    dims: int = 0
    width: int = 0
    fine: int = 0
    errors: int = 0


@inlined
def take(step, source, dim, to, scratch):
    """Map (dim,) float32 at `source` to `to`; scratch: see hadamard.scratch_floats."""
    if step.kind == ROTATION:
        rotate_some(source, to, np.int64(1), dim, step.order, step.signs, step.rounds,
                    step.numbers, step.bytes, scratch)  # fmt: skip
    elif step.kind == MATRIX:
        multiply_one(source, dim, step.numbers, step.bytes, dim, to, scratch)
    else:
        for j in range(0, 4 * dim, 4):
            simd.store_float(to + j, simd.load_float(source + j))


@inlined
def tabulate(tables, query, to):
    """Inner products of a query (dim,) float32 with all words, as TableCodes.spread has them."""
    for space in range(tables.spaces):
        start = simd.load_int64(tables.starts + 8 * space)
        dims = simd.load_int64(tables.starts + 8 * space + 8) - start
        for first in range(0, tables.size, 16):
            line = tables.lines + 4 * (space * tables.width * tables.size + first)
            total = simd.splat_float(np.float32(0))
            for j in range(dims):
                place = start + j
                if tables.order != UNBOUND:
                    place = simd.load_int64(tables.order + 8 * place)
                x = simd.splat_float(simd.load_float(query + 4 * place))
                product = simd.multiply_float(simd.load(line + 4 * tables.size * j), x)
                total = simd.add_float(total, product)
            at = space * tables.size + first
            if tables.squares != UNBOUND:
                total = simd.subtract_float(total, simd.load(tables.squares + 4 * at))
            if tables.in_nibbles:
                word, byte, half = at // 256, at % 256 // 32, at % 32 // 16
                at = 256 * word + 128 * half + 16 * byte
            simd.store(to + 4 * at, total)


@inlined
def gain(gains, query, to):
    """Write a query's entries (width + fine,) float32, as MixedCodes.spread has them."""
    largest, limit = np.float32(0), np.float32(127)
    for j in range(gains.width):
        entry = np.float32(0)
        if j < gains.dims:
            entry = simd.load_float(query + 4 * j) * simd.load_float(gains.gains + 4 * j)
        simd.store_float(to + 4 * j, entry)
        largest = max(largest, abs(entry))
    unit = largest / limit
    for j in range(gains.fine):
        entry = simd.load_float(to + 4 * j)
        steps = entry / unit if unit > 0 else np.float32(0)
        rounded = min(max(np.rint(steps), -limit), limit) * unit
        simd.store_float(to + 4 * j, rounded)
        simd.store_float(to + 4 * (gains.width + j), entry - rounded)


@inlined
def weigh(gains, query, dim):
    """Multiply the entries of a query (dim,) float32 by their errors, if there are any."""
    for j in range(0, 4 * dim if gains.errors != UNBOUND else 0, 4):
        error = simd.load_float(gains.errors + j)
        simd.store_float(query + j, simd.load_float(query + j) * error)
