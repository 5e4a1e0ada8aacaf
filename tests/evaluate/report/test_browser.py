"""The page in a headless Chromium, as a reader uses it. Skipped where there is no browser."""

import pytest

from tests.evaluate.report import browser
from tests.evaluate.report.some import HOSTILE, contest, failed, point
from vqindex.evaluate import report

PROGRAM = browser.found()

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason=f"no browser: none of {', '.join(browser.NAMES)} is installed"
)
FIRST = "#speed .ours .mark:not(.faint)"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    with browser.Browser(PROGRAM, tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report.page(contest(), "a contest"), "utf-8")
    return path


@pytest.fixture
def page(program, written):
    """The page as it opens; whatever a test does must leave its console empty."""
    program.resize(1280, 900)
    program.scheme("light")
    program.messages.clear()
    program.open(written)
    yield program
    assert program.messages == []


def pick(page, name, label):
    """Choose an option of a selector by what it says."""
    page.value(
        f"(() => {{ const s = document.getElementById('choose-{name}');"
        f"s.value = [...s.options].find(o => o.text === {label!r}).value;"
        "s.dispatchEvent(new Event('change')); })()"
    )


def marks(page, chart="speed"):
    return page.value(f"document.querySelectorAll('#{chart} .mark').length")


def tip(page, chart="speed"):
    """What stands beside the point, or nothing."""
    return page.value(
        f"(t => t.hidden ? '' : t.innerText)(document.querySelector('#{chart} .tip'))"
    )


def test_it_opens_with_every_library_and_what_failed(page):
    assert page.value("document.querySelector('h1').innerText") == "a contest"
    legend = page.value("[...document.querySelectorAll('#legend button')].map(b => b.innerText)")
    assert legend == [
        "vqindex", "FAISS", "SVS", "ScaNN", "hnswlib", "rabitqlib", "turbovec", "usearch",
    ]  # fmt: skip
    own = [p for p in contest() if p.dataset.startswith("word") and p.threads == p.batch == 1]
    assert marks(page) == marks(page, "memory") == len([p for p in own if p.failed is None])
    failed_rows = page.value("document.querySelector('#failures').innerText")
    assert "SVS Vamana,LeanVec4x8: MemoryError: too large" in failed_rows


def test_choices_change_what_is_drawn(page):
    before = page.value("document.querySelector('#speed svg').outerHTML")
    pick(page, "set", "photo-sift-128-euclidean")
    assert "90,000 rows of 128 numbers, l2" in page.value(
        "document.querySelector('#about').innerText"
    )
    assert page.value("document.querySelector('#failures').hidden")
    for name, label in (
        ("threads", "2"), ("batch", "1,000 queries"), ("recall", "recall@100, by distance"),
        ("line", "each kind of index"),
    ):  # fmt: skip
        after = page.value("document.querySelector('#speed svg').outerHTML")
        assert after != before
        before = after
        pick(page, name, label)
    assert "vqindex IVF,EDEN4" in page.value("document.querySelector('#legend').innerText")
    assert "recall@100 by distance" in page.value("document.querySelector('#speed').textContent")
    assert page.value("document.activeElement.id") == "choose-line"


def test_the_axis_is_logarithmic_or_even(page):
    ticks = "[...document.querySelectorAll('#speed text[text-anchor=end]')].map(t => t.textContent)"
    assert "1K" in page.value(ticks)
    assert "0" not in page.value(ticks)
    page.point_at("#choose-log", click=True)
    assert "0" in page.value(ticks)


def test_a_line_can_be_hidden(page):
    before = marks(page)
    page.point_at("#legend button", click=True)
    assert page.value("document.querySelector('#legend button').ariaPressed") == "false"
    assert marks(page) < before
    assert page.value("document.querySelectorAll('#speed .ours').length") == 0


def test_figures_stand_beside_the_point_under_the_pointer(page):
    page.point_at(FIRST)
    assert "vqindex IVF1024,EDEN2" in tip(page)
    assert "nprobe=2" in tip(page)
    assert "queries/s" in tip(page)
    assert tip(page, "memory") == ""
    assert (
        page.value("document.querySelector('#memory .ring').getAttribute('visibility')")
        == "visible"
    )
    page.point_at("h1")
    assert tip(page) == ""


def test_keys_go_from_point_to_point_and_to_the_row(page):
    page.value("document.querySelector('#speed svg').focus()")
    page.press("ArrowRight")
    first = tip(page)
    page.press("ArrowRight")
    assert "" != tip(page) != first != ""
    page.press("ArrowDown")
    assert "FAISS" in tip(page)
    assert page.value("document.querySelector('#said').textContent").startswith("FAISS")
    page.press("Enter")
    assert "FAISS" in page.value("document.querySelector('tr.chosen').innerText")
    assert page.value("document.activeElement.closest('tr.chosen') !== null")


def test_a_click_on_a_faint_point_leads_to_its_row(page):
    assert page.value("document.getElementById('best').checked")
    page.point_at("#speed .theirs .faint", click=True)
    assert page.value("document.querySelector('tr.chosen') !== null")
    assert not page.value("document.getElementById('best').checked")


def test_parameters_and_the_command_are_copied(page):
    page("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    for name, wanted in (
        ("index", "IVF1024,EDEN4,Rerank(f16)"), ("parameters", '{"nprobe":256}'),
        ("command", "python -m benchmarks run wordnet-minilm-384-angular --threads 1"),
    ):  # fmt: skip
        button = f"tbody td[data-name={name}] button"
        page.point_at(button, click=True)
        page.wait(f"document.querySelector('{button}').textContent === 'copied'")
        assert page.value("navigator.clipboard.readText()") == wanted


def test_the_table_is_sorted_by_any_column_and_shows_all(page):
    column = "[...document.querySelectorAll('td[data-name=recall]')].map(t => +t.innerText)"
    found = page.value(column)
    assert found == sorted(found, reverse=True)
    page.point_at("#all", click=True)
    assert len(page.value(column)) > len(found) == 40
    page.point_at("th[aria-sort] button", click=True)
    assert page.value(column) == sorted(page.value(column))
    assert page.value("document.querySelector('th[aria-sort]').ariaSort") == "ascending"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_either_scheme(page, scheme):
    page.scheme(scheme)
    colors = page.value(
        "['color', 'backgroundColor'].map(k => getComputedStyle(document.body)[k]"
        ".match(/[0-9]+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0) / 765)"
    )
    assert (colors[0] < 0.2 and colors[1] > 0.9) is (scheme == "light")
    assert abs(colors[0] - colors[1]) > 0.7


def test_a_phone_scrolls_no_further_than_down(page):
    page.resize(360, 740, phone=True)
    page.wait("document.querySelector('#speed svg').clientWidth < 360")
    assert page.value("[document.documentElement.scrollWidth, innerWidth]") == [360, 360]
    page.point_at(FIRST)
    assert tip(page)
    box = page.value(
        "(r => [r.left, r.right])(document.querySelector('#speed .tip').getBoundingClientRect())"
    )
    assert 0 <= box[0] < box[1] <= 360


def test_hostile_records_are_shown_and_run_nothing(program, tmp_path):
    changes = [
        {"system": HOSTILE}, {"spec": HOSTILE}, {"dataset": HOSTILE, "command": HOSTILE},
        {"parameters": {HOSTILE: HOSTILE}, "machine": {HOSTILE: HOSTILE}},
    ]  # fmt: skip
    points = [
        *(point(**change) for change in changes),
        failed(failed=HOSTILE),
        failed(spec=HOSTILE),
    ]
    path = tmp_path / "report.html"
    path.write_text(report.page(points, HOSTILE), "utf-8")
    program.messages.clear()
    program.open(path)
    for selector in ("#speed svg", "#memory svg"):
        program.point_at(selector)
    pick(program, "line", "each kind of index")
    assert HOSTILE in program.value("document.body.innerText")
    assert program.value("typeof window.hacked") == "undefined"
    assert program.value("document.images.length") == 0
    assert program.messages == []


def test_a_contest_that_only_failed_says_so(program, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(report.page([failed()], "nothing"), "utf-8")
    program.messages.clear()
    program.open(path)
    assert not program.value("document.querySelector('#nothing').hidden")
    assert "MemoryError" in program.value("document.querySelector('#failures').innerText")
    assert program.messages == []
