import sys

import numpy as np
import pytest

from vqindex.evaluate import memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read as Linux tells it")

MEGABYTE = 1 << 20


@pytest.mark.parametrize("size", [30, 60])
def test_the_most_that_a_step_holds(size):
    def step():
        first = np.ones(size * MEGABYTE, np.uint8)
        second = np.ones(size * MEGABYTE, np.uint8)
        del first, second
        np.ones(size * MEGABYTE, np.uint8)

    # A twentieth for what the interpreter does in between.
    assert memory.growth(step) == pytest.approx(2 * size * MEGABYTE, rel=0.05)


def test_what_came_before_does_not_count():
    np.ones(100 * MEGABYTE, np.uint8)
    small = [np.ones(100_000, np.uint8) for _ in range(400)]
    del small
    assert memory.growth(lambda: None) < MEGABYTE
    grown = memory.growth(lambda: [np.ones(100_000, np.uint8) for _ in range(400)])
    assert grown == pytest.approx(40_000_000, rel=0.05)
