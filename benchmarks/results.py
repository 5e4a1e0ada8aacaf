"""Where figures are kept: a line of JSON for each run, figures and machine together."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def save(record: dict[str, Any]) -> Path:
    """Append a record to the file of its command and return the file's path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{record['command']}.jsonl"
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    return path
