"""Bits for principal directions: as many for each as its error is worth.

A row's score with a query q errs by the sum over dimensions of q_j (y_j - u_j). Along y itself a
row's unbiased scale takes the error away, so that what counts of a query is how it differs from
the rows near it: an error of dimension j costs w_j = E (q_j - y_j)^2 over such pairs. Rows stand
for queries where none are known.

A dimension without bits errs by all of y_j, and the scale that makes up for it stretches others.
Were it to cost 1, against D / (1 - D) of unbiased codes, two bits for every second of equal
dimensions would seem better than one for each: of Gaussian rows in 128 dimensions .08 of the ten
nearest were found that way and not .22. Costs of 1.2 and 1.3 change else only for the better
(MiniLM at 1.5 and 2.5 bits: .835 and .919, not .819 and .913); at 1.4 SIFT loses .03 at 2 bits.
"""

import numpy as np
import numpy.typing as npt

from vqindex.layouts.base import FloatArray
from vqindex.layouts.mixed import MOST_BITS, RUN, WORD
from vqindex.quantizers.base import divide, row_norms
from vqindex.quantizers.levels import scalar_levels

Floats = npt.NDArray[np.float64]

PROBES = 512  # rows of a sample that stand for queries
NEIGHBORS = 10
UNCODED = 1.2  # what a dimension without bits costs, over its square
_RUNS = WORD // RUN


def near_differences(sample: FloatArray) -> Floats:
    """How rows differ from their nearest: mean squares in each dimension, (d,).

    The nearest ten of some rows of the sample (n, d); in a sample of two rows or fewer, or of
    equal ones, mean squares of the rows themselves.
    """
    n = len(sample)
    probes = np.unique(np.linspace(0, n - 1, min(n, PROBES)).astype(np.int64))
    k = min(NEIGHBORS, n - 1)
    found: Floats = np.zeros(sample.shape[1])
    if k > 0:
        asked = sample[probes]
        squares = (sample**2).sum(axis=1)
        away = squares - 2 * asked @ sample.T
        away[np.arange(len(probes)), probes] = np.inf
        near = np.argpartition(away, k - 1, axis=1)[:, :k]
        differences = asked[:, None] - sample[near]
        found[:] = (differences.astype(np.float64) ** 2).mean(axis=(0, 1))
    if not found.any():
        found[:] = (sample.astype(np.float64) ** 2).mean(axis=0)
    return found


def query_differences(sample: FloatArray, queries: FloatArray) -> FloatArray:
    """How some queries (nq, d), of norm one, differ from the rows most like them, (pairs, d).

    Like up to a factor, as scores are: with q the query and y the row, q - <q, y> y / |y|^2 of ten
    rows of the sample (n, d).
    """
    probes = np.unique(np.linspace(0, len(queries) - 1, min(len(queries), PROBES)).astype(np.int64))
    asked = divide(queries[probes], row_norms(queries[probes])[:, None])
    units = divide(sample, row_norms(sample)[:, None])
    k, products = min(NEIGHBORS, len(sample)), asked @ units.T
    near = np.argpartition(-products, k - 1, axis=1)[:, :k]
    shares = np.take_along_axis(products, near, axis=1)[:, :, None]
    differences: FloatArray = asked[:, None] - shares * units[near]
    return differences.reshape(-1, sample.shape[1])


def asked_differences(sample: FloatArray, queries: FloatArray) -> Floats:
    """Mean squares of `query_differences`, (d,); `near_differences` where they are nothing."""
    differences = query_differences(sample, queries).astype(np.float64)
    found: Floats = (differences**2).mean(axis=0)
    return found if found.any() else near_differences(sample)


def chance_share(sample: FloatArray, variances: Floats) -> float:
    """The share of how variances (d,) of principal directions differ that is chance, 0 to 1.

    sample    (n, d) along those directions, centred

    Principal directions of n rows in d equal dimensions have variances that seem to go up to
    (1 + sqrt(d / n))^2. This much nearer to their mean, variances err least.

    Source: Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance
    matrices, Journal of Multivariate Analysis 88, 2004, section 3.
    """
    norms = row_norms(sample).astype(np.float64)
    apart = float(((variances - variances.mean()) ** 2).sum())
    chance = float((norms**4).mean() - (variances**2).sum()) / len(sample)
    return float(np.clip(chance / apart, 0, 1)) if apart > 0 else 0.0


def run_costs(variances: Floats, weights: Floats) -> Floats:
    """What each run of eight dimensions costs at 0 to 7 bits, (runs, 8).

    variances, weights   (64 * words,), zero beyond the last dimension
    """
    distortions = np.array([scalar_levels(b).distortion for b in range(1, MOST_BITS + 1)])
    relative = np.append(UNCODED, distortions / (1 - distortions))
    runs: Floats = (variances * weights).reshape(-1, RUN).sum(axis=1)
    costs: Floats = runs[:, None] * relative
    return costs


def allocate(costs: Floats, budget: int) -> tuple[int, ...]:
    """Bits of each coded run, non-increasing, whole words, at most `budget` bytes, of least cost.

    costs    (runs, 8) of each run at 0 to 7 bits; a run takes as many bytes as bits
    budget   at least 8: the signs of one word

    Dynamic programming over the runs: least[b, u] is the least cost of the runs so far where the
    last has b bits and u bytes are used. Runs without bits begin only where a word does.
    """
    least = np.full((MOST_BITS + 1, budget + 1), np.inf)
    least[MOST_BITS, 0] = 0
    choices = []
    for k, cost in enumerate(costs):
        before = np.broadcast_to(np.arange(MOST_BITS + 1)[:, None], least.shape).copy()
        lowest = 1 if k % _RUNS or k == 0 else 0
        for b in range(MOST_BITS - 1, lowest - 1, -1):
            better = least[b + 1] < least[b]
            least[b] = np.where(better, least[b + 1], least[b])
            before[b] = np.where(better, before[b + 1], b)
        choices.append(before)
        after = np.full_like(least, np.inf)
        for b in range(MOST_BITS + 1):
            after[b, b:] = least[b, : budget + 1 - b] + cost[b]
        least = after
    bits = []
    b, used = (int(i) for i in np.unravel_index(least.argmin(), least.shape))
    for before in reversed(choices):
        bits.append(b)
        used -= b
        b = int(before[b, used])
    return tuple(b for b in reversed(bits) if b)
