"""What a figure's reader is told of the machine."""

import os

import numpy as np

import vqindex as vq
from vqindex.evaluate import describe_machine, machine


def test_what_is_told():
    told = describe_machine(["numpy", "no-such-package"])
    assert told["cpu"]
    assert told["cpu_level"] == vq.show_config()["cpu_level"]
    assert all(flag.startswith(("avx", "amx")) for flag in told["cpu_flags"])
    assert told["versions"]["vqindex"] == vq.__version__
    assert (told["versions"]["numpy"], told["versions"]["no-such-package"]) == (
        np.__version__,
        None,
    )
    if hasattr(os, "sched_getaffinity"):
        assert told["affinity"] == sorted(os.sched_getaffinity(0))


def test_without_linux_there_is_a_name_all_the_same(monkeypatch):
    monkeypatch.setattr(machine.Path, "read_text", _refuse)
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    told = describe_machine()
    assert told["cpu"] == machine.platform.machine()
    assert told["cpu_flags"] == []


def _refuse(*_, **__):
    raise FileNotFoundError
