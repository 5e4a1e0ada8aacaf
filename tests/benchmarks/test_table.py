from benchmarks.table import render, shown


def test_cells():
    assert shown(None) == "-"
    assert shown("EDEN4") == "EDEN4"
    assert shown(1544) == "1,544"
    assert shown(0.0095) == "0.009500"
    assert shown(1.0) == "1.000"
    assert shown(123.4) == "123.4"
    assert shown(12345.6) == "12,346"


def test_text_stands_left_and_numbers_right():
    rows = [{"name": "a", "x": 1, "y": 0.5}, {"name": "long", "x": 1000, "y": None}]
    assert render([("index", "name"), ("n", "x"), ("value", "y")], rows).splitlines() == [
        "index      n   value",
        "-----  -----  ------",
        "a          1  0.5000",
        "long   1,000       -",
    ]


def test_headings_may_repeat():
    assert render([("x", "a"), ("x", "b")], [{"a": 1, "b": 2}]).splitlines()[-1] == "1  2"


def test_no_rows():
    assert render([("index", "a")], []).splitlines() == ["index", "-----"]
