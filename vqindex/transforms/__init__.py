"""Transforms: linear maps applied before coding. A new one is a file here and a line below."""

from vqindex.errors import SpecError
from vqindex.transforms.base import FittedTransform, Transform
from vqindex.transforms.dense_rotation import DenseRotation
from vqindex.transforms.hadamard_rotation import HadamardRotation
from vqindex.transforms.identity import Identity
from vqindex.transforms.pca import PrincipalAxes

TRANSFORMS: dict[str, type[Transform]] = {
    kind.name: kind for kind in (Identity, DenseRotation, HadamardRotation, PrincipalAxes)
}


def default_transform(name: str) -> Transform:
    """The transform of that name without options; SpecError."""
    if name not in TRANSFORMS:
        raise SpecError(f"unknown transform {name!r}; known: {', '.join(TRANSFORMS)}.")
    return TRANSFORMS[name]()


__all__ = [
    "TRANSFORMS",
    "DenseRotation",
    "FittedTransform",
    "HadamardRotation",
    "Identity",
    "PrincipalAxes",
    "Transform",
    "default_transform",
]
