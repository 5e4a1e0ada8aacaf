"""Tiles are AMX's own and nothing is left in them: on a CPU that has AMX, else in software."""

from pathlib import Path

import numba
import numpy as np
import pytest
from llvmlite import ir
from numba import types

import vqindex as vq
from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.level import LEVEL
from vqindex.kernels.cpu.simd.core import POINTER, address, call, operation

HERE = Path(__file__).parent
amx = pytest.mark.skipif(LEVEL != "amx", reason="the level is not amx")


@operation(types.none, address)
def store_configuration(b, where):
    call(b, "llvm.x86.sttilecfg", ir.VoidType(), b.inttoptr(where, POINTER))


@numba.njit
def around(during, after):
    """The configuration of this thread's tiles before and after they are given back."""
    simd.tiles_begin()
    store_configuration(during)
    simd.tiles_end()
    store_configuration(after)


@numba.njit
def look(out):
    store_configuration(out)


def configuration():
    out = np.full(64, 0xA5, np.uint8)
    look(out.ctypes.data)
    return out


@amx
def test_tiles_are_set_up_and_given_back():
    during, after = np.full((2, 64), 0xA5, np.uint8)
    around(during.ctypes.data, after.ctypes.data)
    expected = np.zeros(64, np.uint8)
    expected[0] = 1  # the palette
    expected[16:32:2] = 64  # bytes a row
    expected[48:56] = 16  # rows
    assert (during == expected).all()
    assert not after.any()


@amx
@pytest.mark.parametrize("spec", ["EDEN4", "TQprod2", "F16"])
def test_searches_leave_no_tiles(spec):
    rng = np.random.default_rng(0)
    x, q = rng.standard_normal((2, 140, 40)).astype(np.float32)
    index = vq.index_factory(spec, metric="ip")
    index.fit(x)
    index.add(x)
    for queries, threads in ((q, 1), (q, 2), (q[:1], 1), (q[:0], 1)):
        index.search(queries, k=3, threads=threads)
        index.range_search(queries, 0.0)
        assert not configuration().any()


@amx
def test_tiles_are_multiplied_by_the_machine():
    numbers = (types.int64,) * 8
    for name in ("dot_tile", "dot_narrow"):
        scope = {"simd": simd}
        exec(f"def run(a, b, c, d, e, f, g, h): simd.{name}(a, b, c, d, e, f, g, h)", scope)
        compiled = numba.njit(types.none(*numbers))(scope["run"])
        (code,) = compiled.inspect_asm().values()
        assert "tdpbusd" in code


def test_in_software(with_amx):
    """These and every test of the operations, scores and searches, with AMX carried out in C."""
    files = [HERE / f"test_{name}.py" for name in ("amx", "simd", "score", "search")]
    # pytest's faulthandler would take SIGILL from the emulator.
    with_amx("pytest", "-p", "no:faulthandler", "-p", "no:cacheprovider", *files)
