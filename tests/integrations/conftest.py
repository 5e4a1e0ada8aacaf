"""Frameworks are tested without a network: what they try to open is refused."""

import os

import pytest

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
os.environ["LANGSMITH_TRACING"] = "false"


@pytest.fixture(autouse=True)
def no_network():
    sockets = pytest.importorskip("pytest_socket", reason="pytest-socket is missing: --group test")
    sockets.disable_socket(allow_unix_socket=True)
    yield
    sockets.enable_socket()
