"""Plain-text tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def shown(value: Any) -> str:
    """A cell as text: floats to four significant digits, "-" for what there is not."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.4g}".rstrip(".")
    return f"{value:,}" if isinstance(value, int) else str(value)


def render(columns: Sequence[tuple[str, str]], rows: Iterable[Mapping[str, Any]]) -> str:
    """Aligned columns, text to the left and numbers to the right.

    columns   (heading, key of its cells in `rows`)
    """
    body = [[row[key] for _, key in columns] for row in rows]
    cells = [
        [heading for heading, _ in columns],
        *([shown(value) for value in row] for row in body),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    texts = [all(isinstance(row[i], str) for row in body) for i in range(len(columns))]
    lines = []
    for row in cells:
        padded = (
            cell.ljust(width) if is_text else cell.rjust(width)
            for cell, width, is_text in zip(row, widths, texts, strict=True)
        )
        lines.append("  ".join(padded).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
