"""The values that documents have in a field of their metadata, which are JSON."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

_KINDS = {bool: "boolean", int: "int", float: "float"}


def of(metadata: Iterable[Mapping[str, Any]], name: str) -> list[Any]:
    """The values of a field that are there and not None."""
    return [value for one in metadata if (value := one.get(name)) is not None]


def different(values: Iterable[Any]) -> list[Any]:
    """Each value once; 1, 1.0, "1" and true differ."""
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())


def kinds(metadata: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Of each field the kind of its last value that is not None: boolean, int, float or keyword."""
    return {
        name: _KINDS.get(type(value), "keyword")
        for one in metadata
        for name, value in one.items()
        if value is not None
    }


def extremes(values: Iterable[Any]) -> tuple[Any, Any]:
    """The least and the largest of numbers or of strings; None and None of none or of both."""
    ordered = [value for value in values if isinstance(value, int | float | str)]
    try:
        return min(ordered, default=None), max(ordered, default=None)
    except TypeError:
        return None, None
