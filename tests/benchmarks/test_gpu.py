import json
import sys
import tomllib
from types import SimpleNamespace

from benchmarks import gpu, rates

CEILINGS = {"copy": 4.3e12, "int8": 1.2e15}


def test_cases_are_those_of_the_file():
    cases = tomllib.loads(gpu.CASES.read_text("utf-8"))["case"]
    assert len({case["name"] for case in cases}) == len(cases) == 6
    for case in cases:
        assert {"rows", "dim", "bits", "target"} <= set(case)
        assert ("queries" in case) == ("k" in case)


def test_targets_are_met_or_not():
    def met(target, **figures):
        return gpu.met({"target": target} | figures)

    assert met("80 % of copy, 2.25 ms", of_copy=80.0, ms=2.25) == "yes"
    assert met("80 % of copy, 2.25 ms", of_copy=79.9, ms=2.0) == "no"
    assert met("80 % of copy, 2.25 ms", ms=2.0) == ""
    assert met("50 % of int8, 200,000 a second", of_int8=51.0, qps=199_999.0) == "no"
    assert met("50 % of int8, 200,000 a second", of_int8=51.0, qps=2e5) == "yes"
    for case in gpu.chosen():
        known = {"of_copy": 100.0, "of_int8": 100.0, "ms": 1e-3, "qps": 1e9}
        assert met(case["target"], **known) == "yes"
        assert met(case["target"], of_copy=0.0, of_int8=0.0, ms=1e9, qps=0.0) == "no"


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


def test_cases_are_chosen_by_their_names():
    assert len(gpu.chosen()) == 6
    assert [case["name"] for case in gpu.chosen(["1 bit", "encode"])] == [
        "one query, 10M x 1536, 1 bit", "encode 100,000 x 1536, 4 bit",
    ]  # fmt: skip


def test_a_rate_that_fails_says_why(monkeypatch):
    monkeypatch.setattr(rates, "_copy", lambda torch, clock: 4e12)

    class torch:
        bfloat16 = int8 = None

    found, wrong = rates.measure(torch, lambda go: 1.0)
    assert found == {"copy": 4e12}
    assert set(wrong) == {"bf16", "int8", "popcount", "dp4a"}
    assert all("Error" in text for text in wrong.values())


def test_a_case_that_fails_stops_no_other(monkeypatch, capsys):
    class torch:
        __version__ = "0"

        class cuda:
            empty_cache = staticmethod(lambda: None)

    def measures(torch, device, case, *rest):
        yield {"ms": 1.0} | ({"error": "wrong"} if "queries" not in case else {})
        if case["bits"] == 1:
            raise RuntimeError("an illegal address")

    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(gpu, "measures", measures)
    monkeypatch.setattr(gpu.driver, "device", lambda: SimpleNamespace(cores=132))
    monkeypatch.setattr(gpu.driver, "devices", lambda: (gpu.driver.Gpu("A GPU", "sm_90", 1),))
    monkeypatch.setattr(rates, "measure", lambda torch, clock: (CEILINGS, {}))
    record = gpu.run()
    assert all(case["ms"] == 1.0 for case in record["cases"])
    assert ["error" in case for case in record["cases"]] == [False, True, False, False, False, True]
    assert record["cases"][-1]["met"] == "no"  # though 1 ms is its target
    so_far = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [len(part["cases"]) for part in so_far] == [1, 2, 3, 4, 5, 6]
