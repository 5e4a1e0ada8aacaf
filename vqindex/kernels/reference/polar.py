"""What polar codes mean: sixteen entries as a radius and fifteen angles, one bisection each.

Entries are paired, and each pair is a radius and an angle; the radii are paired again, and so on:
8 angles of a full turn, then 4, 2 and 1 of a quarter of one. An angle is coded as the one of a few
levels that is nearest to it; levels are given as their cosines and sines.

Source: PolarQuant, arXiv 2502.02617.
"""

import numpy as np
import numpy.typing as npt

SIZES = (16, 4, 4, 4)  # levels of each step
Floats = npt.NDArray[np.float32]


def encode(
    x: npt.NDArray[np.floating], levels: list[Floats]
) -> tuple[list[npt.NDArray[np.int64]], npt.NDArray[np.float64]]:
    """Codes of each step (n, 8), (n, 4), (n, 2), (n, 1), and radii (n,), of x (n, 16), in float64.

        code = argmax over levels of cos * first + sin * second, the first of equals

    levels   of each step (size, 2) float32: cosines and sines
    """
    codes, values = [], x.astype(np.float64)
    for step in levels:
        first, second = values[:, ::2, None], values[:, 1::2, None]
        codes.append((step[:, 0] * first + step[:, 1] * second).argmax(axis=-1))
        values = np.sqrt(values[:, ::2] ** 2 + values[:, 1::2] ** 2)
    return codes, values[:, 0]


def decode(
    codes: list[npt.NDArray[np.int64]], radii: npt.NDArray[np.float16], levels: list[Floats]
) -> npt.NDArray[np.int8]:
    """The integers t of the half-integers t + 1/2 nearest to the entries, (n, 16), in float32."""
    values = radii.astype(np.float32)[:, None]
    for code, step in zip(codes[::-1], levels[::-1], strict=True):
        values = (values[:, :, None] * step[code]).reshape(len(values), -1)
    t: npt.NDArray[np.float32] = np.floor(values)
    return t.clip(-128, 127).astype(np.int8)
