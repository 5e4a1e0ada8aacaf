"""The table of each library's best: by hand, and honest."""

from benchmarks import best
from tests.evaluate.report.some import contest, failed, point
from vqindex.evaluate import Speed, append_points


def made(system, spec, recall, rate, batch, **changed):
    speed = Speed(best=2 * rate, median=rate, low=rate, high=rate, rounds=3)
    return point(system=system, spec=spec, recall={"10": recall}, qps=speed, batch=batch, **changed)


POINTS = [
    made("vqindex", "A", 0.91, 1000.0, 1),
    made("vqindex", "A", 0.96, 500.0, 1),
    made("vqindex", "A", 0.91, 4000.0, 100),
    made("vqindex", "B", 0.99, 5000.0, 100, bytes_per_row=1000, build_s=2.0),
    made("FAISS", "C", 0.95, 1234.5, 1, bytes_per_row=None, n=1000, file_bytes=300_000),
    failed(system="SVS", spec="D"),
]


def rows(points):
    lines = best.table(points).splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_each_library_has_its_best_of_each_mode_and_what_it_costs():
    header, _, *body = rows(POINTS)
    assert header == list(best.HEADER)
    assert body == [
        ["0.90", "vqindex", "`A` / `B`", "1,000", "5,000", "206 / 1,000", "0.2 / 2.0"],
        ["0.90", "FAISS", "`C`", "1,234", "-", "300", "0.2"],
        ["0.90", "SVS", "-", "-", "-", "-", "-"],
        ["0.95", "vqindex", "`A` / `B`", "500", "5,000", "206 / 1,000", "0.2 / 2.0"],
        ["0.95", "FAISS", "`C`", "1,234", "-", "300", "0.2"],
        ["0.95", "SVS", "-", "-", "-", "-", "-"],
        ["0.99", "vqindex", "`B`", "-", "5,000", "1,000", "2.0"],
        ["0.99", "FAISS", "-", "-", "-", "-", "-"],
        ["0.99", "SVS", "-", "-", "-", "-", "-"],
    ]


def test_libraries_stand_by_their_speed_at_each_recall():
    faster = [*POINTS, made("FAISS", "C", 0.96, 9999.0, 100)]
    order = [row[1] for row in rows(faster)[2:]]
    assert order == [
        "FAISS",
        "vqindex",
        "SVS",
        "FAISS",
        "vqindex",
        "SVS",
        "vqindex",
        "FAISS",
        "SVS",
    ]


def test_a_table_for_each_set_with_its_fewest_threads(tmp_path):
    path = tmp_path / "run.jsonl"
    assert best.tables(path, tmp_path) == ""
    append_points(path, contest())
    text = best.tables(path, tmp_path)
    first, second = (
        text.index("wordnet-minilm-384-angular, 100,000 x 384, cosine, 1 thread:"),
        (text.index("photo-sift-128-euclidean, 90,000 x 128, l2, 1 thread:")),
    )
    assert first < second
    fast = max(
        p.qps.median
        for p in contest()
        if p.dataset.startswith("photo") and p.threads == p.batch == 1 and p.system == "vqindex"
        if p.recall["10"] >= 0.99
    )
    assert f"| {fast:,.0f} |" in text[second:]
    assert "threads" not in text
    assert "![" not in text


def test_points_measured_anew_replace_the_old(tmp_path):
    path = tmp_path / "run.jsonl"
    append_points(path, [made("vqindex", "A", 0.91, rate, 1) for rate in (9000.0, 10.0)])
    text = best.tables(path, tmp_path)
    assert "| 10 |" in text
    assert "9,000" not in text
