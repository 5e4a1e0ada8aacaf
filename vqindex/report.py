"""Measurements as a table, which is also Markdown, and as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vqindex.evaluate import Measurement

# Okabe and Ito's blue and vermilion, told apart by colour-blind readers; shapes differ as well.
_OURS, _OTHERS = ("#0072B2", "o"), ("#D55E00", "s")
_GAP = 3.0  # pixels between a label and anything else


def table(measurements: Sequence[Measurement]) -> str:
    """One line for each system: median rates, and in brackets how far the rounds lie apart."""
    depths = list(measurements[0].recall) if measurements else []
    header = ["library", "index", "bytes/row", *(f"recall@{k}" for k in depths)]
    header += ["batch QPS", "single QPS", "build s"]
    rows = [
        [
            m.library, m.name, f"{m.bytes_per_row:,}", *(f"{m.recall[k]:.4f}" for k in depths),
            f"{m.batch.median:,.0f} ({m.batch.spread:.0%})",
            f"{m.single.median:,.0f} ({m.single.spread:.0%})", f"{m.build_s:.2f}",
        ]
        for m in measurements
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = [("-" * w if i < 2 else "-" * (w - 1) + ":") for i, w in enumerate(widths)]
    return "\n".join(_line(cells, widths) for cells in (header, rule, *rows))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        cell.ljust(width) if i < 2 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return f"| {' | '.join(padded)} |"


def plot(measurements: Sequence[Measurement], title: str, path: Path, k: int = 10) -> None:
    """A PNG of recall@k against bytes a row and against batch queries per second.

    Raises ImportError without matplotlib.
    """
    figure = draw(measurements, title, k)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def draw(measurements: Sequence[Measurement], title: str, k: int = 10) -> Any:
    """The matplotlib figure of `plot`."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('the picture needs matplotlib: pip install "vqindex[plot]"') from error
    figure = Figure(figsize=(13, 6), dpi=130, layout="constrained")
    figure.suptitle(title)
    memory, speed = figure.subplots(1, 2, sharey=True)
    recall = [m.recall[k] for m in measurements]
    _scatter(memory, measurements, [float(m.bytes_per_row) for m in measurements], recall)
    _scatter(speed, measurements, [m.batch.median for m in measurements], recall)
    memory.set(xlabel="bytes per row (left is smaller)", ylabel=f"recall@{k} (up is better)")
    speed.set(xlabel="queries per second, in one batch (right is faster)")
    memory.legend(loc="lower right")
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # labels are placed in pixels: nothing may move from now on
    for axes in (memory, speed):
        _label(axes, [m.name for m in measurements])
    return figure


def _scatter(
    axes: Any, measurements: Sequence[Measurement], x: list[float], y: list[float]
) -> None:
    axes.set_xscale("log")
    axes.margins(x=0.16, y=0.1)
    axes.grid(True, which="both", color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    for library in dict.fromkeys(m.library for m in measurements):
        color, marker = _OURS if library == "vqindex" else _OTHERS
        chosen = [i for i, m in enumerate(measurements) if m.library == library]
        axes.scatter(
            [x[i] for i in chosen], [y[i] for i in chosen],
            color=color, marker=marker, s=36, label=library, zorder=3,
        )  # fmt: skip


def _label(axes: Any, names: Sequence[str]) -> None:
    """Name every point beside it, at the nearest place where no name or point is touched."""

    ...
