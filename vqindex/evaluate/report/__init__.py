"""What was measured, drawn: a page, a picture for each set, and a table for other programs."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from vqindex.evaluate.record import OperatingPoint
from vqindex.evaluate.report.export import csv_text
from vqindex.evaluate.report.page import page
from vqindex.evaluate.report.picture import bytes_of, draw, pictures

__all__ = ["bytes_of", "csv_text", "draw", "page", "pictures", "write"]


def write(
    points: Sequence[OperatingPoint], folder: str | PathLike[str], title: str = "vqindex"
) -> list[Path]:
    """Write report.html, report.csv and a PNG of each set and number of threads into a folder.

    The page is whole in itself: it may be mailed, or opened without a network. Pictures need
    matplotlib (`pip install "vqindex[plot]"`); without it there are none, which is logged as a
    warning. Returns the files' paths, the page first. ValueError without a point.
    """
    if not points:
        raise ValueError("a report needs at least one operating point, got none")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"report.html": page(points, title), "report.csv": csv_text(points)}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    return [*(folder / name for name in texts), *pictures(points, folder)]
