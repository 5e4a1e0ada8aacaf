import pytest

from benchmarks import gate


@pytest.fixture
def root(tmp_path):
    (tmp_path / "test_green.py").write_text("def test_it(): pass\n")
    (tmp_path / "test_red.py").write_text("def test_it(): assert 1 == 2\n")
    return tmp_path


def test_green_tests_are_told(root):
    told = gate.check(["test_green.py"], root)
    assert told.startswith("1 passed in")
    assert told.endswith("test_green.py")
    assert gate.check([], root) == "no tests were run"


@pytest.mark.parametrize("tests", [["test_green.py", "test_red.py"], ["test_gone.py"]])
def test_red_tests_stop(root, tests):
    with pytest.raises(gate.RedTests, match=r"assert 1 == 2|test_gone.py"):
        gate.check(tests, root)
