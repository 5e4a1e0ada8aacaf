"""The header: which tensors a file holds, of what kind, and where.

`arrange` and `encode` make one, `parse` believes nothing it reads.
"""

import json
import math
import re
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeGuard

import numpy as np

from vqindex.container.checks import TABLE_DTYPE, table_length
from vqindex.errors import CorruptFileError, FormatVersionError

FORMAT = "vqindex"
VERSION = 1
ALIGNMENT = 64
MAX_HEADER_BYTES = 16 << 20
MAX_AXES = 32
LENGTH_BYTES = 8
CHECKSUMS = "_crc32"
RESERVED = "_"
USER = "user."
DTYPES: dict[str, np.dtype[Any]] = {
    f"{code[0].upper()}{8 * int(code[1])}": np.dtype(f"<{code}")
    for code in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
}
_DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Tensor:
    """A named run of bytes in the data section."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int  # bytes from the start of the data section

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def end(self) -> int:
        return self.begin + self.nbytes

    @property
    def is_reserved(self) -> bool:
        return self.name.startswith(RESERVED)


@dataclass(frozen=True)
class Header:
    """What a valid header says; the tensors, in file order, fill the data section exactly."""

    metadata: dict[str, str]
    tensors: list[Tensor]

    @property
    def payload(self) -> list[Tensor]:
        """Everything before the checksums, fillers included."""
        return self.tensors[:-1]

    @property
    def checksums(self) -> Tensor:
        return self.tensors[-1]


def arrange(arrays: Iterable[tuple[str, np.dtype[Any], tuple[int, ...]]]) -> list[Tensor]:
    """Lay arrays out one after another, aligned and without holes, and the checksums last."""
    tensors: list[Tensor] = []
    end = 0

    def align() -> None:
        nonlocal end
        if gap := -end % ALIGNMENT:
            tensors.append(Tensor(f"_pad{len(tensors)}", DTYPES["U8"], (gap,), end))
            end += gap

    for name, dtype, shape in arrays:
        align()
        tensors.append(Tensor(name, dtype, shape, end))
        end = tensors[-1].end
    align()
    tensors.append(Tensor(CHECKSUMS, TABLE_DTYPE, (table_length(end),), end))
    return tensors


def encode(tensors: Iterable[Tensor], metadata: dict[str, str]) -> bytes:
    """Length and JSON, padded with spaces to a multiple of 64 bytes."""
    entries: dict[str, Any] = {"__metadata__": metadata}
    for tensor in tensors:
        entries[tensor.name] = {
            "dtype": _DTYPE_NAMES[tensor.dtype],
            "shape": tensor.shape,
            "data_offsets": (tensor.begin, tensor.end),
        }
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(LENGTH_BYTES + len(text)) % ALIGNMENT)
    if len(text) > MAX_HEADER_BYTES:
        raise ValueError(
            f"Names and metadata must fit a header of {MAX_HEADER_BYTES} bytes, got {len(text)}; "
            "keep long content in an array."
        )
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def parse(head: bytes, data_bytes: int) -> Header:
    """Validate a whole header, length included, against the bytes that follow it.

    Raises CorruptFileError, or FormatVersionError where a newer version wrote the file.
    """
    entries = _load_json(head[LENGTH_BYTES:])
    metadata = _check_metadata(entries.pop("__metadata__", None))
    if len(head) % ALIGNMENT:
        raise CorruptFileError(f"the data starts at byte {len(head)}, not at a multiple of 64")
    tensors = sorted(
        (_check_tensor(name, entry) for name, entry in entries.items()),
        key=lambda tensor: (tensor.begin, tensor.end),
    )
    _check_coverage(tensors, data_bytes)
    _check_checksums(tensors)
    return Header(metadata, tensors)


def _load_json(text: bytes) -> dict[str, Any]:
    if not text.startswith(b"{"):
        raise CorruptFileError("the header does not begin with '{'; this is not a vqindex file")
    try:
        entries: dict[str, Any] = json.loads(
            text.decode(),
            object_pairs_hook=_unique,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except (ValueError, RecursionError) as error:
        raise CorruptFileError(f"the header is not valid JSON: {error}") from None
    return entries


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a name occurs twice")
    return entries


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:40]} is not a whole number")


def _check_metadata(metadata: object) -> dict[str, str]:
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise CorruptFileError(f"the metadata does not say format={FORMAT!r}; not a vqindex file")
    if not all(isinstance(value, str) for value in metadata.values()):
        raise CorruptFileError("the metadata holds a value that is not a string")
    version = metadata.get("version", "")
    if not re.fullmatch("[1-9][0-9]{0,8}", version):
        raise CorruptFileError(f"the format version must be a whole number, got {version[:40]!r}")
    if int(version) > VERSION:
        raise FormatVersionError(
            f"the format version is {version} and this vqindex reads up to {VERSION}; "
            "upgrade vqindex"
        )
    return metadata


def _check_tensor(name: str, entry: object) -> Tensor:
    """One entry on its own: kinds, ranges, and that dtype and shape make up its bytes."""
    if not name or not isinstance(entry, dict):
        raise CorruptFileError(f"the header's entry {name!r} does not describe a tensor")
    if entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise CorruptFileError(f"tensor {name!r} must have dtype, shape and data_offsets, no more")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise CorruptFileError(f"tensor {name!r} has the unknown dtype {reprlib.repr(dtype)}")
    if not _are_sizes(shape) or len(shape) > MAX_AXES:
        raise CorruptFileError(f"tensor {name!r} has the impossible shape {reprlib.repr(shape)}")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise CorruptFileError(f"tensor {name!r} has the bad offsets {reprlib.repr(offsets)}")
    tensor = Tensor(name, DTYPES[dtype], tuple(shape), offsets[0])
    # NumPy refuses an empty array, too, whose other axes are beyond what it can address.
    if math.prod(max(size, 1) for size in shape) * tensor.dtype.itemsize >= 2**63:
        raise CorruptFileError(f"tensor {name!r} has the impossible shape {reprlib.repr(shape)}")
    if tensor.end != offsets[1]:
        raise CorruptFileError(
            f"tensor {name!r} needs {tensor.nbytes} bytes for its dtype and shape, "
            f"its offsets span {offsets[1] - offsets[0]}"
        )
    return tensor


def _are_sizes(values: object) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)


def _check_coverage(tensors: Sequence[Tensor], data_bytes: int) -> None:
    """Tensors in file order must tile the data section: no hole, no overlap, nothing over."""
    end = 0
    for tensor in tensors:
        if tensor.begin != end:
            fault = (
                "overlaps the one before it" if tensor.begin < end else "leaves a hole before it"
            )
            raise CorruptFileError(f"tensor {tensor.name!r} {fault} at data byte {tensor.begin}")
        if tensor.begin % ALIGNMENT and not tensor.is_reserved:
            raise CorruptFileError(f"tensor {tensor.name!r} is not at a multiple of 64 bytes")
        end = tensor.end
    if end != data_bytes:
        fault = "was cut short" if end > data_bytes else "has bytes appended"
        raise CorruptFileError(f"the file {fault}: {end} bytes of data needed, {data_bytes} there")


def _check_checksums(tensors: Sequence[Tensor]) -> None:
    last = tensors[-1] if tensors else None
    if last is None or last.name != CHECKSUMS:
        raise CorruptFileError(f"the last tensor is not the checksums, {CHECKSUMS!r}")
    shape = (table_length(last.begin),)
    if last.dtype != TABLE_DTYPE or last.shape != shape:
        raise CorruptFileError(
            f"the checksums must be uint32 of shape {shape}, "
            f"got {last.dtype} of shape {reprlib.repr(last.shape)}"
        )
