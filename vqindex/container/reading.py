"""Reading: everything is checked before anything is allocated, and nothing is believed."""

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from mmap import ACCESS_READ
from mmap import mmap as MemoryMap
from typing import Any, Literal, NamedTuple, TypedDict, get_args

import numpy as np
import numpy.typing as npt

from vqindex.container.checks import (
    BLOCK_BYTES,
    BlockCrcs,
    Table,
    check_header,
    damaged_blocks,
)
from vqindex.container.header import (
    ALIGNMENT,
    LENGTH_BYTES,
    MAX_HEADER_BYTES,
    USER,
    Header,
    Tensor,
    parse,
)
from vqindex.errors import CorruptFileError

Verify = Literal["full", "header", "none"]
StrPath = str | os.PathLike[str]


class Contents(NamedTuple):
    """What was given to `write`."""

    arrays: dict[str, npt.NDArray[Any]]
    metadata: dict[str, str]


class TensorSummary(TypedDict):
    """An array without its contents; `dtype` is NumPy's name."""

    dtype: str
    shape: tuple[int, ...]
    nbytes: int


class Summary(TypedDict):
    """A file without its contents."""

    version: int
    created_by: str
    metadata: dict[str, str]
    tensors: dict[str, TensorSummary]
    file_bytes: int


class _Opened(NamedTuple):
    header: Header
    data_start: int
    table: Table

    @property
    def file_bytes(self) -> int:
        return self.data_start + self.header.checksums.end


def read(path: StrPath, mmap: bool = False, verify: Verify = "full") -> Contents:
    """Read a file that `write` wrote.

    mmap    give read-only views of the file instead of arrays of their own; the file must not
            be changed in place while they live (`write` never does)
    verify  "full": all checksums, so that any damage is found; "header": the header's only;
            "none": the structure only. A hostile file is refused safely in each case.

    Arrays start at multiples of 64 bytes. Raises CorruptFileError, FormatVersionError where a
    newer version wrote the file, and OSError.
    """
    _check_level(verify)
    with _naming(path), open(path, "rb") as file:
        opened = _open(file, verify)
        if not mmap:
            return _load(file, opened, verify)
        if verify == "full":
            _read_data(file, opened, {}, BlockCrcs())
        mapped = MemoryMap(file.fileno(), opened.file_bytes, access=ACCESS_READ)
    arrays = {
        tensor.name: np.ndarray(
            tensor.shape, tensor.dtype, buffer=mapped, offset=opened.data_start + tensor.begin
        )
        for tensor in _visible(opened.header)
    }
    return Contents(arrays, _user_metadata(opened.header))


def from_bytes(buffer: bytes | bytearray | memoryview, verify: Verify = "full") -> Contents:
    """Read what `to_bytes` made into arrays of their own."""
    _check_level(verify)
    file = io.BytesIO(buffer)
    with _naming("buffer"):
        return _load(file, _open(file, verify), verify)


def inspect(path: StrPath) -> Summary:
    """Describe a file without reading its data; the header is verified."""
    with _naming(path), open(path, "rb") as file:
        opened = _open(file, "header")
    header = opened.header
    return Summary(
        version=int(header.metadata["version"]),
        created_by=header.metadata.get("created_by", ""),
        metadata=_user_metadata(header),
        tensors={
            tensor.name: TensorSummary(
                dtype=str(tensor.dtype), shape=tensor.shape, nbytes=tensor.nbytes
            )
            for tensor in _visible(header)
        },
        file_bytes=opened.file_bytes,
    )


def verify(path: StrPath) -> None:
    """Check every byte of a file, a MiB at a time.

    Raises CorruptFileError, which names the tensors in the damaged places.
    """
    with _naming(path), open(path, "rb") as file:
        _read_data(file, _open(file, "full"), {}, BlockCrcs())


def _check_level(level: str) -> None:
    if level not in get_args(Verify):
        raise ValueError(f"verify must be 'full', 'header' or 'none', got {level!r}.")


@contextmanager
def _naming(source: StrPath) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except CorruptFileError as error:
        error.args = (f"{os.fspath(source)}: {error}",)
        raise


def _open(file: io.BufferedIOBase, level: Verify) -> _Opened:
    """Read header and checksums, and leave the file at the start of the data."""
    file_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file_bytes < LENGTH_BYTES:
        raise CorruptFileError(f"{file_bytes} bytes are too few to be a vqindex file")
    prefix = _read_exactly(file, LENGTH_BYTES)
    length = int.from_bytes(prefix, "little")
    limit = min(MAX_HEADER_BYTES, file_bytes - LENGTH_BYTES)
    if length > limit:
        raise CorruptFileError(
            f"the header cannot be {length} bytes long, {limit} at most; the file was cut short, "
            "or it is not a vqindex file"
        )
    head = prefix + _read_exactly(file, length)
    header = parse(head, file_bytes - len(head))
    file.seek(len(head) + header.checksums.begin)
    table = np.frombuffer(_read_exactly(file, header.checksums.nbytes), header.checksums.dtype)
    file.seek(len(head))
    if level != "none":
        check_header(table, head)
    return _Opened(header, len(head), table)


def _read_exactly(file: io.BufferedIOBase, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise CorruptFileError("the file became shorter while it was read")
    return data


def _load(file: io.BufferedIOBase, opened: _Opened, level: Verify) -> Contents:
    arrays = {tensor.name: _empty(tensor) for tensor in _visible(opened.header)}
    _read_data(file, opened, arrays, BlockCrcs() if level == "full" else None)
    return Contents(arrays, _user_metadata(opened.header))


def _empty(tensor: Tensor) -> npt.NDArray[Any]:
    """An uninitialised array at a multiple of 64 bytes."""
    memory = np.empty(tensor.nbytes + ALIGNMENT, np.uint8)
    return np.ndarray(tensor.shape, tensor.dtype, memory, -memory.ctypes.data % ALIGNMENT)


def _read_data(
    file: io.BufferedIOBase,
    opened: _Opened,
    arrays: Mapping[str, npt.NDArray[Any]],
    crcs: BlockCrcs | None,
) -> None:
    """Read the data once, in order, into the arrays named, checking it where crcs are given."""
    scratch = memoryview(bytearray(BLOCK_BYTES))
    for tensor in opened.header.payload:
        array = arrays.get(tensor.name)
        target = None if array is None else array.reshape(-1).view(np.uint8).data
        for start in range(0, tensor.nbytes, BLOCK_BYTES):
            stop = min(start + BLOCK_BYTES, tensor.nbytes)
            piece = scratch[: stop - start] if target is None else target[start:stop]
            if file.readinto(piece) != stop - start:
                raise CorruptFileError("the file became shorter while it was read")
            if crcs is not None:
                crcs.update(piece)
    if crcs is not None:
        _report_damage(opened, damaged_blocks(opened.table, crcs.finish()))


def _report_damage(opened: _Opened, blocks: list[int]) -> None:
    if not blocks:
        return
    damaged = set(blocks)
    names = [
        repr(tensor.name)
        for tensor in _visible(opened.header)
        if tensor.nbytes
        and not damaged.isdisjoint(
            range(tensor.begin // BLOCK_BYTES, -(-tensor.end // BLOCK_BYTES))
        )
    ]
    raise CorruptFileError(
        f"damage in {', '.join(names) or 'padding'}: {len(blocks)} of {len(opened.table) - 2} "
        f"checksums differ, the first at file byte {opened.data_start + blocks[0] * BLOCK_BYTES}; "
        "restore the file from a copy"
    )


def _visible(header: Header) -> list[Tensor]:
    return [tensor for tensor in header.tensors if not tensor.is_reserved]


def _user_metadata(header: Header) -> dict[str, str]:
    return {
        key.removeprefix(USER): value
        for key, value in header.metadata.items()
        if key.startswith(USER)
    }
