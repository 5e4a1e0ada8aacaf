"""Operating points as tables, which are also Markdown, and as a picture of flat indexes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

from vqindex.evaluate import OperatingPoint, Speed, rate_at

# Okabe and Ito's blue and vermilion, told apart by colour-blind readers; shapes differ as well.
_STYLES = {"vqindex": ("#0072B2", "o"), "FAISS": ("#D55E00", "s")}
_RINGS = (9, 16, 25, 36, 50, 70, 95)  # pixels from a point to its label
_GAP = 3  # pixels between a label and anything else
TARGETS = (0.90, 0.95, 0.99)  # recalls at which curves are compared


def table(points: Sequence[OperatingPoint]) -> str:
    """One line for each system: median rates, and in brackets how far the rounds lie apart."""
    depths = list(points[0].recall) if points else []
    header = ["library", "index", "bytes/row", *(f"recall@{k}" for k in depths)]
    header += ["batch QPS", "single QPS", "build s"]
    rows = []
    for one in _systems(points):
        size, build_s = one.costs
        recalls = [f"{one.points[0].recall[k]:.4f}" for k in depths]
        rates = [_rate(own[0].qps) if own else "-" for own in (one.batch, one.single)]
        rows.append([one.library, one.spec, size, *recalls, *rates, build_s])
    return _aligned(header, rows)


def curve_table(points: Sequence[OperatingPoint]) -> str:
    """One line for each system: median rates at recalls, between the settings measured."""
    header = ["library", "index", "bytes/row"]
    header += [f"{mode} QPS at {target:g}" for mode in ("single", "batch") for target in TARGETS]
    rows = []
    for one in _systems(points):
        size, build_s = one.costs
        rates = [_rate_at(own, target) for own in (one.single, one.batch) for target in TARGETS]
        rows.append([one.library, one.spec, size, *rates, build_s])
    return _aligned([*header, "build s"], rows)


@dataclass(frozen=True)
class _System:
    """A library's index, and its points: all, those of single queries, those of most in a call."""

    library: str
    spec: str
    points: list[OperatingPoint]
    single: list[OperatingPoint]
    batch: list[OperatingPoint]

    @property
    def costs(self) -> tuple[str, str]:
        """Bytes a row and seconds of the build."""
        size, build_s = self.points[0].bytes_per_row, self.points[0].build_s
        return "-" if size is None else f"{size:,.0f}", "-" if build_s is None else f"{build_s:.2f}"


def _systems(points: Sequence[OperatingPoint]) -> Iterator[_System]:
    for library, spec in dict.fromkeys((p.system, p.spec) for p in points):
        own = [p for p in points if (p.system, p.spec) == (library, spec)]
        single, batch = (
            [p for p in own if p.batch == size] for size in (1, max(p.batch for p in own))
        )
        yield _System(library, spec, own, single, batch)


def _rate(qps: Speed | None) -> str:
    return "-" if qps is None else f"{qps.median:,.0f} ({(qps.high - qps.low) / qps.median:.0%})"


def _rate_at(points: Sequence[OperatingPoint], target: float) -> str:
    rate = rate_at(((p.recall[str(p.k)], p.qps.median) for p in points if p.qps), target)
    return "-" if rate is None else f"{rate:,.0f}"


def _aligned(header: list[str], rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * w if i < 2 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join(_line(cells, widths) for cells in (header, rule, *rows))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    pairs = list(zip(cells, widths, strict=True))
    padded = [cell.ljust(width) for cell, width in pairs[:2]]
    padded += [cell.rjust(width) for cell, width in pairs[2:]]
    return f"| {' | '.join(padded)} |"


def draw(points: Sequence[OperatingPoint], title: str) -> Any:
    """The matplotlib figure of recall against bytes a row, and against queries per second.

    Raises ImportError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('matplotlib is missing: pip install "vqindex[plot]"') from error
    figure = Figure(figsize=(13, 6), dpi=120, layout="constrained")
    figure.suptitle(title)
    memory, speed = figure.subplots(1, 2, sharey=True)
    batches = [one.batch[0] for one in _systems(points)]
    panels = {
        memory: [_mark(p, float(p.bytes_per_row)) for p in batches if p.bytes_per_row is not None],
        speed: [_mark(p, p.qps.median) for p in batches if p.qps is not None],
    }
    for axes, marks in panels.items():
        scatter(axes, marks)
    depth = f"recall@{points[0].k if points else 10} (up is better)"
    memory.set(xlabel="bytes per row (left is smaller)", ylabel=depth)
    speed.set(xlabel="queries per second, all in one call (right is faster)")
    memory.legend(loc="lower right")
    for axes, marks in panels.items():
        label(axes, marks)
    return figure


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


def _mark(p: OperatingPoint, x: float) -> Mark:
    color, marker = _STYLES[p.system]
    return Mark(x, p.recall[str(p.k)], p.spec, p.system, color, marker)


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
