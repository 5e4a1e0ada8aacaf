"""Stores that grow early, so that few rows see every stage."""

import pytest

from tests.store.brute import SMALL


@pytest.fixture
def small(monkeypatch):
    """See SMALL."""
    for module, name, value in SMALL:
        monkeypatch.setattr(module, name, value)
