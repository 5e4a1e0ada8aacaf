import pytest

from benchmarks import startup


def test_every_step_of_a_first_use_is_timed():
    times = startup.first_use()
    assert tuple(times) == startup.TIMES
    assert min(times.values()) > 0
    steps = times["import_s"] + times["add_s"] + times["search_s"]
    assert times["total_s"] == pytest.approx(steps, rel=1e-12)


def test_one_use_fills_the_cache_of_the_others(monkeypatch):
    totals, folders = iter([9.0, 3.0, 1.0, 2.0]), []

    def first_use(VQINDEX_CACHE_DIR):
        folders.append(VQINDEX_CACHE_DIR)
        return dict.fromkeys(startup.TIMES, next(totals))

    monkeypatch.setattr(startup, "first_use", first_use)
    empty, warm = startup.run(rounds=3)["rows"]
    assert (empty["cache"], empty["total_s"]) == ("empty", 9)
    assert (warm["cache"], warm["total_s"]) == ("warm", 2)
    assert len(folders) == 4
    assert len(set(folders)) == 1


def test_a_failing_interpreter_is_an_error():
    with pytest.raises(startup.subprocess.CalledProcessError):
        startup.first_use(VQINDEX_NUM_THREADS="none")
