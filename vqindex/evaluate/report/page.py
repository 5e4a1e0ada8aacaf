"""The report as one HTML page that needs nothing else: no network, no second file."""

import hashlib
import json
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from vqindex.evaluate.front import family
from vqindex.evaluate.record import OperatingPoint
from vqindex.evaluate.report.picture import bytes_of

SCRIPTS = ("points.js", "draw.js", "chart.js", "bars.js", "table.js", "page.js")


def page(points: Sequence[OperatingPoint], title: str) -> str:
    """The text of the page.

    Whatever stands in a point or in the title is shown as it is: it cannot end the script or the
    element it lies in, and the page's policy allows its own script alone and no address.
    """
    script = "\n".join(_part(name) for name in SCRIPTS)
    style = _part("page.css")
    policy = (
        f"default-src 'none'; img-src data:; script-src {_digest(script)}; "
        f"style-src {_digest(style)}; base-uri 'none'; form-action 'none'"
    )
    return Template(_part("page.html")).substitute(
        title=escape(title), policy=policy, style=style, script=script, data=embedded(points)
    )


def embedded(points: Sequence[OperatingPoint]) -> str:
    """What the page draws, as JSON that holds no `<`: sets, machines and points.

    A point names its set and its machine by their places. Numbers that are not finite are null.
    """
    sets: dict[tuple[str, str], dict[str, Any]] = {}
    machines: dict[str, Any] = {}
    rows = []
    for index, point in enumerate(points):
        row = asdict(point)
        about = {key: row.pop(key) for key in ("dataset", "dataset_hash", "n", "dim", "metric")}
        name, digest = about.pop("dataset"), about.pop("dataset_hash")
        sets.setdefault((name, digest), {"name": name, "hash": digest} | about)
        machine = json.dumps(_finite(row["machine"]), sort_keys=True)
        machines.setdefault(machine, point.machine)
        place = {"set": [*sets].index((name, digest)), "machine": [*machines].index(machine)}
        ours = {"index": index, "kind": family(point.spec), "bytes": bytes_of(point)}
        rows.append(row | place | ours)
    names = [name for name, _ in sets]
    for (name, digest), about in sets.items():
        about["label"] = name if names.count(name) == 1 else f"{name} ({digest[:8]})"
    whole = {"sets": [*sets.values()], "machines": [*machines.values()], "points": rows}
    text = json.dumps(_finite(whole), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _part(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """How a policy names an inline script or style."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
