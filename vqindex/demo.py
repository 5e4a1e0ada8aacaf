"""Our indexes beside those of FAISS on one dataset: tables and pictures."""

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import final

from vqindex import datasets, report
from vqindex.config import warmup
from vqindex.datasets import Dataset
from vqindex.evaluate import (
    Competitor,
    Curve,
    Faiss,
    Measurement,
    Ours,
    Sweep,
    measure,
    measure_curves,
)
from vqindex.kernels.cpu.level import LEVEL

NOTES = (
    "Rates are medians over rounds of all systems in turn; in brackets, (best - worst) / median.\n"
    "Recall is set overlap. Bytes of vqindex include an id of 8 bytes; FAISS's keep none."
)
CURVE_NOTES = (
    "Queries look into some of the lists: median rates at a recall@10, between numbers of lists "
    "measured.\nBytes include an id of 8 bytes."
)
SINGLES = 100  # queries one by one for each point of a curve: it has many


@final
@dataclass(frozen=True)
class Demo:
    """What a demo found.

    about         the dataset and how it was measured, in a line
    measurements  one for each system that scores every row
    curves        one for each that looks into lists: recall against speed
    skipped       what was left out, and why
    pictures      the PNGs of both, unless they were left out
    """

    about: str
    measurements: list[Measurement]
    curves: list[Curve]
    skipped: list[str]
    pictures: list[Path]

    def __str__(self) -> str:
        lines = [self.about, "", report.table(self.measurements), "", NOTES, ""]
        lines += [report.curve_table(self.curves), "", CURVE_NOTES]
        lines += [f"Skipped: {reason}" for reason in self.skipped]
        lines += [f"Picture: {picture}" for picture in self.pictures]
        return "\n".join(lines)


def systems(d: int) -> tuple[list[str], list[str]]:
    """Factory strings of ours and of FAISS's for dimension d, at 4, 2 and 1 bits a dimension."""
    ours = ["EDEN4", "EDEN2", "EDEN1", "TQ4", "TQprod4", f"QJL{4 * d}", f"QJL{d}"]
    theirs = ["Flat", f"PQ{d}x4fs", *([f"PQ{d // 2}x4fs"] if d % 2 == 0 else [])]
    return ours, theirs + [f"RR{d},RaBitQfs{bits}" for bits in (4, 2, 1)]


def sweeps(n: int, d: int, metric: str, seed: int, faiss: bool) -> list[Sweep]:
    """Ours and, if wanted, FAISS's with lists: the power of two of them nearest to sqrt(n)."""
    lists = 2 ** max(0, round(math.log2(max(n, 1)) / 2))
    nprobes = [2**i for i in range(lists.bit_length())]
    made = [
        Sweep(Ours(f"IVF{lists},EDEN4", metric, seed), nprobes),
        Sweep(Ours(f"IVF{lists},EDEN4,Rerank(f16)", metric, seed), nprobes, [2]),
        Sweep(Ours(f"IVF{lists},EDEN2,Rerank(f16)", metric, seed), nprobes, [4]),
    ]
    if faiss:
        made.append(Sweep(Faiss(f"IVF{lists},Flat", metric), nprobes))
        if d % 2 == 0:
            finer = f"IVF{lists},PQ{d // 2}x4fs,Refine(SQfp16)"
            made.append(Sweep(Faiss(finer, metric), nprobes, [4]))
    return made


def run(
    dataset: str = "sample",
    *,
    picture: Path | None = Path("demo/sample.png"),
    rounds: int = 5,
    threads: int = 1,
    seed: int = 0,
    progress: bool = False,
) -> Demo:
    """Measure every system on a dataset by name; see `vqindex.datasets.load`.

    picture   where the PNG goes, None for no pictures; that of the curves lies beside it
    rounds    times each system's speed is measured
    progress  tell each step on stderr

    Without faiss or matplotlib their parts are skipped, and the result says so.
    """
    data = datasets.load(dataset, progress=progress)
    ours, theirs = systems(data.d)
    skipped: list[str] = []

    def tell(step: str) -> None:
        if progress:
            print(step, file=sys.stderr)

    measured: list[Competitor] = [Ours(spec, data.metric, seed) for spec in ours]
    faiss = True
    try:
        measured += [Faiss(spec, data.metric) for spec in theirs]
    except ImportError as error:
        faiss = False
        skipped.append(f"the comparison with FAISS: {error}")
    tell("compile, or load what was compiled")
    warmup()
    found = measure(measured, data, rounds=rounds, threads=threads, tell=tell)
    curves = measure_curves(
        sweeps(data.n, data.d, data.metric, seed, faiss), data,
        k=min(10, data.k), rounds=rounds, singles=SINGLES, threads=threads, tell=tell,
    )  # fmt: skip
    about = _about(data, threads, rounds)
    pictures = []
    if picture is not None:
        try:
            pictures = _pictures(found, curves, about, picture, min(10, data.k))
        except ImportError as error:
            skipped.append(f"the pictures: {error}")
    return Demo(about, found, curves, skipped, pictures)


def _about(data: Dataset, threads: int, rounds: int) -> str:
    return (
        f"{data.name}: {data.n:,} x {data.d}, {data.metric}, {data.nq:,} queries; "
        f"{LEVEL}, {_count(threads, 'thread')}, {_count(rounds, 'round')}"
    )


def _pictures(
    found: list[Measurement], curves: list[Curve], about: str, path: Path, k: int
) -> list[Path]:
    beside = path.with_stem(f"{path.stem}-lists")
    report.plot(found, about, path, k)
    report.plot_curves(curves, about, beside, k)
    return [path, beside]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}"
