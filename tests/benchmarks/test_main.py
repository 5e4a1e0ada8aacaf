import ast
import json
from pathlib import Path

import pytest

from benchmarks import __main__, machine, results
from tests.evaluate.report.some import point
from vqindex.evaluate import append_points

FOLDER = Path(machine.__file__).parent
# They time the kernels themselves.
INTERNAL = (
    "ceilings.py", "costs.py", "gpu.py", "gpu_check.py", "gpu_work.py", "rates.py", "scans.py",
)  # fmt: skip
PARTS = ("datasets", "evaluate", "quantizers.levels", "report", "store")
PUBLIC = ("vqindex", *(f"vqindex.{part}" for part in PARTS))


@pytest.fixture
def unpinned(monkeypatch):
    monkeypatch.setattr(machine, "pin", lambda *_: None)


def test_a_command_prints_and_saves_its_record(unpinned, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    __main__.main(["bounds", "sample", "--queries", "2", "--seed", "3", "--json", "--save"])
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads((tmp_path / "bounds.jsonl").read_text())
    assert record["dataset"]["name"] == "sample"
    assert record["settings"]["seed"] == 3
    assert record["machine"]["versions"]["numpy"]
    assert record["rows"]


def test_tables_are_printed(unpinned, monkeypatch, capsys):
    from benchmarks import bounds

    monkeypatch.setattr(bounds, "run", lambda dataset, seed: {"rows": []})
    monkeypatch.setattr(bounds, "report", lambda record: "the table")
    __main__.main(["bounds", "sample", "--queries", "2"])
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("Dataset('sample', cosine, n=10000, d=384, nq=2")
    assert second == "the table"


def test_a_set_made_wide_and_short(unpinned, monkeypatch, capsys):
    from benchmarks import bounds

    monkeypatch.setattr(bounds, "run", lambda dataset, **_: {"rows": [], "found": dataset.d})
    monkeypatch.setattr(bounds, "report", lambda record: "")
    options = "--queries 2 --wide 2 --rows 300 --json"
    __main__.main(["bounds", "sample", *options.split()])
    record = json.loads(capsys.readouterr().out)
    assert (record["dataset"]["name"], record["dataset"]["n"]) == ("sample-wide2-rows300", 300)
    assert record["found"] == 768


def test_results_are_compared(tmp_path, capsys):
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    for path in (old, new):
        path.write_text("")
    __main__.main(["compare", str(old), str(new)])
    assert capsys.readouterr().out == "no point is in both\n"
    with pytest.raises(SystemExit):
        __main__.main(["compare", str(old), str(tmp_path / "gone.jsonl")])
    assert "gone.jsonl" in capsys.readouterr().err


def test_distortion_of_some_codes(unpinned, monkeypatch, tmp_path, capsys):
    from benchmarks import distortion, picture

    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(picture, "save", lambda record: [tmp_path / "of.png"])

    def run(sets, **options):
        return {"asked": options, "names": [dataset.name for dataset in sets]}

    monkeypatch.setattr(distortion, "run", run)
    monkeypatch.setattr(distortion, "report", lambda record: "the tables")
    options = "--only EDEN2 TQ --skip-slow --queries 2 --rows 300 --seed 3 --save"
    __main__.main(["distortion", "sample", *options.split()])
    out, err = capsys.readouterr()
    assert out == "the tables\n"
    assert "of.png" in err
    record = json.loads((tmp_path / "distortion.jsonl").read_text())
    assert record["names"] == ["sample-rows300"]
    assert record["asked"] == {
        "seed": 3, "level": None, "only": ["EDEN2", "TQ"], "skip_slow": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "pinned"),
    [
        ("", (None, 1, None)),
        ("--cpu 1", ([1], 1, None)),
        ("--cpu 3 --level avx512", ([3], 1, "avx512")),
    ],
)
def test_what_the_process_is_pinned_to(monkeypatch, options, pinned):
    def pin(*asked):
        assert asked == pinned
        raise ValueError("2 threads need as many CPUs.")

    monkeypatch.setattr(machine, "pin", pin)
    with pytest.raises(SystemExit):
        __main__.main(["bounds", *options.split()])


def test_startup_is_a_command(unpinned, monkeypatch, capsys):
    from benchmarks import startup

    monkeypatch.setattr(startup, "first_use", lambda **_: dict.fromkeys(startup.TIMES, 0.5))
    __main__.main(["startup"])
    assert capsys.readouterr().out.splitlines()[0].split() == ["kernel", "cache", *startup.TIMES]
    __main__.main(["startup", "--json"])
    assert [row["cache"] for row in json.loads(capsys.readouterr().out)["rows"]] == [
        "empty",
        "warm",
    ]


def test_large_is_a_command(unpinned, monkeypatch, capsys):
    from benchmarks import large

    monkeypatch.setattr(large, "run", lambda: {"rows": [1]})
    monkeypatch.setattr(large, "report", lambda record: f"{len(record['rows'])} row")
    __main__.main(["large"])
    assert capsys.readouterr().out == "1 row\n"


def test_kernels_is_a_command(unpinned, monkeypatch, capsys):
    from benchmarks import kernels

    monkeypatch.setattr(kernels, "run", lambda: {"rows": [1]})
    monkeypatch.setattr(kernels, "report", lambda record: f"{len(record['rows'])} row")
    __main__.main(["kernels"])
    assert capsys.readouterr().out == "1 row\n"


def test_gpu_is_a_command(unpinned, monkeypatch, capsys):
    from benchmarks import gpu

    monkeypatch.setattr(gpu, "run", lambda only: {"cases": [1] if only == ["batch"] else []})
    monkeypatch.setattr(gpu, "report", lambda record: f"{len(record['cases'])} case")
    __main__.main(["gpu", "--only", "batch"])
    assert capsys.readouterr().out == "1 case\n"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "nothing",
        "bounds --rows 0",
        "bounds --save=1",
        "run --cpu 1,",
        "run gone",
        "kernels --level x",
    ],
)
def test_wrong_arguments(wrong, capsys):
    with pytest.raises(SystemExit):
        __main__.main(wrong.split())
    assert "usage:" in capsys.readouterr().err


def test_only_the_public_library_is_imported():
    used = set()
    for path in FOLDER.glob("*.py"):
        if path.name in INTERNAL:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                used.add(node.module)
            elif isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names}
    assert {name for name in used if name.split(".")[0] == "vqindex"} <= set(PUBLIC)


def test_the_report_is_drawn_of_the_latest_points(tmp_path, capsys):
    files = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    append_points(files[0], [point(spec="EDEN4"), point(spec="EDEN2")])
    append_points(files[1], [point(spec="EDEN2", build_s=99.0)])
    out = tmp_path / "folder"
    __main__.main(["report", *map(str, files), "--out", str(out), "--title", "two files"])
    page = out / "report.html"
    assert capsys.readouterr().out.splitlines()[0] == str(page)
    text = page.read_text("utf-8")
    assert "<title>two files</title>" in text
    assert '"build_s":99.0' in text
    assert text.count('"index":') == 2


def test_a_report_of_no_file_says_so(tmp_path, capsys):
    with pytest.raises(SystemExit):
        __main__.main(["report", str(tmp_path / "none.jsonl")])
    assert "none.jsonl" in capsys.readouterr().err
