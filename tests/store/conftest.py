"""Stores that grow early, so that few rows see every stage."""

import pytest

from vqindex.store import growth, keeper, mirror


@pytest.fixture
def small(monkeypatch):
    """Codes from 65 rows on, lists from 600, and an index file after 100 changes."""
    for module, name, value in (
        (growth, "WAITING", 64), (mirror, "WAITING", 64), (mirror, "TAIL", 32),
        (growth, "LISTED", 600), (keeper, "LEAST", 100), (growth, "GROWN", 4),
        (growth, "CODES", ("SQ8", "F32")), (mirror, "CODES", ("SQ8", "F32")),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
