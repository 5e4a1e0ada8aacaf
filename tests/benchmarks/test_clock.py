import io

import pytest

from benchmarks import clock

STEPS = {("build", "a"): 1, ("build", "b"): 1, ("round", "a"): 4, ("round", "b"): 4}


def test_time_left_is_that_of_steps_alike(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(clock.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    told = clock.Clock(STEPS, {"b": 60.0}, stream)
    assert told.left() == pytest.approx(5 + 60 + 8 * 0.2)
    told("build", "a")
    now[0] += 3
    told("build", "b")
    assert told.left() == pytest.approx(60 + 8 * 0.2)
    now[0] += 50
    told("round", "a")
    now[0] += 2
    told("round", "b")
    assert told.left() == 7 * 2
    now[0] += 4
    told.finish()
    assert told.left() == 6 * 3
    first, second, third = stream.getvalue().splitlines()
    assert first == "0/10, 0:00 gone, about 1:06 left: build a"
    assert second == "1/10, 0:03 gone, about 1:01 left: build b"
    assert third == "2/10, 0:53 gone, about 0:01 left: round a"
