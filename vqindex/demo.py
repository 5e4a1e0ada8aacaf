"""Our indexes beside those of FAISS on one dataset: tables and pictures."""

import math
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import final

from vqindex import datasets, report
from vqindex.config import warmup
from vqindex.datasets import Dataset
from vqindex.evaluate import (
    Competitor,
    Entry,
    Faiss,
    LocalTrial,
    OperatingPoint,
    Ours,
    Setting,
    Terms,
    contest,
    describe_machine,
    worth_timing,
)
from vqindex.evaluate.report import picture as curves
from vqindex.evaluate.trial import Parameters
from vqindex.kernels.cpu.level import LEVEL
from vqindex.progress import Progress

Ladders = dict[str, Sequence[Parameters]]  # of factory strings: settings of ever more effort
NOTES = (
    "Rates are medians over rounds of all systems in turn; in brackets, the range of the middle\n"
    "half of rounds over the median. Recall is set overlap. Bytes of vqindex include an id of\n"
    "8 bytes; FAISS's keep none."
)
LISTS_NOTES = (
    "Queries look into some of the lists: median rates at a recall@10, between numbers of lists "
    "measured.\nBytes include an id of 8 bytes."
)
SINGLES = 100  # queries one by one for each point of a round: there are many points


@final
@dataclass(frozen=True)
class Demo:
    """What a demo found.

    about     the dataset and how it was measured, in a line
    flat      points of systems that score every row
    lists     points of those that look into lists, at recalls worth having
    skipped   what was left out, and why
    pictures  the PNGs of both, unless they were left out
    """

    about: str
    flat: list[OperatingPoint]
    lists: list[OperatingPoint]
    skipped: list[str]
    pictures: list[Path]

    def __str__(self) -> str:
        lines = [self.about, "", report.table(self.flat), "", NOTES, ""]
        lines += [report.curve_table(self.lists), "", LISTS_NOTES]
        lines += [f"Skipped: {reason}" for reason in self.skipped]
        lines += [f"Picture: {picture}" for picture in self.pictures]
        return "\n".join(lines)


def systems(d: int) -> tuple[list[str], list[str]]:
    """Factory strings of ours and of FAISS's for dimension d, at 4, 2 and 1 bits a dimension."""
    ours = ["EDEN4", "EDEN2", "EDEN1", "TQ4", "TQprod4", f"QJL{4 * d}", f"QJL{d}"]
    theirs = ["Flat", f"PQ{d}x4fs", *([f"PQ{d // 2}x4fs"] if d % 2 == 0 else [])]
    return ours, theirs + [f"RR{d},RaBitQfs{bits}" for bits in (4, 2, 1)]


def ladders(n: int, d: int) -> tuple[Ladders, Ladders]:
    """Likewise with lists, the power of two of them nearest to sqrt(n), and their settings."""
    lists = 2 ** max(0, round(math.log2(max(n, 1)) / 2))
    plain: list[Parameters] = [{"nprobe": 2**i} for i in range(lists.bit_length())]
    narrow: list[Parameters] = [{**one, "eps0": 2.5} for one in plain]
    four: list[Parameters] = [{**one, "oversample": 4} for one in plain]
    ours: Ladders = {
        f"IVF{lists},EDEN4": plain,
        f"IVF{lists},EDEN4,Rerank(f16)": narrow,
        f"IVF{lists},EDEN2,Rerank(f16)": narrow,
    }
    theirs: Ladders = {f"IVF{lists},Flat": plain}
    if d % 2 == 0:
        theirs[f"IVF{lists},PQ{d // 2}x4fs,Refine(SQfp16)"] = four
    return ours, theirs


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

    picture   where the PNG goes, None for no pictures; that of lists lies beside it
    rounds    times each system's speed is measured
    progress  tell each step on stderr

    Without faiss or matplotlib their parts are skipped, and the result says so, as of what fails.
    """
    data = datasets.load(dataset, progress=progress)
    skipped: list[str] = []
    flat, lists = systems(data.d), ladders(data.n, data.d)
    kinds: list[Competitor] = [Ours(spec, data.metric, seed) for spec in (*flat[0], *lists[0])]
    try:
        kinds += [Faiss(spec, data.metric) for spec in (*flat[1], *lists[1])]
    except ImportError as error:
        skipped.append(f"the comparison with FAISS: {error}")
    if progress:
        print("compile, or load what was compiled", file=sys.stderr)
    warmup()
    terms = Terms.of(
        data, threads=threads, k=min(10, data.k), seed=seed, machine=describe_machine(),
        protocol={"rounds": rounds, "singles": SINGLES},
    )  # fmt: skip
    entries = _entries(kinds, data, lists[0] | lists[1], terms, dataset, progress)
    points = contest(entries, terms, rounds=rounds, tell=_teller(entries, rounds, progress))
    failed = dict.fromkeys(f"{p.system} {p.spec}: {p.failed}" for p in points if p.failed)
    whole = [point for point in points if point.failed is None]
    found = [[p for p in whole if bool(p.parameters) is asked] for asked in (False, True)]
    about = _about(data, threads, rounds)
    pictures = []
    if picture is not None:
        try:
            pictures = _pictures(found[0], found[1], about, picture)
        except ImportError as error:
            skipped.append(f"the pictures: {error}")
    return Demo(about, found[0], found[1], [*skipped, *failed], pictures)


def _entries(
    kinds: Sequence[Competitor], data: Dataset, ladders: Ladders,
    terms: Terms, name: str, progress: bool,
) -> list[Entry]:  # fmt: skip
    """A system each, with lists at the settings worth timing, one by one and in batches."""
    entries = []
    for kind in kinds:
        trial = LocalTrial(kind, data, k=terms.k, threads=terms.threads, singles=SINGLES)
        chosen: Sequence[Parameters] = [{}]
        if kind.name in ladders:
            if progress:
                print(f"build and try {kind.library} {kind.name}", file=sys.stderr)
            chosen = worth_timing(trial, ladders[kind.name], terms.k, data.nq)
        settings = [Setting(one, batch) for one in chosen for batch in sorted({1, data.nq})]
        command = shlex.join(["vqindex", "demo", name])
        entries.append(Entry(kind.library, kind.name, trial, settings, command))
    return entries


def _teller(entries: Sequence[Entry], rounds: int, progress: bool) -> Callable[[str, str], None]:
    """Tells each build in a line, and how far rounds have come in a bar."""
    bar = Progress(progress, rounds * sum(len(entry.settings) for entry in entries), "measure")
    done = count(1)

    def tell(kind: str, label: str) -> None:
        if kind == "round":
            bar(next(done))
        elif kind == "build" and progress:
            print(f"build {label}", file=sys.stderr)

    return tell


def _about(data: Dataset, threads: int, rounds: int) -> str:
    return (
        f"{data.name}: {data.n:,} x {data.d}, {data.metric}, {data.nq:,} queries; "
        f"{LEVEL}, {_count(threads, 'thread')}, {_count(rounds, 'round')}"
    )


def _pictures(
    flat: list[OperatingPoint], lists: list[OperatingPoint], about: str, path: Path
) -> list[Path]:
    paths = [path, path.with_stem(f"{path.stem}-lists")]
    figures = [report.draw(flat, about), curves.draw(lists)]
    path.parent.mkdir(parents=True, exist_ok=True)
    for figure, name in zip(figures, paths, strict=True):
        figure.savefig(name, format="png")
    return paths


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}"
