"""Rotations of runs of dimensions, as kernels for a GPU take them."""

from typing import NamedTuple

import numpy as np

from vqindex.layouts.base import FloatArray
from vqindex.transforms.base import FittedTransform
from vqindex.transforms.dense_rotation import FittedDenseRotation
from vqindex.transforms.hadamard_rotation import FittedBlockRotation, FittedHadamardRotation
from vqindex.transforms.identity import FittedIdentity


class Runs(NamedTuple):
    """Runs of dimensions that are each rotated by themselves.

    size     dimensions of a run; the last may be shorter
    order    of the mixing matrices of the shorter or only run; those of several are numbers
    rounds   none where vectors stay as they are
    signs    (rounds * dim,) float32 of +-1: of the runs alike (rounds, dims), then of the shorter
    mixes    float32: of several runs a number for each round, up to a multiple of four, and then
             (rounds, order, order)
    """

    size: int
    order: int
    rounds: int
    signs: FloatArray
    mixes: FloatArray


def runs_of(transform: FittedTransform) -> Runs | None:
    """The runs that a transform of rows and queries alike rotates; None of others."""
    none = np.empty(0, np.float32)
    if isinstance(transform, FittedIdentity):
        return Runs(transform.dim, 1, 0, none, none)
    if isinstance(transform, FittedDenseRotation):
        matrix = np.ascontiguousarray(transform.matrix.T)
        return Runs(transform.dim, transform.dim, 1, np.ones(transform.dim, np.float32), matrix)
    if isinstance(transform, FittedHadamardRotation):
        rounds, order, _ = transform.mixes.shape
        return Runs(transform.dim, order, rounds, transform.signs, transform.mixes)
    return _of_blocks(transform) if isinstance(transform, FittedBlockRotation) else None


def _of_blocks(transform: FittedBlockRotation) -> Runs:
    first, last = transform.parts[0], transform.parts[-1]
    rounds = len(first.signs)
    alike = [part for part in transform.parts if part.dim == first.dim]
    signs = [np.concatenate([part.signs for part in alike], axis=1).ravel()]
    mixes = [np.resize(first.mixes.ravel(), -(-rounds // 4) * 4)]
    if last.dim < first.dim:
        signs.append(last.signs.ravel())
        mixes.append(last.mixes.ravel())
    order = last.mixes.shape[1]
    return Runs(first.dim, order, rounds, np.concatenate(signs), np.concatenate(mixes))
