"""The vector type, and how an operation on it is made from LLVM IR."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
F16, F32 = ir.HalfType(), ir.FloatType()
POINTER = ir.PointerType()
Emit = Callable[..., Any]


def vec(element: ir.Type, lanes: int) -> ir.VectorType:
    return ir.VectorType(element, lanes)


BYTES, SHORTS, INTS, WORDS = vec(I8, 64), vec(I16, 32), vec(I32, 16), vec(I64, 8)
FLOATS = vec(F32, 16)


class VectorType(types.Type):  # type: ignore[misc]
    """The Numba type of a 64-byte vector."""

    def __init__(self) -> None:
        super().__init__(name="vqindex_vector")


vector = VectorType()
address = types.int64


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, INTS)


def operation(returns: types.Type, *takes: types.Type) -> Callable[[Emit], Any]:
    """Make `emit(builder, *values)` an operation that kernels call with values of these types."""

    def decorate(emit: Emit) -> Any:
        def codegen(context: Any, builder: Any, _signature: Any, values: Sequence[Any]) -> Any:
            result = emit(builder, *values)
            return context.get_dummy_value() if returns is types.none else result

        def typing(_context: Any, *_values: Any) -> Any:
            return returns(*takes), codegen

        names = ["context", *inspect.signature(emit).parameters][: len(takes) + 2]
        names.remove("b")
        typing.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names]
        )
        typing.__name__, typing.__doc__ = emit.__name__, emit.__doc__
        return intrinsic(typing)

    return decorate


def call(b: Any, name: str, returns: ir.Type, *values: Any) -> Any:
    kind = ir.FunctionType(returns, [value.type for value in values])
    return b.call(cgutils.get_or_insert_function(b.module, kind, name), values)


def read(b: Any, where: Any, kind: ir.Type) -> Any:
    loaded = b.load(b.inttoptr(where, POINTER), typ=kind)
    loaded.align = 1
    return loaded


def write(b: Any, where: Any, value: Any) -> None:
    b.store(value, b.inttoptr(where, POINTER)).align = 1


def spread(b: Any, scalar: Any, lanes: int) -> Any:
    kind = vec(scalar.type, lanes)
    one = b.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(I32, 0))
    return b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), const(I32, lanes, 0))


def const(element: ir.Type, lanes: int, value: Any) -> Any:
    return ir.Constant(vec(element, lanes), [value] * lanes)


def pick(b: Any, value: Any, lanes: Sequence[int]) -> Any:
    """Some lanes of a vector, in the given order."""
    mask = ir.Constant(vec(I32, len(lanes)), list(lanes))
    return b.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), mask)
