import pytest

from benchmarks import machine, systems
from benchmarks.peers import RabitqlibLists, Turbovec
from vqindex.evaluate import Faiss, Ours


@pytest.mark.parametrize(
    ("spec", "d", "written"),
    [
        ("EDEN4", 128, "EDEN4"),
        ("PQ{d}x4fs", 128, "PQ128x4fs"),
        ("OPQ{d/8},PQ{d/8}x8", 100, "OPQ12,PQ12x8"),
        ("PQ{d/16}x8", 3, "PQ1x8"),
    ],
)
def test_specs_of_a_dimension(spec, d, written):
    assert systems.for_dimension(spec, d) == written


def test_the_version_of_every_library_is_recorded():
    packages = {systems.package(library) for library in systems.LIBRARIES}
    assert len(packages) == len(systems.LIBRARIES)
    assert packages <= set(machine.describe()["versions"])


def test_some_by_name():
    names = ["ours EDEN4", "FAISS RR,EDEN4", "FAISS PQ8x4fs"]
    assert systems.chosen(names, None, str) == names
    assert systems.chosen(names, ["PQ", "ours"], str) == [names[0], names[2]]
    with pytest.raises(ValueError, match=r"ours EDEN4, .*; got 'LSQ'"):
        systems.chosen(names, ["PQ", "LSQ"], str)


def test_adapters():
    pytest.importorskip("turbovec")
    made = [systems.competitor(*case, "ip", 0) for case in
            (("vqindex", "EDEN4"), ("FAISS", "Flat"), ("turbovec", "4"))]  # fmt: skip
    assert [type(each) for each in made] == [Ours, Faiss, Turbovec]
    with pytest.raises(ValueError, match="nothing holds it to avx2"):
        systems.competitor("turbovec", "4", "ip", 0, "avx2")


def test_rabitqlib_is_one_of_them():
    pytest.importorskip("rabitqlib")
    assert isinstance(systems.competitor("rabitqlib", "IVF4,RaBitQ5", "ip", 0), RabitqlibLists)
    with pytest.raises(ValueError, match="rabitqlib takes whatever the CPU has"):
        systems.competitor("rabitqlib", "IVF4,RaBitQ5", "ip", 0, "avx2")


def test_unknown_systems_are_named():
    with pytest.raises(ValueError, match="got rabitqlib PQ8x4"):
        systems.competitor("rabitqlib", "PQ8x4", "ip", 0)
