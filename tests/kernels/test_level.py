"""The CPU level: chosen once, forced by a variable, never above what the CPU has."""

import sys
from pathlib import Path

import llvmlite.binding
import pytest

from vqindex.errors import SpecError
from vqindex.kernels.cpu import level

AVX512 = [f"avx512{name}" for name in ("f", "bw", "vl", "dq", "vnni", "vbmi")]


@pytest.fixture
def cpu(monkeypatch):
    """Make the CPU one that has just these features."""

    def has(*features):
        found = dict.fromkeys(features, True) | {"sve": False}
        monkeypatch.setattr(llvmlite.binding, "get_host_cpu_features", lambda: found)

    monkeypatch.delenv("VQINDEX_CPU_LEVEL", raising=False)
    return has


def test_the_level_in_use_is_one_this_cpu_has():
    assert level.LEVELS.index(level.LEVEL) <= level.LEVELS.index(level.best_level())


def test_best_level_needs_every_feature(cpu):
    cpu()
    assert level.best_level() == "generic"
    cpu("avx2")
    assert level.best_level() == "generic"
    cpu("avx2", "f16c")
    assert level.best_level() == "avx2"
    cpu("avx2", "f16c", *AVX512[:-1])
    assert level.best_level() == "avx2"
    cpu("avx2", "f16c", *AVX512)
    assert level.best_level() == "avx512"


def test_amx_needs_the_instructions_and_the_system(cpu, monkeypatch):
    for granted, best in ((True, "amx"), (False, "avx512")):
        monkeypatch.setattr(level, "_tiles_granted", lambda: granted)  # noqa: B023
        cpu("avx2", "f16c", *AVX512, "amx-tile")
        assert level.best_level() == "avx512"
        cpu("avx2", "f16c", *AVX512, "amx-tile", "amx-int8")
        assert level.best_level() == best
    monkeypatch.setenv("VQINDEX_CPU_LEVEL", "amx")
    with pytest.raises(SpecError, match="amx needs tile registers the system refuses; it has avx"):
        level._chosen()


def test_only_linux_with_amx_grants_tiles(monkeypatch):
    ask = level._tiles_granted.__wrapped__
    if sys.platform == "linux" and "amx_tile" not in Path("/proc/cpuinfo").read_text():
        assert ask() is False
    monkeypatch.setattr(sys, "platform", "darwin")
    assert ask() is False


def test_a_cpu_llvm_does_not_know_is_generic(monkeypatch):
    def unknown():
        raise RuntimeError("no features")

    monkeypatch.setattr(llvmlite.binding, "get_host_cpu_features", unknown)
    assert level.best_level() == "generic"


def test_the_best_level_unless_one_is_forced(cpu, monkeypatch):
    cpu("avx2", "f16c")
    assert level._chosen() == "avx2"
    monkeypatch.setenv("VQINDEX_CPU_LEVEL", "")
    assert level._chosen() == "avx2"
    for forced in ("generic", "avx2"):
        monkeypatch.setenv("VQINDEX_CPU_LEVEL", forced)
        assert level._chosen() == forced


@pytest.mark.parametrize(
    ("forced", "message"),
    [
        ("sse", "must be one of generic, avx2, avx512, amx, got 'sse'"),
        ("avx512", "needs instructions this CPU lacks; it has avx2"),
        ("amx", "needs instructions this CPU lacks; it has avx2"),
    ],
)
def test_a_level_that_cannot_be_is_refused(cpu, monkeypatch, forced, message):
    cpu("avx2", "f16c")
    monkeypatch.setenv("VQINDEX_CPU_LEVEL", forced)
    with pytest.raises(SpecError, match=message):
        level._chosen()
