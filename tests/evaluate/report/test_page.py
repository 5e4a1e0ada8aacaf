"""The page without a browser: whole in itself, and nothing in a record can break out of it."""

import json
import re
from dataclasses import asdict
from html.parser import HTMLParser

import pytest

from tests.evaluate.report.some import HOSTILE, contest, failed, point
from vqindex.evaluate import report

VOID = {"meta", "link", "img", "br", "input"}


class Parsed(HTMLParser):
    """The elements of a page and the text in each kind; every one must be closed in its turn."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self._open = [], {}, []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)

    def data(self):
        return next(json.loads(text) for text in self.texts["script"] if text.startswith("{"))


def test_every_point_is_on_the_page_with_its_set_and_machine():
    points = contest()
    found = Parsed(report.page(points, "a title")).data()
    assert len(found["points"]) == len(points)
    assert [about["name"] for about in found["sets"]] == [
        "wordnet-minilm-384-angular", "photo-sift-128-euclidean",
    ]  # fmt: skip
    assert found["machines"] == [points[0].machine]
    for row, own in zip(found["points"], points, strict=True):
        about = found["sets"][row["set"]]
        assert (about["name"], about["n"], about["dim"]) == (own.dataset, own.n, own.dim)
        fields = json.loads(own.to_json())
        shared = set(fields) & set(row) - {"machine"}
        assert {key: row[key] for key in shared} == {key: fields[key] for key in shared}
        assert set(fields) - shared == {
            "dataset", "dataset_hash", "n", "dim", "metric", "machine",
        }  # fmt: skip


def test_kinds_join_indexes_of_any_number_of_lists():
    points = [point(spec=f"IVF{lists},EDEN4") for lists in (64, 128)]
    assert {row["kind"] for row in Parsed(report.page(points, "")).data()["points"]} == {
        "IVF,EDEN4"
    }


def test_sets_of_one_name_and_other_rows_are_told_apart():
    points = [point(dataset_hash="a" * 64), point(dataset_hash="b" * 64), point(dataset="other")]
    labels = [about["label"] for about in Parsed(report.page(points, "")).data()["sets"]]
    assert labels == ["sample (aaaaaaaa)", "sample (bbbbbbbb)", "other"]


def test_it_needs_no_other_file_and_no_address():
    parsed = Parsed(report.page(contest(), "a title"))
    assert parsed.texts["title"] == ["a title"]
    for tag, attributes in parsed.elements:
        assert "src" not in attributes, tag
        assert attributes.get("href", "data:,") == "data:,"
        assert not [name for name in attributes if name.startswith("on")]
    policy = next(a["content"] for _, a in parsed.elements if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data:; script-src 'sha256-")
    assert "unsafe" not in policy
    (style,) = parsed.texts["style"]
    assert "url(" not in style
    assert "@import" not in style
    script = next(text for text in parsed.texts["script"] if not text.startswith("{"))
    assert not re.search(r"innerHTML|insertAdjacent|document\.write|\beval\b|fetch\(", script)


@pytest.mark.parametrize(
    "change",
    [
        {"system": HOSTILE},
        {"spec": HOSTILE},
        {"dataset": HOSTILE},
        {"command": HOSTILE},
        {"parameters": {HOSTILE: [HOSTILE]}},
        {"machine": {HOSTILE: {"x": HOSTILE}}},
        {"recall": {"10": 0.5, HOSTILE: 0.5}},
    ],
)
def test_hostile_text_stays_text(change):
    usual = Parsed(report.page([point()], HOSTILE))
    hostile = Parsed(report.page([point(**change), failed(failed=HOSTILE)], HOSTILE))
    assert hostile.elements == usual.elements
    assert hostile.texts["title"] == [HOSTILE]
    row = hostile.data()["points"][0]
    (name, value), *_ = change.items()
    if name in row and name != "machine":
        assert row[name] == value
    assert hostile.data()["points"][1]["failed"] == HOSTILE


def test_numbers_that_are_none_become_null():
    row = asdict(point())
    points = [point(bytes_per_row=float("nan"), stages={"codes": float("inf")})]
    found = Parsed(report.page(points, "")).data()["points"][0]
    assert found["bytes_per_row"] is None
    assert found["stages"] == {"codes": None}
    assert found["qps"] == row["qps"]


def test_what_a_row_costs_is_reported_or_that_of_the_file():
    points = [
        point(bytes_per_row=206),
        point(bytes_per_row=None, n=100, file_bytes=5000),
        point(bytes_per_row=None, file_bytes=None),
    ]
    rows = Parsed(report.page(points, "")).data()["points"]
    assert [row["bytes"] for row in rows] == [206, 50, None]


def test_the_same_points_give_the_same_page():
    assert report.page(contest(), "t") == report.page(contest(), "t")
