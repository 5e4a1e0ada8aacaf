import pytest

from vqindex.errors import SpecError
from vqindex.quantizers.options import check_choice, check_yes_or_no, spelled, whole


@pytest.mark.parametrize("value", [1, 0, "yes", None])
def test_yes_or_no(value):
    check_yes_or_no(center=True, error=False)
    with pytest.raises(SpecError, match=f"error must be yes or no, got {value!r}"):
        check_yes_or_no(center=True, error=value)


@pytest.mark.parametrize("value", [4, 2.0, True, "2", None])
def test_a_choice_is_of_the_type_of_those_known(value):
    check_choice((1, 2, 8), words=2)
    with pytest.raises(SpecError, match=f"words must be one of 1, 2, 8, got {value!r}"):
        check_choice((1, 2, 8), words=value)


def test_whole_numbers_are_read_and_others_left():
    given = {"beam": "16", "groups": "many", "scale": "3", "center": False}
    assert whole(given, "beam", "groups", "center", "window") == given | {"beam": 16}


def test_what_differs_from_its_default_is_spelled_in_order():
    options = {"window": (12, 12), "scale": ("none", "none"), "center": (True, True)}
    assert spelled("X4", **options) == "X4"
    changed = options | {"scale": ("length", "none"), "center": (False, True), "beam": (1, 5)}
    assert spelled("X4", **changed) == "X4(beam=1,center=no,scale=length)"
