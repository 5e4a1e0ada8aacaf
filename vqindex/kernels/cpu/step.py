"""Transforms told as records, for kernels that take one vector from address to address."""

from typing import NamedTuple

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined
from vqindex.kernels.cpu.hadamard import multiply_one, rotate_some

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
