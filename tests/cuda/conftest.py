"""Emulated kernels end with the tests that ran them."""

import shutil

import pytest

from tests.cuda import emulated


@pytest.fixture(scope="session", autouse=True)
def _programs():
    yield
    for program in emulated.PROGRAMS:
        program.close()
    if emulated.PROGRAMS:
        shutil.rmtree(emulated.folder())
