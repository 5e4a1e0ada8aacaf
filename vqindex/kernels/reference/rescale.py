"""Which multiple of a row is best: its rounding to half-integers points most nearly its way."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def levels(a: Floats, t: Floats, top: int) -> npt.NDArray[np.float64]:
    """The magnitudes of levels at some multiples: min(trunc(t a), top) + 1/2.

    a (d,) float32, >= 0; t (m,) float32, > 0: their products are rounded to float32
    returns (m, d) float64
    """
    k: npt.NDArray[np.float32] = np.minimum(np.trunc(t[:, None] * a), np.float32(top))
    return k.astype(np.float64) + 0.5


def events(a: Floats, top: int) -> Floats:
    """Where levels change: the least float32 t at which t a reaches 1, 2, ..., top; ascending.

    a (d,) float32, > 0; returns up to (d * top,) float32
    """
    k = np.arange(1, top + 1, dtype=np.float32)[:, None]
    t = k / a
    t = np.where(t * a < k, np.nextafter(t, np.float32(np.inf)), t)
    below = np.nextafter(t, np.float32(0))
    return np.unique(np.where(below * a >= k, below, t))


def best(a: Floats, top: int) -> tuple[np.float32, float]:
    """The first event at which the cosine of a and its levels is greatest, and that cosine.

    Before the first event, where the levels are all 1/2, counts as one just below it.

    a (d,) float32, >= 0, not all 0

    Source: extended RaBitQ, arXiv 2409.09913, which sweeps like this.
    """
    t = events(a[a > 0], top)
    t = np.append(np.nextafter(t[0], np.float32(0)), t)
    u = levels(a, t, top)
    cosine = u @ a.astype(np.float64) / np.linalg.norm(u, axis=1) / np.linalg.norm(a.astype("f8"))
    return t[cosine.argmax()], float(cosine.max())
