"""Reading and writing memory by address."""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from vqindex.kernels.cpu.level import LEVEL
from vqindex.kernels.cpu.simd.core import (
    F16,
    F32,
    FLOATS,
    I1,
    I8,
    I16,
    I32,
    I64,
    INTS,
    POINTER,
    address,
    call,
    const,
    operation,
    read,
    spread,
    vec,
    vector,
    write,
)

STACK_BYTES = 2048


@intrinsic
def address_of(_context: Any, array: Any) -> Any:
    """The address of an array's first element."""

    def codegen(context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> Any:
        return builder.ptrtoint(make_array(array)(context, builder, values[0]).data, I64)

    return address(array), codegen


@operation(address)
def stack(b):
    """STACK_BYTES of uninitialised memory, good until the kernel returns."""
    memory = cgutils.alloca_once(b, ir.ArrayType(I8, STACK_BYTES))
    memory.align = 64
    return b.ptrtoint(memory, I64)


@operation(types.none, address)
def prefetch(b, where):
    """Ask for the cache line at an address."""
    kind = ir.FunctionType(ir.VoidType(), [POINTER, I32, I32, I32])
    function = cgutils.get_or_insert_function(b.module, kind, "llvm.prefetch.p0")
    read_soon = [ir.Constant(I32, value) for value in (0, 3, 1)]
    b.call(function, [b.inttoptr(where, POINTER), *read_soon])


@operation(vector, address)
def load(b, where):
    """64 bytes."""
    return read(b, where, INTS)


@operation(types.none, address, vector)
def store(b, where, value):
    """Write 64 bytes."""
    write(b, where, value)


@operation(vector, address)
def load_octets(b, where):
    """Sixteen unsigned bytes as int32."""
    return b.zext(read(b, where, vec(I8, 16)), INTS)


@operation(vector, address, vector, types.int32)
def gather(b, where, indexes, last):
    """The int32 at each of sixteen indexes >= 0, `last` in the place of those beyond it."""
    limit = spread(b, last, 16)
    within = b.select(b.icmp_signed("<", indexes, limit), indexes, limit)
    offsets = b.shl(b.zext(within, vec(I64, 16)), const(I64, 16, 2))
    pointers = b.inttoptr(b.add(spread(b, where, 16), offsets), vec(POINTER, 16))
    mask, align = const(I1, 16, 1), ir.Constant(I32, 1)
    name = "llvm.masked.gather.v16i32.v16p0"
    return call(b, name, INTS, pointers, align, mask, const(I32, 16, 0))


@operation(types.uint64, address)
def load_word(b, where):
    """One uint64."""
    return read(b, where, I64)


@operation(types.none, address, types.uint64)
def store_word(b, where, value):
    """Write one uint64."""
    write(b, where, value)


@operation(types.int64, address)
def load_byte(b, where):
    """One unsigned byte."""
    return b.zext(read(b, where, I8), I64)


@operation(types.none, address, types.int64)
def store_byte(b, where, value):
    """Write one byte, the lowest of the value."""
    write(b, where, b.trunc(value, I8))


@operation(types.int32, address)
def load_int(b, where):
    """One int32."""
    return read(b, where, I32)


@operation(types.int64, address)
def load_int64(b, where):
    """One int64."""
    return read(b, where, I64)


@operation(types.none, address, types.int32)
def store_int(b, where, value):
    """Write one int32."""
    write(b, where, value)


@operation(types.none, address, types.int64)
def store_int64(b, where, value):
    """Write one int64."""
    write(b, where, value)


@operation(types.int64, address, types.int64)
def load_entry(b, where, index):
    """Entry `index` of an array of int64."""
    return read(b, b.add(where, b.mul(index, ir.Constant(I64, 8))), I64)


@operation(types.float32, address)
def load_float(b, where):
    """One float32."""
    return read(b, where, F32)


@operation(types.none, address, types.float32)
def store_float(b, where, value):
    """Write one float32."""
    write(b, where, value)


def _widen_half(b: Any, half: Any) -> Any:
    """float16 to float32 by integer arithmetic, which every CPU does alike; no NaN or infinity."""
    wide = b.zext(half, INTS)
    magnitude = b.shl(b.and_(wide, const(I32, 16, 0x7FFF)), const(I32, 16, 13))
    value = b.fmul(b.bitcast(magnitude, FLOATS), const(F32, 16, 2.0**112))
    sign = b.shl(b.and_(wide, const(I32, 16, 0x8000)), const(I32, 16, 16))
    return b.or_(b.bitcast(value, INTS), sign)


def _half_ir(b: Any, halves: Any) -> Any:
    if LEVEL == "generic":
        return _widen_half(b, halves)
    return b.bitcast(b.fpext(b.bitcast(halves, vec(F16, 16)), FLOATS), INTS)


@operation(vector, address)
def load_halves(b, where):
    """Sixteen finite float16 as float32."""
    return _half_ir(b, read(b, where, vec(I16, 16)))


@operation(types.float32, address)
def load_half(b, where):
    """One finite float16 as float32."""
    halves = _half_ir(b, spread(b, read(b, where, I16), 16))
    return b.extract_element(b.bitcast(halves, FLOATS), ir.Constant(I32, 0))
