"""Every command, in text and in JSON; what goes where, and with which exit code."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest

import vqindex as vq
from vqindex import cli
from vqindex.datasets import synthetic

N, D, NQ = 300, 12, 8


@pytest.fixture(scope="module")
def data():
    return synthetic(N, D, NQ, "cosine", k=10)


@pytest.fixture
def folder(data, tmp_path, monkeypatch):
    """A folder to work in with base, queries, truth and ids; the index "i.vq" is of the base."""
    monkeypatch.chdir(tmp_path)
    np.save("base.npy", data.base)
    np.save("queries.npy", data.queries)
    np.save("truth.npy", data.neighbors.astype(np.int32))
    np.save("ids.npy", np.arange(N) * 10)
    index = vq.index_factory("F32")
    index.add(data.base)
    index.save("i.vq")
    return tmp_path


def run(capsys, *arguments):
    """(exit code, stdout, stderr) of a command."""
    try:
        code = cli.main([str(argument) for argument in arguments])
    except SystemExit as ended:
        code = ended.code
    return (code, *capsys.readouterr())


def parsed(capsys, *arguments):
    """The JSON a command printed, and that nothing else was."""
    code, out, err = run(capsys, *arguments, "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    return json.loads(out, parse_constant=pytest.fail)


def test_build(folder, data, capsys):
    found = parsed(capsys, "build", "base.npy", "new.vq", "--spec", "EDEN2", "--metric", "l2",
                   "--seed", 3)  # fmt: skip
    index = vq.load("new.vq")
    assert (index.spec, index.metric, index.seed) == ("EDEN2", "l2", 3)
    np.testing.assert_array_equal(index.ids, np.arange(N))
    assert found | {"seconds": 0} == {
        "index": "new.vq", "spec": "EDEN2", "metric": "l2", "n": N, "dim": D,
        "bytes_per_row": index.bytes_per_row, "file_bytes": (folder / "new.vq").stat().st_size,
        "seconds": 0,
    }  # fmt: skip


def test_build_with_ids(folder, capsys):
    code, out, err = run(capsys, "build", "base.npy", "new.vq", "--ids", "ids.npy", "--threads", 1)
    assert (code, err) == (0, "")
    assert "spec: EDEN4\nmetric: cosine\nn: 300\n" in out
    np.testing.assert_array_equal(np.sort(vq.load("new.vq").ids), np.arange(N) * 10)


def test_build_reads_other_formats(folder, data, capsys):
    with h5py.File("set.hdf5", "w") as file:
        file["test"] = data.base
    rows = np.empty(N, [("d", "<i4"), ("x", "<f4", D)])
    rows["d"], rows["x"] = D, data.base
    rows.tofile("base.fvecs")
    for source in ("set.hdf5:test", "base.fvecs"):
        parsed(capsys, "build", source, "new.vq", "--spec", "F32", "--metric", "l2")
        np.testing.assert_array_equal(vq.load("new.vq").reconstruct([7])[0], data.base[7])


def test_search(folder, data, capsys):
    want = vq.load("i.vq").search(data.queries, 5)
    for more in ([], ["--mmap"], ["--threads", 1]):
        found = parsed(capsys, "search", "i.vq", "queries.npy", "-k", 5, *more)
        assert found["ids"] == want.ids.tolist() == data.neighbors[:, :5].tolist()
        np.testing.assert_array_equal(np.float32(found["distances"]), want.distances)
        assert (found["nq"], found["k"]) == (NQ, 5)


def test_search_in_text(folder, data, capsys):
    code, out, err = run(capsys, "search", "i.vq", "queries.npy", "-k", 2, "--truth", "truth.npy")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    first, second = data.neighbors[0, :2]
    assert lines[0].startswith(f"0: {first} (")
    assert f" {second} (" in lines[0]
    assert [line.partition(":")[0] for line in lines[NQ:]] == ["nq", "k", "seconds", "recall"]
    assert lines[-1] == "recall: 1"


def test_search_into_a_file(folder, data, capsys):
    found = parsed(capsys, "search", "i.vq", "queries.npy", "--output", "out.npz")
    assert found["output"] == "out.npz"
    assert "ids" not in found
    with np.load("out.npz") as out:
        np.testing.assert_array_equal(out["ids"], data.neighbors)
        assert out["distances"].dtype == np.float32


def test_search_in_chunks_is_the_same(folder, capsys, monkeypatch):
    whole = parsed(capsys, "search", "i.vq", "queries.npy")
    monkeypatch.setattr(cli, "QUERIES", 3)
    parts = parsed(capsys, "search", "i.vq", "queries.npy")
    assert (whole["ids"], whole["distances"]) == (parts["ids"], parts["distances"])


def test_search_for_more_than_there_is(folder, capsys):
    """No query at all; and fewer rows than k, whose distance JSON cannot say."""
    np.save("none.npy", np.empty((0, D), np.float32))
    assert parsed(capsys, "search", "i.vq", "none.npy")["ids"] == []
    found = parsed(capsys, "search", "i.vq", "queries.npy", "-k", N + 1)
    assert {row[-1] for row in found["ids"]} == {-1}
    assert {row[-1] for row in found["distances"]} == {None}


def test_info(folder, capsys):
    found = parsed(capsys, "info", "i.vq")
    assert (found["spec"], found["n"], found["dim"]) == ("F32", N, D)
    code, out, _ = run(capsys, "info", "i.vq")
    assert code == 0
    assert f"\nn: {N}\n" in out
    assert "\ntensors:\n  codes." in out


def test_verify(folder, capsys):
    assert parsed(capsys, "verify", "i.vq") == {"index": "i.vq", "ok": True}
    assert run(capsys, "verify", "i.vq") == (0, "i.vq: whole\n", "")


def test_config_and_warmup(capsys, monkeypatch):
    assert parsed(capsys, "config") == vq.show_config()
    assert f"cpu_level: {vq.show_config()['cpu_level']}\n" in run(capsys, "config")[1]
    monkeypatch.setattr(cli, "warmup", lambda: 1.5)
    assert parsed(capsys, "warmup")["seconds"] == 1.5


def test_demo(folder, data, capsys, monkeypatch):
    with h5py.File("tiny.hdf5", "w") as file:
        file.attrs["distance"] = "angular"
        file["train"], file["test"] = data.base, data.queries
        file["neighbors"], file["distances"] = data.neighbors, data.distances
    monkeypatch.setattr("vqindex.demo.warmup", lambda: 0.0)
    monkeypatch.setattr("vqindex.demo.systems", lambda d: (["F32"], []))
    found = parsed(capsys, "demo", "tiny.hdf5", "--rounds", 1)
    assert found["flat"][0]["recall"] == {"1": 1.0, "10": 1.0}
    assert found["pictures"] == ["demo/tiny.png", "demo/tiny-lists.png"]
    assert (folder / "demo" / "tiny.png").exists()
    code, out, err = run(capsys, "demo", "tiny.hdf5", "--rounds", 1, "--picture", "p.png")
    assert (code, err) == (0, "")
    assert "| vqindex | F32   |" in out
    assert (folder / "p.png").exists()


def test_progress_is_drawn_on_stderr_when_asked(folder, capsys):
    code, out, err = run(capsys, "build", "base.npy", "new.vq", "--json", "--progress")
    assert (code, json.loads(out)["n"]) == (0, N)
    assert "300/300" in err
    assert "8/8" in run(capsys, "search", "i.vq", "queries.npy", "--progress")[2]


def test_a_damaged_file(folder, capsys):
    bytes_ = bytearray((folder / "i.vq").read_bytes())
    bytes_[len(bytes_) // 2] ^= 1
    (folder / "i.vq").write_bytes(bytes_)
    for command in (["verify", "i.vq"], ["search", "i.vq", "queries.npy", "--json"]):
        code, out, err = run(capsys, *command)
        assert (code, out) == (1, "")
        assert err.startswith("vqindex: i.vq")
        assert "Traceback" not in err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["build", "missing.npy", "o"], "No such file or directory: 'missing.npy'"),
        (["build", "base.txt", "o"], "the suffix must be one of"),
        (["build", "nan.npy", "o"], "must be finite"),
        (["build", "complex.npy", "o"], "real numbers"),
        (["build", "base.npy", "no folder/o"], "No such file or directory"),
        (["build", "base.npy", "o", "--ids", "queries.npy"], "ids must have shape"),
        (["build", "base.npy", "o", "--ids", "nan.txt"], "not a whole .npy file"),
        (["search", "i.vq", "wide.npy"], "queries must have shape"),
        (["search", "i.vq", "queries.npy", "--truth", "wide.npy"], "must have shapes"),
        (["demo", "no-such-set"], "dataset must be one of"),
    ],
)  # fmt: skip
def test_what_cannot_be_done(folder, capsys, command, message):
    np.save("nan.npy", np.full((2, 2), np.nan))
    np.save("complex.npy", np.ones((2, 2), complex))
    np.save("wide.npy", np.ones((2, D + 1)))
    (folder / "base.txt").write_text("")
    (folder / "nan.txt").write_text("")
    code, out, err = run(capsys, *command)
    assert (code, out) == (1, "")
    assert err.startswith("vqindex: ")
    assert message in err
    assert not (folder / "o").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([], "required: COMMAND"),
        (["sing"], "invalid choice: 'sing'"),
        (["build", "base.npy"], "required: OUTPUT"),
        (["build", "base.npy", "o", "--metric", "l3"], "invalid choice: 'l3'"),
        (["build", "base.npy", "o", "--spec", "EDEN"], "EDEN needs its bits"),
        (["search", "i.vq", "queries.npy", "-k", "0"], "an integer >= 1, got '0'"),
    ],
)
def test_wrong_usage(folder, capsys, command, message):
    code, out, err = run(capsys, *command)
    assert (code, out) == (2, "")
    assert message in err


def test_interrupts(folder, capsys, monkeypatch):
    def interrupt(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "read_vectors", interrupt)
    assert run(capsys, "build", "base.npy", "o") == (130, "", "vqindex: interrupted\n")


def test_help_and_version(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for name in ("demo", "build", "search", "info", "verify", "warmup", "config"):
        assert f"    {name}  " in out
    assert run(capsys, "--version")[1] == f"vqindex {vq.__version__}\n"


def test_as_a_module_into_a_pipe_that_closes(folder):
    """More than a pipe holds, to a reader that leaves."""
    np.save("many.npy", np.ones((3000, D), np.float32))
    command = [sys.executable, "-m", "vqindex", "search", "i.vq", "many.npy"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.read(3) == b"0: "
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 1
