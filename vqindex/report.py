"""Measurements as a table, which is also Markdown, and as a picture."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from vqindex.evaluate import Curve, Measurement, families, front, rate_at

# Okabe and Ito's blue and vermilion, told apart by colour-blind readers; shapes differ as well.
_STYLES = {"vqindex": ("#0072B2", "o"), "FAISS": ("#D55E00", "s")}
# More of theirs, one for each kind of index in a picture of curves.
_COLORS = ("#0072B2", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#D55E00", "#E69F00", "#8C564B")
_MARKERS = "os^Dv"
_TICKS = (0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 1)
_TOP = 1.02  # a recall infinitely far right
_RINGS = (9, 16, 25, 36, 50, 70, 95)  # pixels from a point to its label
_GAP = 3  # pixels between a label and anything else


TARGETS = (0.90, 0.95, 0.99)  # recalls at which curves are compared


def table(measurements: Sequence[Measurement]) -> str:
    """One line for each system: median rates, and in brackets how far the rounds lie apart."""
    depths = list(measurements[0].recall)
    header = ["library", "index", "bytes/row", *(f"recall@{k}" for k in depths)]
    header += ["batch QPS", "single QPS", "build s"]
    rows = [
        [
            m.library, m.name, _bytes(m.bytes_per_row), *(f"{m.recall[k]:.4f}" for k in depths),
            f"{m.batch.median:,.0f} ({m.batch.spread:.0%})",
            f"{m.single.median:,.0f} ({m.single.spread:.0%})", f"{m.build_s:.2f}",
        ]
        for m in measurements
    ]  # fmt: skip
    return _aligned(header, rows)


def curve_table(curves: Sequence[Curve]) -> str:
    """One line for each system: median rates at recalls, between the settings measured."""
    header = ["library", "index", "bytes/row"]
    header += [f"{mode} QPS at {target:g}" for mode in ("single", "batch") for target in TARGETS]
    rows = [
        [curve.library, curve.name, _bytes(curve.bytes_per_row)]
        + [
            "-" if rate is None else f"{rate:,.0f}"
            for mode in ("single", "batch")
            for rate in (rate_at(curve.pairs(mode), target) for target in TARGETS)
        ]
        + [f"{curve.build_s:.2f}"]
        for curve in curves
    ]
    return _aligned([*header, "build s"], rows)


def _bytes(size: float | None) -> str:
    return "-" if size is None else f"{size:,.0f}"


def _aligned(header: list[str], rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * w if i < 2 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join(_line(cells, widths) for cells in (header, rule, *rows))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    pairs = list(zip(cells, widths, strict=True))
    padded = [cell.ljust(width) for cell, width in pairs[:2]]
    padded += [cell.rjust(width) for cell, width in pairs[2:]]
    return f"| {' | '.join(padded)} |"


def plot(measurements: Sequence[Measurement], title: str, path: Path, k: int = 10) -> None:
    """A PNG of recall@k against bytes a row and against queries per second.

    Raises ImportError without matplotlib.
    """
    figure = draw(measurements, title, k)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")


def draw(measurements: Sequence[Measurement], title: str, k: int = 10) -> Any:
    """The matplotlib figure of `plot`."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('matplotlib is missing: pip install "vqindex[plot]"') from error
    figure = Figure(figsize=(13, 6), dpi=120, layout="constrained")
    figure.suptitle(title)
    memory, speed = figure.subplots(1, 2, sharey=True)
    panels = {
        memory: [
            _mark(m, float(m.bytes_per_row), m.recall[k])
            for m in measurements
            if m.bytes_per_row is not None
        ],
        speed: [_mark(m, m.batch.median, m.recall[k]) for m in measurements],
    }
    for axes, marks in panels.items():
        scatter(axes, marks)
    memory.set(xlabel="bytes per row (left is smaller)", ylabel=f"recall@{k} (up is better)")
    speed.set(xlabel="queries per second, all in one call (right is faster)")
    memory.legend(loc="lower right")
    for axes, marks in panels.items():
        label(axes, marks)
    return figure


def plot_curves(curves: Sequence[Curve], title: str, path: Path, k: int = 10) -> None:
    """A PNG of recall@k against queries per second.

    Raises ImportError without matplotlib.
    """
    figure = draw_curves(curves, title, k)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")


def draw_curves(curves: Sequence[Curve], title: str, k: int = 10) -> Any:
    """The matplotlib figure of `plot_curves`: one query a call, and all queries in one.

    A line joins the best settings of each kind of index, with any number of lists.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('matplotlib is missing: pip install "vqindex[plot]"') from error
    figure = Figure(figsize=(15, 6.5), dpi=120, layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, mode in zip(panels, ("single", "batch"), strict=True):
        for i, ((library, name), own) in enumerate(families(curves).items()):
            best = front(pair for curve in own for pair in curve.pairs(mode))
            ours = library == "vqindex"
            axes.plot(
                [recall for recall, _ in best], [rate for _, rate in best], "-" if ours else "--",
                color=_COLORS[i % len(_COLORS)], marker=_MARKERS[i % len(_MARKERS)], markersize=5,
                fillstyle="full" if ours else "none", linewidth=1.2,
                label=name if ours else f"{library} {name}",
            )  # fmt: skip
        _scale(axes)
        axes.set(xlabel=f"recall@{k} (right is better)")
    panels[0].set(ylabel="queries per second (up is better)", title="one query a call")
    panels[1].set(title="all queries in one call")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper")
    return figure


def _scale(axes: Any) -> None:
    """Recall about by the logarithm of what is missed, to part the best; rates by theirs."""
    from matplotlib.ticker import (
        FixedLocator,
        FormatStrFormatter,
        FuncFormatter,
        LogLocator,
        NullFormatter,
    )

    def rise(recall: Any) -> Any:
        return -np.log(np.maximum(_TOP - recall, 1e-3))

    axes.set_xscale("function", functions=(rise, lambda x: _TOP - np.exp(-x)))
    axes.xaxis.set_major_locator(FixedLocator(_TICKS))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(True, color="0.9", linewidth=0.8)


@final
@dataclass(frozen=True)
class Mark:
    """A point of a picture.

    name     beside the point
    group    in the legend: of one color and one marker
    """

    x: float
    y: float
    name: str
    group: str
    color: str
    marker: str
    hollow: bool = False


def _mark(m: Measurement, x: float, y: float) -> Mark:
    color, marker = _STYLES[m.library]
    return Mark(x, y, m.name, m.library, color, marker)


def scatter(axes: Any, marks: Sequence[Mark]) -> None:
    """Draw marks, x by its logarithm, under a grid's lines; the legend is the caller's."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.margins(x=0.15, y=0.1)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(True, color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    for group in dict.fromkeys(mark.group for mark in marks):
        own = [mark for mark in marks if mark.group == group]
        axes.scatter(
            [mark.x for mark in own], [mark.y for mark in own], marker=own[0].marker, s=34,
            facecolors="none" if own[0].hollow else own[0].color, edgecolors=own[0].color,
            label=group,
        )  # fmt: skip


def label(axes: Any, marks: Sequence[Mark], others: Sequence[Mark] = (), size: int = 9) -> None:
    """Name every mark at the nearest place where the name touches no other and no point.

    others   marks drawn that have no name
    size     of letters, in points
    To be called last: names are placed in pixels, and from then on nothing moves.
    """
    from matplotlib.transforms import Bbox

    axes.figure.draw_without_rendering()
    axes.figure.set_layout_engine("none")
    pixels = axes.transData.transform([(mark.x, mark.y) for mark in (*marks, *others)])
    taken = [Bbox.from_extents(x - 5, y - 5, x + 5, y + 5) for x, y in pixels]
    if axes.get_legend():
        taken.append(axes.get_legend().get_window_extent())
    for mark, point in zip(marks, pixels, strict=False):
        text = axes.annotate(
            mark.name, point, xycoords="figure pixels", color=mark.color, fontsize=size,
            ha="center", va="center",
            arrowprops={
                "arrowstyle": "-", "color": mark.color, "linewidth": 0.6, "shrinkB": 3,
            },
        )  # fmt: skip
        extent = text.get_window_extent()
        for center in _places(point, extent.width, extent.height):
            half_width, half_height = extent.width / 2 + _GAP, extent.height / 2 + _GAP
            box = Bbox.from_extents(
                center[0] - half_width, center[1] - half_height,
                center[0] + half_width, center[1] + half_height,
            )  # fmt: skip
            inside = axes.bbox.contains(*box.min) and axes.bbox.contains(*box.max)
            if inside and box.count_overlaps(taken) == 0:
                break
        text.set_position(center)
        taken.append(box)


def _places(point: Sequence[float], width: float, height: float) -> Iterator[tuple[float, float]]:
    """Centres of a label around a point, the nearest and the rightmost first."""
    for ring in _RINGS:
        for step in (0, 8, 2, -2, 6, -6, 4, -4, 1, -1, 7, -7, 3, -3, 5, -5):
            across, up = math.cos(step * math.pi / 8), math.sin(step * math.pi / 8)
            yield (
                point[0] + across * (ring + width / 2),
                point[1] + up * (ring + height / 2),
            )
