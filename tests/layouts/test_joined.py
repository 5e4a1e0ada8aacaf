"""Layouts joined, and a column that is a code of its own."""

import numpy as np

from vqindex.kernels.cpu import program
from vqindex.layouts.base import Column
from vqindex.layouts.joined import Joined
from vqindex.layouts.offset import OffsetColumn
from vqindex.layouts.scalar import ScalarCodes, Segment

FIRST, SECOND = ScalarCodes((Segment(70, (0, 1)),)), ScalarCodes((Segment(70, (0, 3, 5, 9)),), "b_")
PARTS = FIRST, OffsetColumn("offset"), SECOND
INDEX = {"plane": 0, "rest": 1, "offset": 2, "b_plane": 3, "b_rest": 4}


def test_columns_and_sizes_are_those_of_the_parts():
    layout = Joined(PARTS)
    assert [column.name for column in layout.columns] == list(INDEX)
    assert layout.columns[2] == Column("offset", np.dtype(np.float32))
    assert layout.dims == 141
    assert layout.operand_bytes == 128 + 64 + 128


def test_programs_follow_one_another():
    fields = Joined(PARTS).program(INDEX, 7, 64)
    assert (fields[0] == FIRST.program(INDEX, 7, 64)[0]).all()
    assert (fields[2] == SECOND.program(INDEX, 7, 64 + 192)[0]).all()
    offset = fields[1]
    assert offset[program.BITS] == program.BYTE_ROWS
    assert offset[program.WORDS] == offset[program.REST_BYTES] == 0
    assert offset[program.SCALE] == offset[program.REST] == 2
    assert offset[program.OPERAND] == 64 + 128


def test_the_first_parts_are_a_layout_with_the_same_beginning():
    coarse, fine = Joined(PARTS[:2]), Joined(PARTS)
    assert (coarse.program(INDEX, 7, 0) == fine.program(INDEX, 7, 0)[:2]).all()
    values = np.random.default_rng(0).standard_normal((3, 141)).astype(np.float32)
    assert (coarse.spread(values[:, :71]) == fine.spread(values)[:, :192]).all()


def test_spread_gives_each_part_its_share():
    values = np.arange(2 * 141, dtype=np.float32).reshape(2, 141) + 1
    out = Joined(PARTS).spread(values)
    assert out.shape == (2, 320)
    assert (out[:, :70] == values[:, :70]).all()
    assert (out[:, 128] == values[:, 70]).all()
    assert (out[:, 192 : 192 + 70] == values[:, 71:]).all()
    assert np.count_nonzero(out) == values.size


def test_unpack():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 4, (5, 70), np.uint8), rng.integers(0, 8, (5, 70), np.uint8)
    offset = rng.standard_normal(5).astype(np.float32)
    columns = FIRST.pack(first) | {"offset": offset} | SECOND.pack(second)
    found = Joined(PARTS).unpack(columns)
    assert (found == np.concatenate([first, offset[:, None], second], axis=1)).all()
