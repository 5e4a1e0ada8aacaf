"""A picture of recall against speed."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import ivf, results
from vqindex import report


def save(record: dict[str, Any]) -> list[Path]:
    """A PNG of a record's curves, in its folder; without matplotlib it says so."""
    if not find_spec("matplotlib"):
        print('no pictures: pip install "vqindex[plot]"', file=sys.stderr)
        return []
    settings, about = record["settings"], record["dataset"]
    threads = settings["threads"]
    path = results.RESULTS / f"{record['command']}-{about['name']}.png"
    if threads > 1:
        path = path.with_stem(f"{path.stem}-{threads}threads")
    title = (
        f"{about['name']}: {about['n']:,} x {about['d']}, {about['metric']}; "
        f"{threads} thread{'s' * (threads > 1)}, {about['nq']:,} queries; with the best of "
        f"{' or '.join(map(str, settings['lists']))} lists"
    )
    report.draw_curves(ivf.curves_of(record), title, settings["k"]).savefig(path, format="png")
    return [path]
