import threading
from dataclasses import dataclass

from vqindex.lazy import lazy


@dataclass(frozen=True)
class Square:
    side: int
    calls: list

    @lazy
    def area(self) -> int:
        """Its area."""
        self.calls.append(self.side)
        return self.side**2


def test_computed_once_for_each_instance():
    three, four = Square(3, []), Square(4, [])
    assert [three.area, three.area, four.area] == [9, 9, 16]
    assert (three.calls, four.calls) == ([3], [4])
    assert three == Square(3, [3])


def test_the_class_has_the_property_and_its_words():
    assert isinstance(Square.area, lazy)
    assert Square.area.__doc__ == "Its area."


def test_one_instance_does_not_wait_for_another():
    inside, leave = threading.Event(), threading.Event()

    class Slow:
        @lazy
        def value(self):
            if threading.current_thread() is not threading.main_thread():
                inside.set()
                assert leave.wait(10)
            return 1

    thread = threading.Thread(target=lambda: Slow().value)
    thread.start()
    assert inside.wait(10)
    assert Slow().value == 1
    leave.set()
    thread.join(10)
    assert not thread.is_alive()
