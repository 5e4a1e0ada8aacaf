"""What cuda/run_on_gpu.sh found, as one JSON: python -m benchmarks.on_gpu FOLDER OUT MISSING

FOLDER has of each step that ended NAME.end, its exit code and seconds, and NAME.log, what it said;
`wanted`, the names of all steps; `no_gpu`, if there is none, why. MISSING are names of packages.
Needs nothing but Python.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")  # of compute-sanitizer
MOST = 12_000  # characters of a log that are kept
# What the tools say of a card or driver that they cannot watch: their exit code is that of a find.
_REFUSED = re.compile(
    "Device not supported|No attachable process|Internal Sanitizer Error|injection library"
)
_TESTS = re.compile(r"^.*\b(?:passed|failed|skipped|errors?|deselected|ran)\b.* in [\d.]+s", re.M)


def last_record(said: str) -> Any:
    """The last line that is a JSON object, or None."""
    for line in reversed(said.splitlines()):
        if line.startswith("{"):
            try:
                return json.loads(line)
            except ValueError:
                pass
    return None


def step(code: int, seconds: int, said: str) -> dict[str, Any]:
    """What is told of a step: its record, the last line of its tests, and a log that has none."""
    out: dict[str, Any] = {"code": code, "seconds": seconds}
    found, tests = last_record(said), _TESTS.findall(said)
    if found is not None:
        out["record"] = found
    if tests:
        out["tests"] = tests[-1]
    if found is None or code:
        out["said"] = said if len(said) < MOST else f"{said[:4000]}\n...\n{said[-8000:]}"
    return out


def is_right(name: str, code: int, said: str) -> bool:
    """Whether a step went well: of tests, that some passed and that none was skipped."""
    if code:
        return False
    if name in TOOLS and "SUMMARY: 0 " not in said:
        return False
    if name in TOOLS or name.startswith("test_"):
        last = (_TESTS.findall(said) or [""])[-1]
        return " passed" in last and "skipped" not in last
    return True


def read(folder: Path, missing: list[str]) -> dict[str, Any]:
    """The record of the steps so far."""
    steps: dict[str, Any] = {}
    failed, refused, cases = [], [], []
    for end in sorted(folder.glob("*.end"), key=lambda path: path.stat().st_mtime):
        numbers = end.read_text().split()
        if len(numbers) != 2:
            continue  # it is being written
        name, code = end.stem, int(numbers[0])
        said = end.with_suffix(".log").read_text(errors="replace").strip()
        steps[name] = step(code, int(numbers[1]), said)
        if name in TOOLS and _REFUSED.search(said):
            refused.append(name)
        elif not is_right(name, code, said):
            failed.append(name)
        cases += steps[name].get("record", {}).get("cases", [])
    wanted = folder / "wanted"
    names = wanted.read_text().split() if wanted.exists() else []
    record: dict[str, Any] = {
        "missing": missing, "steps": steps,
        "not_run": [name for name in names if name not in steps], "refused": refused,
        "failed": failed + [case["name"] for case in cases if "error" in case],
    }  # fmt: skip
    if (folder / "no_gpu").exists():
        record["no_gpu"] = (folder / "no_gpu").read_text().strip()
    gpu = steps.get("environment", {}).get("record", {}).get("gpu")
    record["right"] = bool(gpu) and not any(record[n] for n in ("failed", "not_run", "refused"))
    return record


def told(record: dict[str, Any]) -> str:
    """A line for each case, and what is wrong."""
    lines = []
    for one in record["steps"].values():
        for case in one.get("record", {}).get("cases", []):
            figures = [f"{k} {v:.3f}" for k, v in case.items() if isinstance(v, float)]
            lines.append(", ".join([case["name"], *filter(None, [case.get("error")]), *figures]))
    lines.append("all right" if record["right"] else "see what failed")
    names = "failed", "refused", "not_run", "missing"
    lines += [f"    {name}: {', '.join(record[name])}" for name in names if record[name]]
    return "\n".join(lines)


def main() -> int:
    """The command."""
    folder, out = map(Path, sys.argv[1:3])
    record = read(folder, sys.argv[3].split())
    part = out.with_name(f"{out.name}.{os.getpid()}")
    part.write_text(json.dumps(record, indent=1) + "\n")
    part.replace(out)
    print(f"{told(record)}\n{out}")
    return int(not record["right"])


if __name__ == "__main__":
    sys.exit(main())
