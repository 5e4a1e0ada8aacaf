"""Writing: arrays to a file, all of it or none of it."""

import errno
import functools
import io
import operator
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from vqindex.container import header
from vqindex.container.checks import BlockCrcs, make_table
from vqindex.errors import DtypeError, ShapeError


@dataclass(frozen=True)
class Chunks:
    """An array given piece by piece, so that it need not exist as a whole.

    dtype  of the array and of every part
    shape  of the array
    parts  arrays of any shape whose elements, in C order, follow one another; read once
    """

    dtype: npt.DTypeLike
    shape: tuple[int, ...]
    parts: Iterable[npt.NDArray[Any]]


Arrays = Mapping[str, npt.NDArray[Any] | Chunks]


@dataclass(frozen=True)
class _Plan:
    """A file in every respect but its data: whatever can be refused has been."""

    head: bytes
    tensors: list[header.Tensor]
    parts: dict[str, Iterable[npt.NDArray[Any]]]


def write(path: str | os.PathLike[str], arrays: Arrays, metadata: Mapping[str, str]) -> None:
    """Write a file, or leave whatever was there untouched.

    arrays    name to array: integers of 8 to 64 bits or floats of 16 to 64, any shape, in this
              order in the file; names are not empty and do not begin with "_"
    metadata  any short text; it comes back as it is

    The file is written beside its target, flushed to the disk and then renamed, so that neither
    a crash nor a reader ever meets half of it. Raises DtypeError, ShapeError, ValueError,
    TypeError or OSError.
    """
    plan = _plan(arrays, metadata)
    with _replacing(Path(os.path.realpath(path))) as file:
        _emit(plan, file)


def to_bytes(arrays: Arrays, metadata: Mapping[str, str]) -> bytes:
    """What `write` would write."""
    file = io.BytesIO()
    _emit(_plan(arrays, metadata), file)
    return file.getvalue()


def _plan(arrays: Arrays, metadata: Mapping[str, str]) -> _Plan:
    if not all(isinstance(text, str) for item in metadata.items() for text in item):
        raise TypeError("Metadata must map strings to strings.")
    entries = []
    parts: dict[str, Iterable[npt.NDArray[Any]]] = {}
    for name, array in arrays.items():
        if not name or name.startswith(header.RESERVED):
            raise ValueError(f"Names of arrays must not be empty or begin with '_', got {name!r}.")
        chunks = array if isinstance(array, Chunks) else Chunks(array.dtype, array.shape, (array,))
        entries.append(
            (name, _stored_dtype(name, chunks.dtype), _checked_shape(name, chunks.shape))
        )
        parts[name] = chunks.parts
    tensors = header.arrange(entries)
    head = header.encode(
        tensors,
        {
            "format": header.FORMAT,
            "version": str(header.VERSION),
            "created_by": _created_by(),
            **{header.USER + key: value for key, value in metadata.items()},
        },
    )
    return _Plan(head, tensors, parts)


def _stored_dtype(name: str, dtype: npt.DTypeLike) -> np.dtype[Any]:
    given = np.dtype(dtype)
    for stored in header.DTYPES.values():
        if (stored.kind, stored.itemsize) == (given.kind, given.itemsize):
            return stored
    raise DtypeError(
        f"Array {name!r} must hold integers of 8 to 64 bits or floats of 16 to 64, got {given}."
    )


def _checked_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    sizes = tuple(operator.index(size) for size in shape)
    if len(sizes) > header.MAX_AXES or any(size < 0 for size in sizes):
        raise ShapeError(
            f"Array {name!r} must have at most {header.MAX_AXES} axes, none negative, got {shape}."
        )
    return sizes


@functools.cache
def _created_by() -> str:
    from importlib import metadata  # 30 ms that only a save needs

    try:
        return f"vqindex {metadata.version('vqindex')}"
    except metadata.PackageNotFoundError:  # run from a folder, not installed
        return "vqindex"


def _emit(plan: _Plan, file: BinaryIO) -> None:
    crcs = BlockCrcs()
    file.write(plan.head)
    for tensor in plan.tensors[:-1]:
        filler = (np.zeros(tensor.shape, tensor.dtype),) if tensor.is_reserved else ()
        for piece in _pieces(tensor, plan.parts.get(tensor.name, filler)):
            crcs.update(piece)
            file.write(piece)
    file.write(make_table(plan.head, crcs.finish()).data)


def _pieces(tensor: header.Tensor, parts: Iterable[npt.NDArray[Any]]) -> Iterator[memoryview]:
    """The bytes of a tensor's parts, which must come to exactly its size."""
    left = tensor.nbytes
    for part in parts:
        if _stored_dtype(tensor.name, part.dtype) != tensor.dtype:
            raise DtypeError(f"Parts of {tensor.name!r} must be {tensor.dtype}, got {part.dtype}.")
        left -= part.nbytes
        if left < 0:
            break
        yield np.ascontiguousarray(part, tensor.dtype).reshape(-1).view(np.uint8).data
    if left:
        fault = "more" if left < 0 else f"{left} bytes less"
        raise ShapeError(
            f"Parts of {tensor.name!r} must make up {tensor.shape} {tensor.dtype}, "
            f"{tensor.nbytes} bytes; got {fault}."
        )


@contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    """A new file that becomes the target when the block ends, and vanishes if it fails."""
    if target.exists() and not target.is_file():
        code = errno.EISDIR if target.is_dir() else errno.EINVAL
        raise OSError(code, "Only a plain file can be replaced", str(target))
    # Cut so that a name which the file system takes does not become one that it refuses.
    unique = f".{target.name[:40]}.{os.getpid()}.{secrets.token_hex(8)}.tmp"
    temporary = target.with_name(unique)
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename last; only POSIX systems can, and need to, flush a folder."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
