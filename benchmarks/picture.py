"""A picture for each set: recall of every code against the bytes of a row, without ids."""

import re
import sys
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results
from vqindex.report import Mark, label, scatter

# Okabe and Ito's colours but yellow, told apart by colour-blind readers; markers differ as well.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
_MARKERS = "os^Dv"
_NUMBERS = re.compile(r"(\([^()]*\))|\{[^{}]*\}|(?<![x.\d])\d+(?:\.\d+)?")
_TICKS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 1)
_TOP = 1.04  # a recall infinitely high
MOST_BITS = 12.0  # a dimension: floats find all, and would press the others into a corner


def family(spec: str) -> str:
    """A factory string without its bits: what one line of the picture joins."""
    return _NUMBERS.sub(lambda part: part[1] or "", spec)


def save(record: dict[str, Any]) -> list[Path]:
    """A PNG of each set of a record, in the record's folder; without matplotlib it says so."""
    if not find_spec("matplotlib"):
        print('no pictures: pip install "vqindex[plot]"', file=sys.stderr)
        return []
    paths = []
    for found in record["sets"]:
        path = results.RESULTS / f"{record['command']}-{found['dataset']['name']}.png"
        draw(found, record["settings"]["k"]).savefig(path, format="png")
        paths.append(path)
    return paths


def draw(found: dict[str, Any], k: int) -> Any:
    """The matplotlib figure of one set's measurements."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FormatStrFormatter

    marks = marks_of(
        [row for row in found["rows"] if row["recall"] is not None and row["bits"] < MOST_BITS]
    )
    about = found["dataset"]
    figure = Figure(figsize=(17, 11), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.set_title(
        f"{about['name']}: {about['n']:,} x {about['d']}, {about['metric']}; "
        "every row scored, nothing reranked"
    )
    for group in dict.fromkeys(mark.group for mark in marks):
        own = sorted((mark.x, mark.y) for mark in marks if mark.group == group)
        color = next(mark.color for mark in marks if mark.group == group)
        axes.plot(*zip(*own, strict=True), color=color, linewidth=0.7, alpha=0.6)
    axes.plot(
        *zip(*front(marks), strict=True), color="0.6", linewidth=4, alpha=0.3, label="best",
        drawstyle="steps-post", zorder=0,
    )  # fmt: skip
    scatter(axes, marks)
    axes.set_yscale("function", functions=(_rise, lambda y: _TOP - np.exp(-y)))
    axes.yaxis.set_major_locator(FixedLocator(_TICKS))
    axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.set(
        xlabel="bytes per row without its id (left is smaller)", ylabel=f"recall@{k} (up is better)"
    )
    figure.legend(loc="outside right upper")
    label(axes, marks, size=7)
    return figure


def _rise(recall: Any) -> Any:
    """How high a recall stands: about by the logarithm of what is missed, to part the best."""
    return -np.log(np.maximum(_TOP - recall, 1e-3))


def marks_of(rows: list[dict[str, Any]]) -> list[Mark]:
    """A mark of each row of a set: a family has one look, and other libraries' are hollow.

    Of those, the parameters of the build are left out.
    """
    looks: dict[str, tuple[str, str]] = {}
    marks = []
    for row in rows:
        ours = row["library"] == "vqindex"
        index, name = row["index"], row["spec"]
        if not ours:
            index, name = (f"{row['library']} {text.partition('(')[0]}" for text in (index, name))
        group = family(index)
        i = len(looks)
        color, marker = looks.setdefault(
            group, (_COLORS[i % len(_COLORS)], _MARKERS[i % len(_MARKERS)])
        )
        marks.append(
            Mark(row["bytes_per_row"], row["recall"], name, group.strip(), color, marker, not ours)
        )
    return marks


def front(marks: list[Mark]) -> list[tuple[float, float]]:
    """The largest recall up to each size."""
    points = sorted((mark.x, mark.y) for mark in marks)
    return list(zip([x for x, _ in points], accumulate((y for _, y in points), max), strict=True))
