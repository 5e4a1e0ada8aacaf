"""Transforms: linear maps applied before coding. A new one is a file here and a line below."""

from vqindex.errors import SpecError
from vqindex.transforms.base import FittedTransform, Transform
from vqindex.transforms.calibration import Calibration
from vqindex.transforms.dense_rotation import DenseRotation
from vqindex.transforms.hadamard_rotation import HadamardRotation
from vqindex.transforms.identity import Identity
from vqindex.transforms.leanvec import LeanVec

TRANSFORMS: dict[str, type[Transform]] = {
    kind.name: kind for kind in (Identity, DenseRotation, HadamardRotation, Calibration, LeanVec)
}


def default_transform(name: str) -> Transform:
    """The transform of that name without options; SpecError."""
    if name not in TRANSFORMS:
        raise SpecError(f"unknown transform {name!r}; known: {', '.join(TRANSFORMS)}.")
    return TRANSFORMS[name]()


__all__ = [
    "TRANSFORMS",
    "Calibration",
    "DenseRotation",
    "FittedTransform",
    "HadamardRotation",
    "Identity",
    "LeanVec",
    "Transform",
    "default_transform",
]
