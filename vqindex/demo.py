"""Our indexes beside those of FAISS on one dataset: a table and a picture."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import final

from vqindex import datasets, report
from vqindex.config import warmup
from vqindex.evaluate import Competitor, Faiss, Measurement, Ours, measure
from vqindex.kernels.cpu.level import LEVEL

NOTES = (
    "Rates are medians over rounds of all systems in turn; in brackets, (best - worst) / median.\n"
    "Recall is set overlap. Bytes of vqindex include an id of 8 bytes; FAISS's keep none."
)


@final
@dataclass(frozen=True)
class Demo:
    """What a demo found.

    about         the dataset and how it was measured, in a line
    measurements  one for each system
    skipped       what was left out, and why
    picture       the PNG, unless it was left out
    """

    about: str
    measurements: list[Measurement]
    skipped: list[str]
    picture: Path | None

    def __str__(self) -> str:
        lines = [self.about, "", report.table(self.measurements), "", NOTES]
        lines += [f"Skipped: {reason}" for reason in self.skipped]
        lines += [f"Picture: {self.picture}"] if self.picture else []
        return "\n".join(lines)


def systems(d: int) -> tuple[list[str], list[str]]:
    """Factory strings of ours and of FAISS's for dimension d, at 4, 2 and 1 bits a dimension."""
    ours = ["EDEN4", "EDEN2", "EDEN1", "TQ4", "TQprod4", f"QJL{4 * d}", f"QJL{d}"]
    theirs = ["Flat", f"PQ{d}x4fs", *([f"PQ{d // 2}x4fs"] if d % 2 == 0 else [])]
    return ours, theirs + [f"RR{d},RaBitQfs{bits}" for bits in (4, 2, 1)]


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

    picture   where the PNG goes, None for no picture
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
    try:
        measured += [Faiss(spec, data.metric) for spec in theirs]
    except ImportError as error:
        skipped.append(f"the comparison with FAISS: {error}")
    tell("compile, or load what was compiled")
    warmup()
    found = measure(measured, data, rounds=rounds, threads=threads, tell=tell)
    about = (
        f"{data.name}: {data.n:,} x {data.d}, {data.metric}, {data.nq:,} queries; "
        f"{LEVEL}, {_count(threads, 'thread')}, {_count(rounds, 'round')}"
    )
    if picture is not None:
        try:
            report.plot(found, about, picture, min(10, data.k))
        except ImportError as error:
            skipped.append(f"the picture: {error}")
            picture = None
    return Demo(about, found, skipped, picture)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}"
