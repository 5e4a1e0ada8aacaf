"""Values that operations are tried on, and operations as functions of numbers."""

import functools

import numba
import numpy as np

from vqindex.kernels.cpu import simd

CASES = 40
SIGNED = np.array([0, 1, -1, 127, -127, -128, 128, 255, 2**31 - 1, -(2**31)], np.int32)
WORDS = np.array([0, 1, 2**63, 2**64 - 1, 0x8080808080808080, 2**32 - 1], np.uint64)
OCTETS = np.array([0, 1, 127, 128, 129, 255], np.uint8)
# Sixteen of the largest still have a finite sum.
FLOATS = np.array([0, -0.0, 1, -1, 1.5, 1e-45, -1e-45, 1.1754944e-38, 2e37, -2e37], np.float32)


def mixed(random, edges, rng):
    """Half random values, half edges."""
    return np.where(rng.random(random.shape) < 0.5, random, rng.choice(edges, random.shape))


def integers(dtype, edges, lanes, rng):
    random = np.frombuffer(rng.bytes(CASES * lanes * np.dtype(dtype).itemsize), dtype)
    return mixed(random.reshape(CASES, lanes), edges, rng)


def floats(lanes, rng):
    scale = np.exp2(rng.integers(-20, 20, (CASES, lanes)))
    return mixed((rng.standard_normal((CASES, lanes)) * scale).astype(np.float32), FLOATS, rng)


# Small letters are vectors, capitals scalars.
POOLS = {
    "i": lambda rng: integers(np.int32, SIGNED, 16, rng),
    "w": lambda rng: integers(np.uint64, WORDS, 8, rng),
    "b": lambda rng: integers(np.uint8, OCTETS, 64, rng),
    "h": lambda rng: integers(np.int16, np.array([0, -1, 2**15 - 1, -(2**15)], np.int16), 32, rng),
    "f": lambda rng: floats(16, rng),
    "e": lambda rng: mixed(floats(16, rng), np.array([np.inf, -np.inf], np.float32), rng),
    "d": lambda rng: np.where((x := floats(16, rng)) == 0, np.float32(1), x),
    "m": lambda rng: np.abs(floats(16, rng)),
    "r": lambda rng: np.clip(floats(16, rng), -(2.0**31), np.nextafter(np.float32(2.0**31), 0)),
    "q": lambda rng: np.maximum(integers(np.int8, np.array([127, -127], np.int8), 64, rng), -127),
    "t": lambda rng: np.tile(integers(np.uint8, OCTETS, 16, rng), 4),
    "n": lambda rng: integers(np.uint8, OCTETS, 64, rng) % 16,
    "k": lambda rng: integers(np.uint8, OCTETS, 64, rng) % 64,
    "s": lambda rng: mixed(rng.integers(-1024, 1025, (CASES, 16), np.int32), SIGNED[:8], rng),
    "I": lambda rng: integers(np.int32, SIGNED, 1, rng)[:, 0],
    "S": lambda rng: mixed(rng.integers(-(2**20), 2**20, CASES, np.int32), SIGNED[:8], rng),
    "W": lambda rng: integers(np.uint64, WORDS, 1, rng)[:, 0],
    "L": lambda rng: POOLS["W"](rng).view(np.int64),
    "B": lambda rng: integers(np.uint8, OCTETS, 1, rng)[:, 0],
    "F": lambda rng: floats(1, rng)[:, 0],
    "E": lambda rng: POOLS["e"](rng)[:, 0],
    "P": lambda rng: integers(np.uint32, np.array([0, 2**32 - 1], np.uint32), 1, rng)[:, 0],
    "M": lambda rng: integers(np.uint32, np.uint32(1) << np.arange(32, dtype=np.uint32), 1, rng)[
        :, 0
    ],
    "N": lambda rng: np.arange(-3, CASES - 3),
    "A": lambda rng: np.maximum(np.abs(floats(1, rng)[:, 0]), np.float32(1e-38)),
    "O": lambda rng: rng.choice(np.array([-1, 1], np.int32), CASES),
}


def row_values(rows):
    """What bytes offset by ROW_BIAS stand for, with ROW_BIAS left in."""
    return (rows if simd.ROW_BIAS else rows.view(np.int8)).astype(np.int32)


@functools.cache
def compiled(name, arguments, result):
    """An operation as a function of numbers: vectors by address, the last one's the result's."""
    names = [f"a{i}" for i in range(len(arguments))]
    values = ", ".join(
        f"simd.load({name})" if kind == "v" else name
        for kind, name in zip(arguments, names, strict=True)
    )
    call = f"simd.{name}({values})"
    body = f"simd.store(out, {call})" if result == "v" else f"return {call}"
    scope = {"simd": simd}
    exec(f"def run({', '.join([*names, 'out'])}):\n    {body}", scope)
    return numba.njit(scope["run"])
