"""How far codes are from vectors, and scores from inner products, beside theory and papers.

Rows are encoded, decoded and scored by the index itself: integer kernels, queries rounded to int8.
"""

import math
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from benchmarks import table
from benchmarks.theory import THEORY
from vqindex import FlatIndex, index_factory

Floats = npt.NDArray[np.float64]
CASES = Path(__file__).with_suffix(".toml")
COLUMNS = (
    ("figure", "figure"),
    ("index", "index"),
    ("bits", "bits"),
    ("ours", "ours"),
    ("+-", "error"),
    ("expected", "expected"),
    ("reported", "reported"),
    ("ours/reported", "ratio"),
)


@dataclass(frozen=True)
class Sizes:
    """How much is measured; see distortion.toml."""

    gaussian: tuple[int, int]
    dim: int
    rho: float
    seeds: int
    queries: int
    rows: int


@dataclass(frozen=True)
class Figure:
    """A mean over independent samples, and its standard error."""

    value: float
    error: float

    @classmethod
    def of(cls, samples: npt.ArrayLike) -> Self:
        """The figure of samples (m,), m >= 2."""
        values = np.asarray(samples, np.float64)
        return cls(float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size)))


def distortions(spec: str, x: npt.NDArray[np.float32], seed: int) -> Floats:
    """|x - decoded x|^2 / |x|^2 of each row."""
    index = index_factory(spec, metric="ip", seed=seed)
    back = index.reconstruct(index.add(x)).astype(np.float64)
    squares: Floats = ((x - back) ** 2).sum(axis=1) / (x.astype(np.float64) ** 2).sum(axis=1)
    return squares


def all_scores(index: FlatIndex, queries: npt.NDArray[np.float32]) -> Floats:
    """Scores of every row with every query, (nq, n), as a search returns them."""
    result = index.search(queries, k=len(index))
    scores = np.empty(result.scores.shape)
    np.put_along_axis(scores, result.ids, result.scores, axis=1)
    return scores


def fixed_vectors(dim: int) -> npt.NDArray[np.float32]:
    """Unit vectors that a poor rotation would code badly, (6, dim)."""
    j = np.arange(dim)
    x = np.array([j == 0, j < 2, 0.9**j, (j + 1.0) ** -0.7, np.ones(dim), np.cos(j)])
    unit: npt.NDArray[np.float32] = (x / np.linalg.norm(x, axis=1)[:, None]).astype(np.float32)
    return unit


def pairs(
    rng: np.random.Generator, sizes: Sizes
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Unit queries (queries, dim) and, for each, unit rows at inner product rho with it."""
    queries = _unit(rng.standard_normal((sizes.queries, 1, sizes.dim)))
    other = rng.standard_normal((sizes.queries, sizes.rows, sizes.dim))
    other = _unit(other - (other * queries).sum(axis=-1, keepdims=True) * queries)
    rows = sizes.rho * queries + math.sqrt(1 - sizes.rho**2) * other
    return queries[:, 0].astype(np.float32), rows.astype(np.float32)


def _unit(x: Floats) -> Floats:
    unit: Floats = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return unit


@cache
def errors(spec: str, sizes: Sizes) -> Floats:
    """Score minus rho of every pair, (seeds, pairs): new vectors and a new rotation each seed."""
    found = np.empty((sizes.seeds, sizes.queries, sizes.rows))
    for seed in range(sizes.seeds):
        queries, rows = pairs(np.random.default_rng(seed), sizes)
        index = index_factory(spec, metric="ip", seed=seed)
        index.add(rows.reshape(-1, sizes.dim))
        scores = all_scores(index, queries).reshape(sizes.queries, sizes.queries, sizes.rows)
        own = np.arange(sizes.queries)
        found[seed] = scores[own, own] - sizes.rho
    return found.reshape(sizes.seeds, -1)


def gaussian(spec: str, sizes: Sizes) -> Figure:
    """Distortion of Gaussian rows."""
    x = np.random.default_rng(0).standard_normal(sizes.gaussian, np.float32)
    return Figure.of(distortions(spec, x, seed=0))


def rotated(spec: str, sizes: Sizes) -> Figure:
    """Distortion of fixed unit vectors over seeds."""
    x = fixed_vectors(sizes.dim)
    return Figure.of([distortions(spec, x, seed).mean() for seed in range(sizes.seeds)])


def bias(spec: str, sizes: Sizes) -> Figure:
    """Mean error of scores."""
    return Figure.of(errors(spec, sizes).mean(axis=1))


def variance(spec: str, sizes: Sizes) -> Figure:
    """Variance of scores times the dimension."""
    found = errors(spec, sizes)
    return Figure.of(sizes.dim * ((found - found.mean()) ** 2).mean(axis=1))


MEASURES: dict[str, Callable[[str, Sizes], Figure]] = {
    "gaussian": gaussian,
    "rotated": rotated,
    "bias": bias,
    "variance": variance,
}


def rows_of(series: dict[str, Any], sizes: Sizes) -> list[dict[str, Any]]:
    """The table's lines of one series of the cases; None where nobody reports a figure."""
    dim = sizes.gaussian[1] if series["measure"] == "gaussian" else sizes.dim
    found = []
    for i, bits in enumerate(series["bits"]):
        spec = series["spec"].format(b=bits, less=bits - 1)
        figure = MEASURES[series["measure"]](spec, sizes)
        reported = series["reported"][i] if series["reported"] else None
        found.append(
            {
                "figure": series["figure"],
                "index": spec,
                "bits": bits,
                "ours": figure.value,
                "error": figure.error,
                "expected": THEORY[series["theory"]](bits, dim, sizes.rho),
                "reported": reported,
                "ratio": figure.value / reported if reported else None,
            }
        )
    return found


def read_cases() -> tuple[Sizes, list[dict[str, Any]]]:
    """Sizes and series of distortion.toml."""
    with CASES.open("rb") as file:
        cases = tomllib.load(file)
    sizes = cases["sizes"]
    return Sizes(**sizes | {"gaussian": tuple(sizes["gaussian"])}), cases["series"]


def run() -> dict[str, Any]:
    """Every line, as a record."""
    sizes, series = read_cases()
    rows = [row for each in series for row in rows_of(each, sizes)]
    return {"sizes": asdict(sizes), "rows": rows}


def report(record: dict[str, Any]) -> str:
    """The record as a table."""
    return table.render(COLUMNS, record["rows"])
