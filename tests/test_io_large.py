"""A file of more than 2 GiB, nearly all of it holes: the rows at its end are found and read."""

import json
import math

import numpy as np
import pytest

import vqindex as vq
from vqindex.container import header
from vqindex.container.checks import make_table, table_length
from vqindex.kernels.cpu.program import BLOCK

D, N = 4096, 1100
OWN = -(-N // BLOCK)  # blocks of the index that stands at the end


def lengthened(index, blocks, path):
    """Save an index with so many blocks of empty rows before its own; ids are row numbers."""
    arrays, text = index._state()
    about = json.loads(text["index"])
    n = about["n"] + blocks * BLOCK
    about |= {"n": n, "next_id": n}
    tails, entries = {}, []
    for name, array in arrays.items():
        parts = [array] if isinstance(array, np.ndarray) else list(array.parts)
        shape = array.shape
        if name.startswith("codes."):
            shape = (shape[0] // OWN * (blocks + OWN), *shape[1:])
        if name == "codes.id":
            parts = [np.arange(math.prod(shape))]
        tails[name] = b"".join(part.tobytes() for part in parts)
        entries.append((name, np.dtype(array.dtype), shape))
    tensors = header.arrange(entries)
    metadata = {"format": header.FORMAT, "version": "1", "user.index": json.dumps(about)}
    head = header.encode(tensors, metadata)
    data_bytes = tensors[-1].begin
    with path.open("wb") as file:
        file.write(head)
        for tensor in tensors[:-1]:
            tail = tails.get(tensor.name, b"")
            file.seek(len(head) + tensor.end - len(tail))
            file.write(tail)
        file.seek(len(head) + data_bytes)
        file.write(make_table(head, [0] * (table_length(data_bytes) - 2)).data)
    return n


@pytest.mark.parametrize("spec", ["F32", "EDEN4"])
def test_the_end_of_a_large_file_is_searched(tmp_path, spec):
    rng = np.random.default_rng(0)
    x, q = rng.standard_normal((N, D), np.float32), rng.standard_normal((3, D), np.float32)
    index = vq.index_factory(spec, metric="ip")
    index.add(x)
    path = tmp_path / "large.vqi"
    blocks = (2**31 + 2**28) // (BLOCK * index.bytes_per_row)
    first = lengthened(index, blocks, path) - N
    stat = path.stat()
    assert stat.st_size > 2**31 + 2**28
    if stat.st_blocks * 512 > 2**29:
        pytest.skip("this file system keeps no holes")
    mapped = vq.load(path, mmap=True, verify="header")
    assert len(mapped) == first + N
    last = np.arange(N - 70, N)
    want, got = index.search(q, 10, filter=last), mapped.search(q, 10, filter=first + last)
    assert np.array_equal(got.ids, first + want.ids)
    assert np.array_equal(got.scores, want.scores)
    assert np.array_equal(mapped.reconstruct(first + last), index.reconstruct(last))
