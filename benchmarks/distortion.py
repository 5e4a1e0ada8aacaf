"""Every code at its true bits: error, bias and variance beside theory and papers, and recall.

See `fidelity` for what is measured of vectors at random, `points` for what is measured on sets,
where the codes of other libraries are measured too, and distortion.toml for the cases.
"""

import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import data, fidelity, points, table
from benchmarks.fidelity import Sizes
from benchmarks.points import Settings, System
from benchmarks.systems import chosen, for_dimension
from benchmarks.theory import EXPECTED
from vqindex import warmup
from vqindex.datasets import Dataset

CASES = Path(__file__).with_suffix(".toml")
SLOW = ("slow", "least")  # sizes of what takes long to code or to learn
FIGURES = ("error", "fixed", "bias", "variance")
COLUMNS = (
    ("index", "index"),
    ("bits", "bits"),
    ("codes", "code_bits"),
    ("model", "model"),
    ("error", "error"),
    ("+-", "error_se"),
    ("bound", "bound"),
    ("expected", "error_expected"),
    ("reported", "error_reported"),
    ("ours/reported", "error_ratio"),
    ("fixed", "fixed"),
    ("bias", "bias"),
    ("+-", "bias_se"),
    ("expected", "bias_expected"),
    ("variance*d", "variance"),
    ("+-", "variance_se"),
    ("expected", "variance_expected"),
    ("reported", "variance_reported"),
    ("rows/s", "rows_per_s"),
    ("fit s", "fit_s"),
)
ON_A_SET = (
    ("library", "library"),
    ("index", "index"),
    ("bytes/row", "bytes_per_row"),
    ("bits", "bits"),
    ("model", "model"),
    ("R@{k}", "recall"),
    ("rows/s", "rows_per_s"),
    ("fit s", "fit_s"),
)


@dataclass(frozen=True)
class Code:
    """One of our codes.

    sizes     a name of the sizes that it is measured at
    expected  its line of theory.EXPECTED and its bits there
    reported  figures by name, as papers and other implementations have them
    metrics   those it serves, all if none are named
    """

    spec: str
    sizes: str = "usual"
    expected: tuple[str, int] | None = None
    reported: dict[str, float] = field(default_factory=dict)
    metrics: Sequence[str] = ()

    @property
    def system(self) -> System:
        return System("vqindex", self.spec, slow=self.sizes in SLOW, metrics=self.metrics)


@dataclass(frozen=True)
class Gain:
    """What is added to a code, and to which; both are among the codes."""

    what: str
    without: str
    added: str


@dataclass(frozen=True)
class Cases:
    """What distortion.toml holds."""

    sizes: dict[str, Sizes]
    sets: Settings
    codes: list[Code]
    peers: list[System]
    gains: list[Gain] = field(default_factory=list)


def read_cases(only: Sequence[str] | None = None, skip_slow: bool = False) -> Cases:
    """The cases of distortion.toml, or those with one of some names in them, or but the slow."""
    with CASES.open("rb") as file:
        text = tomllib.load(file)
    codes = [_code(line) for line in text["codes"]]
    peers = [System(**line) for line in text["peers"]]
    kept = chosen([*codes, *peers], only, lambda case: getattr(case, "system", case).label)
    return Cases(
        {name: Sizes(**sizes) for name, sizes in text["sizes"].items()},
        Settings(**text["sets"]),
        [c for c in kept if isinstance(c, Code) and not (skip_slow and c.system.slow)],
        [p for p in kept if isinstance(p, System) and not (skip_slow and p.slow)],
        [Gain(line["what"], line["without"], line["with"]) for line in text["gains"]],
    )


def _measured(cases: Cases) -> list[Gain]:
    """The gains of which both codes are measured."""
    specs = {code.spec for code in cases.codes}
    return [gain for gain in cases.gains if {gain.without, gain.added} <= specs]


def _code(line: dict[str, Any]) -> Code:
    rest = {name: line[name] for name in ("spec", "sizes", "metrics") if name in line}
    expected = tuple(line["expected"]) if "expected" in line else None
    return Code(**rest, expected=expected, reported={n: line[n] for n in FIGURES if n in line})


def run(
    sets: Iterable[Dataset],
    *,
    seed: int = 0,
    level: str | None = None,
    only: Sequence[str] | None = None,
    skip_slow: bool = False,
) -> dict[str, Any]:
    """Measure every case, and say on stderr what cannot be."""
    cases = read_cases(only, skip_slow)
    warmup()
    rows = [row_of(code, cases.sizes[code.sizes]) for code in cases.codes]
    systems = [*(code.system for code in cases.codes), *cases.peers]
    found = [
        {
            "dataset": data.describe(dataset),
            "rows": points.run(systems, dataset, cases.sets, seed=seed, level=level, tell=_tell),
        }
        for dataset in sets
    ]
    return {
        "sizes": {name: asdict(sizes) for name, sizes in cases.sizes.items()},
        "settings": asdict(cases.sets) | {"seed": seed, "level": level},
        "gains": [asdict(gain) for gain in _measured(cases)],
        "rows": rows,
        "sets": found,
    }


def row_of(code: Code, sizes: Sizes) -> dict[str, Any]:
    """One code's figures, the bound at its true rate, what is expected and what is reported."""
    spec = for_dimension(code.spec, sizes.dim)
    _tell(f"{sizes.dim} dimensions: {spec}")
    row: dict[str, Any] = {"index": code.spec}
    row |= fidelity.coded(spec, sizes) | fidelity.scored(spec, sizes)
    row["bound"] = 4.0 ** -row["bits"]
    theory, bits = code.expected or ("", 0)
    for name, expected in EXPECTED.get(theory, {}).items():
        row[f"{name}_expected"] = expected(bits, sizes.dim, sizes.rho)
    for name, reported in code.reported.items():
        row[f"{name}_reported"] = reported
        row[f"{name}_ratio"] = row[name] / reported
    return row


def report(record: dict[str, Any]) -> str:
    """The record as a table of our codes, of what additions bring, and of all systems on each set.

    Where coding was stopped there is no recall but, in brackets, how long it would have taken.
    """
    k = record["settings"]["k"]
    columns, rows = [*COLUMNS], [dict(row) for row in record["rows"]]
    for i, found in enumerate(record["sets"]):
        columns.append((f"R@{k} {_short(found)}", f"recall {i}"))
        recalls = {(row["library"], row["index"]): row["recall"] for row in found["rows"]}
        for row in rows:
            row[f"recall {i}"] = recalls.get(("vqindex", row["index"]))
    rows = [dict.fromkeys(key for _, key in columns) | row for row in rows]
    sizes = next(iter(record["sizes"].values()))
    parts = [f"Vectors at random, {sizes['dim']} dimensions\n" + table.render(columns, rows)]
    if record.get("gains"):
        parts.append("What is added, one by one\n" + _gains(record))
    on_a_set = [(heading.format(k=k), key) for heading, key in ON_A_SET]
    for found in record["sets"]:
        about = found["dataset"]
        title = f"{about['name']}: {about['n']:,} x {about['d']}, {about['metric']}"
        systems = [{"model": None} | row | _reached(row, about["n"]) for row in found["rows"]]
        parts.append(f"{title}\n{table.render(on_a_set, systems)}")
    return "\n\n".join(parts)


def _reached(row: dict[str, Any], n: int) -> dict[str, Any]:
    """The recall of a system, or the seconds that coding all n rows would have taken it."""
    if row["recall"] is None:
        return {"recall": f"({n / row['rows_per_s']:,.0f} s)"}
    return {"recall": row["recall"]}


def _gains(record: dict[str, Any]) -> str:
    """Error, and bytes and recall on each set, without and with what is added."""
    columns = [("added", "what"), ("to", "without"), ("which makes", "added")]
    lines, k = [dict(gain) for gain in record["gains"]], record["settings"]["k"]
    measured = [("error", "error", record["rows"])]
    for found in record["sets"]:
        ours = [row for row in found["rows"] if row["library"] == "vqindex"]
        for heading, key in (("bytes", "bytes_per_row"), (f"R@{k}", "recall")):
            measured.append((f"{heading} {_short(found)}", key, ours))
    for i, (heading, key, rows) in enumerate(measured):
        columns += [(heading, f"without {i}"), ("with", f"with {i}")]
        values = {row["index"]: row[key] for row in rows}
        for line in lines:
            line[f"without {i}"] = values.get(line["without"])
            line[f"with {i}"] = values.get(line["added"])
    return table.render(columns, lines)


def _short(found: dict[str, Any]) -> str:
    name: str = found["dataset"]["name"]
    return name.partition("-")[0]


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
