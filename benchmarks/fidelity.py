"""How far codes are from vectors, and scores from inner products.

Rows are encoded, decoded and scored by the index itself: integer kernels, queries rounded to int8.
What a codec learns, it learns from Gaussian rows that are not measured.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from vqindex import FlatIndex, index_factory

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]
ID_BYTES = 8  # of a row, counted by `bytes_per_row` and no part of its code


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    dim      of all vectors
    sample   Gaussian rows that codecs learn from
    rows     others, of which the error is measured
    seeds    rotations, or of what learns fits, each with new vectors to score; 0 for no scores
    queries  of each seed
    pairs    rows of each query, at inner product rho with it
    """

    dim: int
    sample: int
    rows: int
    seeds: int
    queries: int
    pairs: int
    rho: float


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


def bits(index: FlatIndex, dim: int) -> tuple[float, float]:
    """Bits a dimension of what a row costs but for its id, and of its codes alone."""
    codec: Any = index._rows.codec  # type: ignore[union-attr]
    terms = [codec.quantizer] if codec.sketch is None else [codec.quantizer, codec.sketch]
    code_bytes = sum(column.row_bytes for term in terms for column in term.layout.columns)
    whole = index.bytes_per_row - ID_BYTES
    return 8 * whole / dim, 8 * code_bytes / dim


def model_bytes(save: Callable[[Path], object]) -> int | None:
    """Of the file that `save` writes of a fitted index without rows; None if there is no file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        save(path)
        return path.stat().st_size if path.is_file() else None


def coded(spec: str, sizes: Sizes) -> dict[str, Any]:
    """Bits, error of Gaussian rows, bytes of the model, seconds of fitting, rows coded a second.

    One row is coded before time is taken: what `warmup` does not compile is compiled then.
    """
    index = index_factory(spec, metric="ip")
    x = _gaussian(1, sizes.rows, sizes.dim)
    sample = _gaussian(0, sizes.sample, sizes.dim)
    start = time.perf_counter()
    index.fit(sample)
    fit_s = time.perf_counter() - start
    model = model_bytes(index.save)
    index.add(x[:1], threads=1)
    start = time.perf_counter()
    ids = index.add(x, threads=1)
    add_s = time.perf_counter() - start
    error = Figure.of(errors(x, index.reconstruct(ids)))
    whole, codes = bits(index, sizes.dim)
    return {
        "bits": whole,
        "code_bits": codes,
        "error": error.value,
        "error_se": error.error,
        "model": model,
        "fit_s": fit_s,
        "rows_per_s": len(x) / add_s,
    }


def scored(spec: str, sizes: Sizes) -> dict[str, Any]:
    """Error of fixed vectors, bias of scores and their variance times the dimension.

    Nothing where `sizes` asks for no seeds.
    """
    if not sizes.seeds:
        return {}
    trials = [trial(spec, sizes, seed) for seed in range(sizes.seeds)]
    wrong = np.array([off for _, off in trials])
    figures = {
        "fixed": Figure.of([error for error, _ in trials]),
        "bias": Figure.of(wrong.mean(axis=1)),
        "variance": Figure.of(sizes.dim * ((wrong - wrong.mean()) ** 2).mean(axis=1)),
    }
    record = {}
    for name, figure in figures.items():
        record |= {name: figure.value, f"{name}_se": figure.error}
    return record


def trial(spec: str, sizes: Sizes, seed: int) -> tuple[float, Floats]:
    """Of one rotation: mean error of fixed vectors, and score minus rho of each pair."""
    queries, rows = pairs(seed, sizes)
    index = index_factory(spec, metric="ip", seed=seed)
    index.fit(unit(_gaussian(0, sizes.sample, sizes.dim)))
    index.add(rows.reshape(-1, sizes.dim), threads=1)
    scores = all_scores(index, queries).reshape(sizes.queries, sizes.queries, sizes.pairs)
    own = np.arange(sizes.queries)
    fixed = fixed_vectors(sizes.dim)
    error = errors(fixed, index.reconstruct(index.add(fixed, threads=1)))
    return float(error.mean()), (scores[own, own] - sizes.rho).ravel()


def errors(x: Rows, back: Rows) -> Floats:
    """|x - back|^2 / |x|^2 of each row."""
    x64 = x.astype(np.float64)
    found: Floats = ((x64 - back) ** 2).sum(axis=1) / (x64**2).sum(axis=1)
    return found


def all_scores(index: FlatIndex, queries: Rows) -> Floats:
    """Scores of every row with every query, (nq, n), as a search returns them."""
    result = index.search(queries, k=len(index), threads=1)
    scores = np.empty(result.scores.shape)
    np.put_along_axis(scores, result.ids, result.scores, axis=1)
    return scores


def fixed_vectors(dim: int) -> Rows:
    """Unit vectors that a poor rotation would code badly, (6, dim)."""
    j = np.arange(dim)
    x = np.array([j == 0, j < 2, 0.9**j, (j + 1.0) ** -0.7, np.ones(dim), np.cos(j)])
    return unit(x).astype(np.float32)


@cache
def pairs(seed: int, sizes: Sizes) -> tuple[Rows, Rows]:
    """Unit queries (queries, dim) and, for each, unit rows at inner product rho with it."""
    rng = np.random.default_rng(seed)
    queries = unit(rng.standard_normal((sizes.queries, 1, sizes.dim)))
    other = rng.standard_normal((sizes.queries, sizes.pairs, sizes.dim))
    other = unit(other - (other * queries).sum(axis=-1, keepdims=True) * queries)
    rows = sizes.rho * queries + math.sqrt(1 - sizes.rho**2) * other
    return queries[:, 0].astype(np.float32), rows.astype(np.float32)


def unit(x: Any) -> Any:
    """Vectors divided by their norms."""
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@cache
def _gaussian(seed: int, rows: int, dim: int) -> Rows:
    return np.random.default_rng(seed).standard_normal((rows, dim), np.float32)
