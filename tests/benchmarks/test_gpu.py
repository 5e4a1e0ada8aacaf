import tomllib

from benchmarks import gpu

CEILINGS = {"copy": 4.3e12, "int8": 1.2e15}


def test_cases_are_those_of_the_file():
    cases = tomllib.loads(gpu.CASES.read_text("utf-8"))["case"]
    assert len({case["name"] for case in cases}) == len(cases) == 6
    for case in cases:
        assert {"rows", "dim", "bits", "target"} <= set(case)
        assert ("queries" in case) == ("k" in case)


def test_the_report_has_a_line_for_each_case():
    case = {"name": "one query", "ms": 2.5, "spread": 0.01, "qps": 400.0, "target": "3 ms"}
    record = {"gpu": {"name": "A GPU"}, "ceilings": CEILINGS, "cases": [case, case]}
    text = gpu.report(record)
    assert text.startswith("A GPU, 10^12 a second: copy 4.30, int8 1,200.00\n")
    assert text.count("one query") == 2


def test_times_are_medians_after_two_rounds():
    class Event:
        times = iter([90.0, 80.0, 3.0, 1.0, 2.0, 2.0, 5.0, 2.0, 2.5])

        def __init__(self, enable_timing):
            assert enable_timing

        def record(self): ...

        def synchronize(self): ...

        def elapsed_time(self, other):
            return next(self.times)

    class torch:
        class cuda:
            _sleep = staticmethod(lambda cycles: None)

    torch.cuda.Event = Event
    clock, calls = gpu.Clock(torch), []
    assert clock(lambda: calls.append(1)) == 2.0
    assert clock.spread == 2.0
    assert len(calls) == gpu.ROUNDS + 2
