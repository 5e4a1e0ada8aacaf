"""Transforms: linear maps applied before coding. A new one is a file here and a line below."""

from vqindex.errors import SpecError
from vqindex.transforms.base import FittedTransform, Transform
from vqindex.transforms.calibration import Calibration
from vqindex.transforms.dense_rotation import DenseRotation
from vqindex.transforms.hadamard_rotation import HadamardRotation
from vqindex.transforms.identity import Identity
from vqindex.transforms.leanvec import LeanVec
from vqindex.transforms.opq import LearnedRotation
from vqindex.transforms.pca import PrincipalAxes

_KINDS: tuple[type[Transform], ...] = (
    Identity,
    DenseRotation,
    HadamardRotation,
    Calibration,
    PrincipalAxes,
    LearnedRotation,
    LeanVec,
)
TRANSFORMS: dict[str, type[Transform]] = {kind.name: kind for kind in _KINDS}


def default_transform(spec: str) -> Transform:
    """The transform of that name, and number if it has one, without options; SpecError."""
    name = spec.rstrip("0123456789x")
    if name not in TRANSFORMS:
        raise SpecError(f"unknown transform {spec!r}; known: {', '.join(TRANSFORMS)}.")
    number = tuple(map(int, spec[len(name) :].split("x"))) if name != spec else None
    return TRANSFORMS[name].from_spec(name, number, {})


__all__ = [
    "TRANSFORMS",
    "Calibration",
    "DenseRotation",
    "FittedTransform",
    "HadamardRotation",
    "Identity",
    "LeanVec",
    "LearnedRotation",
    "PrincipalAxes",
    "Transform",
    "default_transform",
]
