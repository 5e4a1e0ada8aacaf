"""Recall against speed and against bytes as a PNG, for a README or a paper."""

import logging
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vqindex.evaluate.front import family, front
from vqindex.evaluate.record import OperatingPoint

# Okabe and Ito's colours but yellow, and a brown, told apart by colour-blind readers.
COLORS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00", "#8C564B",
)  # fmt: skip
MARKERS = "os^DvhP"
_TICKS = (0, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 1)
_LOG = logging.getLogger(__name__)
_TOP = 1.02  # a recall infinitely far right


def pictures(points: Sequence[OperatingPoint], folder: Path) -> list[Path]:
    """A PNG of each set and number of threads in a folder; none without matplotlib."""
    if not find_spec("matplotlib"):
        _LOG.warning('no pictures: matplotlib is missing: pip install "vqindex[plot]"')
        return []
    paths = []
    done = [point for point in points if point.failed is None and point.qps]
    for dataset, digest in dict.fromkeys((p.dataset, p.dataset_hash) for p in done):
        own = [p for p in done if (p.dataset, p.dataset_hash) == (dataset, digest)]
        twice = len({p.dataset_hash for p in done if p.dataset == dataset}) > 1
        for threads in sorted({p.threads for p in own}):
            stem = f"{_safe(dataset)}{f'-{digest[:8]}' * twice}-{threads}threads"
            path = folder / f"report-{stem}.png"
            drawn = draw([p for p in own if p.threads == threads])
            drawn.savefig(path, format="png")
            paths.append(path)
    return paths


def bytes_of(point: OperatingPoint) -> float | None:
    """What a row costs: as its library reports it, or else its part of the saved file."""
    if point.bytes_per_row is None and point.file_bytes is not None:
        return point.file_bytes / point.n
    return point.bytes_per_row


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip(".") or "set"


def draw(points: Sequence[OperatingPoint]) -> Any:
    """The matplotlib figure of points of one set: the rate of each size of call, then bytes a row.

    A line joins the best points of each kind of index. Raises ImportError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('matplotlib is missing: pip install "vqindex[plot]"') from error
    about, batches = points[0], sorted({point.batch for point in points})
    figure = Figure(figsize=(6.5 * (len(batches) + 1) + 2, 6.5), dpi=120, layout="constrained")
    figure.suptitle(
        f"{about.dataset}: {about.n:,} x {about.dim}, {about.metric}; "
        f"{about.threads} thread{'s' * (about.threads > 1)}",
        parse_math=False,
    )
    *rates, memory = figure.subplots(1, len(batches) + 1)
    for axes, batch in zip(rates, batches, strict=True):
        chosen = [point for point in points if point.batch == batch]
        _lines(axes, points, chosen, _rate, best=max)
        axes.set(
            title="one query a call" if batch == 1 else f"{batch:,} queries a call",
            ylabel="queries a second (up is better)",
        )
    _lines(memory, points, [point for point in points if bytes_of(point)], bytes_of, best=min)
    memory.set(title="memory", ylabel="bytes a row (down is better)")
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend([*handles.values()], [*handles], loc="outside right upper")
    return figure


def _lines(
    axes: Any,
    every: Iterable[OperatingPoint],
    points: Sequence[OperatingPoint],
    y: Callable[[OperatingPoint], Any],
    best: Callable[..., Any],
) -> None:
    """The best of each kind of index among points; looks are those of all kinds there are."""
    sign = 1 if best is max else -1
    for i, (system, kind) in enumerate(sorted({_kind(p) for p in every}, key=_ours_first)):
        own = [p for p in points if _kind(p) == (system, kind) and str(p.k) in p.recall]
        if not own:
            continue
        pairs = front((p.recall[str(p.k)], sign * y(p)) for p in own)
        ours = system == "vqindex"
        axes.plot(
            [recall for recall, _ in pairs], [sign * value for _, value in pairs],
            "-" if ours else "--", color=COLORS[i % len(COLORS)], marker=MARKERS[i % len(MARKERS)],
            markersize=5, fillstyle="full" if ours else "none", linewidth=1.2,
            label=f"{system} {kind}".replace("$", r"\$"),
        )  # fmt: skip
    _axes(axes, points)


def _axes(axes: Any, points: Sequence[OperatingPoint]) -> None:
    """Recall is spread by what is missed, to part the best; the other axis is logarithmic."""
    from matplotlib.ticker import LogLocator, NullFormatter

    recalls = [p.recall[str(p.k)] for p in points if str(p.k) in p.recall] or [0.0]
    axes.set_xscale("function", functions=(_spread, lambda x: _TOP - np.exp(-x)))
    axes.set_xlim(max(0.0, min(recalls) - 0.03), 1.003)
    axes.set_xticks([tick for tick in _TICKS if tick >= axes.get_xlim()[0]])
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(xlabel=f"recall@{points[0].k if points else 10} (right is better)", yscale="log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(True, color="0.9", linewidth=0.8)


def _rate(point: OperatingPoint) -> float | None:
    return point.qps and point.qps.median


def _kind(point: OperatingPoint) -> tuple[str, str]:
    return point.system, family(point.spec)


def _ours_first(kind: tuple[str, str]) -> tuple[bool, tuple[str, str]]:
    return kind[0] != "vqindex", kind


def _spread(recall: Any) -> Any:
    """About the logarithm of what is missed, to part the best."""
    return -np.log(np.maximum(_TOP - recall, 1e-3))
