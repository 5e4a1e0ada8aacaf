import pytest

from benchmarks import cases
from vqindex import index_factory
from vqindex.datasets import synthetic

TEXT = """
rounds = 3
datasets = ["one", "two"]
threads = [1, 2]
tests = ["tests/test_io.py"]

[[case]]
system = "vqindex"
spec = ["EDEN4", "IVF8,PQ{d/2}x4"]
parameters = { nprobe = [1, 2], oversample = 4 }

[[case]]
system = "turbovec"
spec = "4"
datasets = ["one"]
threads = [1]
batch = [1]
heat = "flat"
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "some.toml"
    path.write_text(TEXT)
    return path


def test_rows_are_products(path):
    plan = cases.read_plan(str(path))
    assert (plan.rounds, plan.k, plan.tests) == (3, 10, ("tests/test_io.py",))
    assert len(plan.cases) == 2 * 2 * 2 + 1
    first, *_, last = plan.cases
    assert first.parameters == ({"nprobe": 1, "oversample": 4}, {"nprobe": 2, "oversample": 4})
    assert (last.parameters, last.batches) == (({},), (1,))
    assert plan.cases[-2].label(16) == "vqindex IVF8,PQ8x4"
    sizes = [len(heat) for heat in plan.heats()]
    assert sorted(sizes) == [1, 2, 2, 2, 2]


def test_all_queries_in_a_call_are_as_many_as_there_are(path):
    data = synthetic(100, 8, 7, "l2")
    settings = cases.read_plan(str(path)).cases[0].settings(data)
    assert [(s.parameters["nprobe"], s.batch) for s in settings] == [(1, 1), (1, 7), (2, 1), (2, 7)]


def test_other_datasets(path):
    plan = cases.read_plan(str(path), ["three", "one"])
    assert {case.dataset for case in plan.cases} == {"one", "three"}
    assert [case.dataset for case in plan.cases if case.system == "turbovec"] == ["one"]


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ("speed = 3", "not speed"),
        ('[[case]]\nsystem = "vqindex"\nspec = "F32"\nnprobe = 3', "not nprobe"),
        ('[[case]]\nsystem = "FASS"\nspec = "Flat"', "a system of .*got.*FASS"),
        ('[[case]]\nsystem = "FAISS"', "a case has a spec"),
    ],
)
def test_what_a_file_should_not_hold(path, more, match):
    path.write_text(f"{more}\n{TEXT}" if "[[" not in more else f"{TEXT}\n{more}\n")
    with pytest.raises(ValueError, match=match):
        cases.read_plan(str(path))


def test_missing_files_name_those_there_are():
    with pytest.raises(FileNotFoundError, match=r"one of .*full, .*quick.* got none_such"):
        cases.read_plan("none_such")


@pytest.mark.parametrize("path", sorted(cases.FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_files_that_are_there_hold_indexes_and_settings_that_are(path):
    plan = cases.read_plan(path.stem)
    assert plan.tests
    for case in plan.cases:
        assert "{" not in case.label(128)
        if case.system == "vqindex":
            index = index_factory(case.label(128).split(" ", 1)[1])
            for parameters in case.parameters:
                index.configure(**parameters)
                assert {name: index.settings[name] for name in parameters} == parameters
    assert all((cases.FOLDER.parents[1] / test).exists() for test in plan.tests)
